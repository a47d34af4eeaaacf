"""`open_rows`: the rows of a benchmark's data, of whatever kind they are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.data.delimited import DELIMITERS, open_delimited
from qwenvl_kit.evaluation.data.json_rows import ENDINGS, open_json
from qwenvl_kit.evaluation.data.parquet_files import open_parquet
from qwenvl_kit.evaluation.data.rows import Rows
from qwenvl_kit.evaluation.data.tables import FileStamp, TableRows
from qwenvl_kit.evaluation.data.values import open_values


def open_rows(
    data: Any,
    *,
    folder: str | os.PathLike[str] | None = None,
    split: str | None = None,
    heavy: Sequence[str] = (),
) -> Rows:
    """Return the rows of a file, of a folder of Parquet files, or of values in memory.

    Args:
        data: a path of `.tsv`, `.csv`, `.jsonl`, `.ndjson`, `.json` or `.parquet`, a folder of
            Parquet files, a Dataset or DatasetDict of `datasets`, a DataFrame, or a list of dicts.
        folder: the folder of relative paths of pictures and films; None takes that of the file.
        split: the split of data that have several: the shards of a folder, an entry of a
            DatasetDict, or the rows of a file whose column "split" has this value.
        heavy: the columns that are read from the file each time that their cells are asked for, so
            that a file of many GB needs little memory.

    Raises:
        EvaluationError: the data cannot be read, or have no such split.
        MissingPackageError: pyarrow is not installed and the file is Parquet.
    """
    if not isinstance(data, (str, os.PathLike)):
        root = None if folder is None else Path(folder)
        rows = open_values(data, root, heavy, split)
        return (
            rows if isinstance(data, Mapping) else _only(rows, split)
        )  # a DatasetDict had its own
    path = Path(os.fsdecode(data)).expanduser()
    root = Path(folder) if folder is not None else path if path.is_dir() else path.parent
    if path.is_dir():
        return open_parquet(path, root, heavy, split)
    return _only(_open_file(path, root, heavy), split)


def _open_file(path: Path, folder: Path, heavy: Sequence[str]) -> TableRows:
    """The rows of one file, by its ending."""
    ending = path.suffix.lower()
    FileStamp.of(path)
    if ending in DELIMITERS:
        return open_delimited(path, folder, heavy)
    if ending in ENDINGS:
        return open_json(path, folder, heavy)
    if ending == ".parquet":
        return open_parquet(path, folder, heavy, None)
    raise EvaluationError(
        f"the data {path.name} end in {ending!r}",
        expected=f"a file of the kinds {', '.join((*DELIMITERS, *ENDINGS, '.parquet'))}, or a "
        "folder of Parquet files",
        hint="pandas reads other kinds: give its DataFrame",
    )


def _only(rows: TableRows, split: str | None) -> TableRows:
    """The rows of a split, by their column "split"."""
    if split is None:
        return rows
    if "split" not in rows.columns:
        raise EvaluationError(
            f"split={split!r} was given, and {rows.name} has no column 'split'",
            expected="no split, or data with such a column",
        )
    found = tuple(row for row in rows if str(row["split"]) == split)
    if not found:
        known = sorted({str(row["split"]) for row in rows})
        raise EvaluationError(
            f"{rows.name} has no rows of the split {split!r}",
            expected=f"one of {', '.join(map(repr, known))}",
        )
    return TableRows(f"{rows.name}:{split}", rows.columns, found, rows.measure)
