"""Shards: the Parquet files of a split, by their names in a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from qwenvl_kit.errors import EvaluationError

_SHARD = re.compile(r"(?P<split>.+?)-(?P<at>\d{5})-of-(?P<all>\d{5})(?:-[0-9a-f]+)?")
"""The name of a shard, as `datasets` writes it: `test-00000-of-00003.parquet`."""


def chosen_files(folder: Path, split: str | None) -> list[Path]:
    """Return the Parquet files of a split in a folder, in their order.

    Args:
        folder: the folder.
        split: the split; None if the folder has one alone.

    Raises:
        EvaluationError: there is no such split, there are several, or a shard is missing.
    """
    of_split: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*.parquet")):
        of_split.setdefault(_split_of(path), []).append(path)
    known = ", ".join(map(repr, of_split))
    if not of_split:
        raise EvaluationError(
            f"the folder {folder} has no Parquet files",
            expected="a folder of Parquet files, or the path of a file",
        )
    if split is None and len(of_split) > 1:
        raise EvaluationError(
            f"the folder {folder} has several splits: {known}", expected="split= with one of them"
        )
    found = of_split.get(next(iter(of_split)) if split is None else split)
    if found is None:
        raise EvaluationError(f"the folder {folder} has no split {split!r}", expected=known)
    _check_shards(found, folder)
    return found


def _split_of(path: Path) -> str:
    """The split that a file is of, by its name, or by its folder's if the name is a number."""
    shard = _SHARD.fullmatch(path.stem)
    if shard is not None:
        return shard["split"]
    return path.parent.name if path.stem.isdecimal() else path.stem


def _check_shards(paths: Sequence[Path], folder: Path) -> None:
    """Refuse shards of several data sets, and too few of one."""
    if folders := sorted({path.parent for path in paths})[1:]:
        raise EvaluationError(
            f"the folders {paths[0].parent} and {folders[0]} hold the same split",
            expected="the folder of one data set",
            hint=f"the folder {paths[0].parent} itself",
        )
    shards = [_SHARD.fullmatch(path.stem) for path in paths]
    wanted = {int(shard["all"]) for shard in shards if shard is not None}
    if wanted and wanted != {len(paths)}:
        raise EvaluationError(
            f"{folder} has {len(paths)} of {max(wanted)} shards, such as {paths[0].name}",
            expected="all shards of the split, and no others",
        )
