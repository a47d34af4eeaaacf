"""Rows of JSON Lines and JSON files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qwenvl_kit.errors import EvaluationError, InputError
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.data.tables import (
    FileStamp,
    TableRows,
    digest_files,
    is_short,
    with_shared_pictures,
)
from qwenvl_kit.formats.row_files import RowFiles, read_rows, row_at

ENDINGS = (".jsonl", ".ndjson", ".jsonlines", ".json")
"""The endings of the files."""

_FILES = RowFiles("data file", EvaluationError)


def open_json(path: Path, folder: Path, heavy: Sequence[str]) -> TableRows:
    """Return the rows of a file of JSON Lines, or of a JSON file.

    A JSON file holds a list of objects; or an object with such a list under "data", as DocVQA and
    TextVQA are published; or an object of objects, as MathVista is, whose keys become the column
    "key" where rows have none of that name. Long cells of JSON Lines are left in the file.

    Args:
        path: the file.
        folder: the folder of relative paths.
        heavy: the columns of long cells.

    Raises:
        EvaluationError: it cannot be read, or a row is no object.
    """
    stamp = FileStamp.of(path)
    rows = [_row(placed, stamp, folder, heavy) for placed in _values(path)]
    columns = tuple(dict.fromkeys(column for row in rows for column in row))
    shared = with_shared_pictures(rows, columns)
    return TableRows(path.name, columns, shared, partial(digest_files, [stamp]))


def _values(path: Path) -> Iterator[tuple[str, Any, int | None]]:
    """The objects of a file with their places."""
    found = list(_read(path)) if path.suffix.lower() == ".json" else _read(path)
    if isinstance(found, list) and len(found) == 1 and isinstance(found[0][1], Mapping):
        found = list(_unwrapped(*found[0]))
    yield from found


def _read(path: Path) -> Iterator[tuple[str, Any, int | None]]:
    for row in read_rows(path, _FILES):
        if isinstance(row.value, InputError):
            raise row.value
        yield Path(row.where).name, row.value, row.offset


def _unwrapped(
    where: str, value: Mapping[str, Any], offset: int | None
) -> Iterable[tuple[str, Any, int | None]]:
    """The rows in an object that is the whole of a file."""
    file = where.rpartition(":")[0]
    if isinstance(value.get("data"), list):
        return [(f"{file}: data[{at}]", each, None) for at, each in enumerate(value["data"])]
    if value and all(isinstance(each, Mapping) for each in value.values()):
        return [(f"{file}: {key}", {"key": key, **each}, None) for key, each in value.items()]
    return [(where, value, offset)]


def _row(
    placed: tuple[str, Any, int | None], stamp: FileStamp, folder: Path, heavy: Sequence[str]
) -> Row:
    where, value, offset = placed
    if not isinstance(value, Mapping):
        raise EvaluationError(
            f"a row is a {type(value).__name__}",
            expected='an object with the columns as keys, such as {"question": ..., "answer": ...}',
            where=where,
        )
    if offset is None:
        return Row(dict(value), where, None, folder)
    left = [name for name in value if name in heavy and not is_short(value[name])]
    read = _LineCells(stamp, where, offset)
    kept = {name: each for name, each in value.items() if name not in left}
    return Row(kept, where, {name: partial(read.cell, name) for name in left}, folder)


@dataclass(frozen=True)
class _LineCells:
    """Reads cells of a line of JSON Lines again."""

    stamp: FileStamp
    where: str
    offset: int

    def cell(self, column: str) -> Any:
        self.stamp.check(self.where)
        return row_at(self.stamp.path, self.where, self.offset, _FILES)[column]
