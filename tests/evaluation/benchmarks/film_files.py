"""Folders with the names of films: most tests of benchmarks never open one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.messages.message import VideoPart


def with_films(folder: Path, names: Iterable[str]) -> Path:
    """A folder with empty files of these names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def only_film(item: Any) -> VideoPart:
    """The film of an item."""
    (film,) = item.media
    assert isinstance(film, VideoPart)
    return film


def write_tsv(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """A file as VLMEvalKit writes it: pandas with tabs, quoted where that is needed."""
    import csv

    given = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(given[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(given)
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A file as Hugging Face writes it."""
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def chat_that(answer: Callable[[BackendRequest], str], **options: Any) -> VisionChat:
    """A chat whose answers a function gives."""
    return VisionChat(ScriptedBackend(answer, **options))
