"""Rows of Parquet files. Pictures are read when they are needed, a few rows at a time."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from qwenvl_kit.errors import EvaluationError, MissingPackageError
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.data.tables import (
    FileStamp,
    TableRows,
    check_columns,
    digest_files,
    with_shared_pictures,
)

_BATCH_ROWS = 8
"""The rows of a heavy column that are in memory at once."""

_LIGHT_ROWS = 1024
"""The rows of light columns that are read at once."""

_MOST_CURSORS = 16
"""The columns that are read from at once."""

_BUFFER_BYTES = 2**20
_SHARD = re.compile(r"(?P<split>.+?)-(?P<at>\d{5})-of-(?P<all>\d{5})(?:-[0-9a-f]+)?")
"""The name of a shard, as `datasets` writes it: `test-00000-of-00003.parquet`."""


def open_parquet(path: Path, folder: Path, heavy: Sequence[str], split: str | None) -> TableRows:
    """Return the rows of a Parquet file, or of a folder of them, as a snapshot of a hub has them.

    Columns that hold bytes are heavy as well as those that are named.

    Args:
        path: a file, or a folder that holds the shards of one split, in it or in `data/`.
        folder: the folder of relative paths.
        heavy: the columns of long cells.
        split: the split of a folder; None if there is one alone.

    Raises:
        EvaluationError: there is no such split, a shard is missing, or a file is not Parquet.
        MissingPackageError: pyarrow is not installed.
    """
    paths = chosen_files(path, split) if path.is_dir() else [path]
    rows: list[Row] = []
    columns: dict[str, None] = {}
    stamps = [FileStamp.of(each) for each in paths]
    for file in map(_ParquetFile, stamps):
        columns |= dict.fromkeys(file.columns())
        rows += file.rows(folder, heavy)
    shared = with_shared_pictures(rows, tuple(columns))
    name = path.name if split is None else f"{path.name}:{split}"
    return TableRows(name, tuple(columns), shared, partial(digest_files, stamps))


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


@dataclass(frozen=True)
class _ParquetFile:
    """A Parquet file, opened anew for each use."""

    stamp: FileStamp

    @property
    def name(self) -> str:
        return self.stamp.path.name

    def columns(self) -> list[str]:
        """Its columns."""
        with _opened(self.stamp.path) as file:
            found = list(file.schema_arrow.names)
        check_columns(found, self.name)
        return found

    def rows(self, folder: Path, heavy: Sequence[str]) -> Iterator[Row]:
        """Its rows, with the cells of its light columns."""
        number = 0
        with _opened(self.stamp.path) as file:
            fields = list(file.schema_arrow)
            left = [each.name for each in fields if each.name in heavy or _holds_bytes(each.type)]
            light = [each.name for each in fields if each.name not in left]
            for group in range(file.num_row_groups):
                num_rows = file.metadata.row_group(group).num_rows
                read = self._read(_light_rows(file, group, light, num_rows))
                for at, cells in enumerate(read):
                    number += 1
                    where = f"{self.name}:{number}"
                    readers = {name: partial(self.cell, group, at, name, where) for name in left}
                    yield Row(cells, where, readers, folder)

    def _read(self, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Rows as they are read.

        Raises:
            EvaluationError: a page of the file is damaged, or a text is not in UTF-8.
        """
        import pyarrow

        try:
            yield from rows
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise _damaged(self.stamp.path, error) from error

    def cell(self, group: int, at: int, column: str, where: str) -> Any:
        """Read one cell of a heavy column."""
        self.stamp.check(where)
        return _CURSORS.cell(self.stamp, group, column, at)


def _light_rows(
    file: Any, group: int, columns: Sequence[str], num_rows: int
) -> Iterator[dict[str, Any]]:
    """The cells of light columns of each row of a group.

    Batches are read in place of the whole group, whose nested columns may hold at most 2 GiB
    (apache/arrow issue 21526).
    """
    if not columns:
        yield from ({} for _ in range(num_rows))
        return
    short = {each.name for each in file.schema_arrow if str(each.type) in ("float", "halffloat")}
    for batch in file.iter_batches(_LIGHT_ROWS, row_groups=[group], columns=list(columns)):
        for cells in batch.to_pylist():
            yield {name: _shown(cells[name]) if name in short else cells[name] for name in columns}


def _shown(value: float | None) -> float | None:
    """A float of four bytes as the number that it shows: 0.1, and not 0.10000000149011612."""
    import numpy

    return None if value is None else float(str(numpy.float32(value)))


def _holds_bytes(kind: Any) -> bool:
    """True for a type of bytes, or one that has bytes inside."""
    import pyarrow.types

    if pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind):
        return True
    return any(_holds_bytes(kind.field(at).type) for at in range(kind.num_fields))


def _opened(path: Path) -> Any:
    """A Parquet file whose pages are read as they are needed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError(
            "pyarrow is not installed, which reads Parquet files",
            hint="pip install 'qwenvl-kit[evaluation]'",
        ) from error
    try:
        return pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> EvaluationError:
    return EvaluationError(
        f"the file {path.name} cannot be read as Parquet ({str(error)[:120]})",
        expected="a whole Parquet file",
        hint="a file of about 130 bytes is a pointer of Git LFS: git lfs pull",
    )


class _Cursor:
    """Reads the cells of a column one after another; back means from the start of a row group."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._lock = Lock()
        self._at: tuple[FileStamp, int] | None = None
        self._batches: Iterator[Any] = iter(())
        self._first, self._cells = 0, ()

    def cell(self, stamp: FileStamp, group: int, at: int) -> Any:
        """The cell of a row of a group, counted from 0."""
        with self._lock:
            if (stamp, group) != self._at or at < self._first:
                self._begin(stamp, group)
            while at >= self._first + len(self._cells):
                self._first += len(self._cells)
                self._cells = next(self._batches).column(self._column)
            return self._cells[at - self._first].as_py()

    def _begin(self, stamp: FileStamp, group: int) -> None:
        self._at, self._first, self._cells = None, 0, ()
        self._batches = _opened(stamp.path).iter_batches(
            batch_size=_BATCH_ROWS, row_groups=[group], columns=[self._column]
        )
        self._at = stamp, group


class _Cursors:
    """The cursors of the columns that were read last, in this process.

    A column has one for all files of a folder: each holds a page of its file in memory, which may
    be 1,024 pictures.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._used: OrderedDict[tuple[Path, str], _Cursor] = OrderedDict()

    def cell(self, stamp: FileStamp, group: int, column: str, at: int) -> Any:
        """Read a cell.

        Raises:
            EvaluationError: the file is damaged.
        """
        import pyarrow

        with self._lock:
            key = stamp.path.parent, column
            cursor = self._used.setdefault(key, _Cursor(column))
            self._used.move_to_end(key)
            while len(self._used) > _MOST_CURSORS:
                self._used.popitem(last=False)
        try:
            return cursor.cell(stamp, group, at)
        except (pyarrow.ArrowException, OSError, StopIteration, UnicodeDecodeError) as error:
            raise _damaged(stamp.path, error) from error


_CURSORS = _Cursors()
