"""Rows of Parquet files. Pictures are read when they are needed, a few rows at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from qwenvl_kit.errors import EvaluationError, MissingPackageError
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.data.shards import chosen_files
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
                read = self._read(_light_rows(file, group, light, num_rows), number)
                for at, cells in enumerate(read):
                    number += 1
                    where = f"{self.name}:{number}"
                    readers = {name: partial(self.cell, group, at, name, where) for name in left}
                    yield Row(cells, where, readers, folder)

    def _read(self, rows: Iterator[dict[str, Any]], number: int) -> Iterator[dict[str, Any]]:
        """Rows as they are read, behind a number of others.

        Raises:
            EvaluationError: a page is damaged, or a cell cannot be read; it names the row.
        """
        import pyarrow

        try:
            for cells in rows:
                number += 1
                yield cells
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(self.stamp.path, error) from error
        except (ValueError, OverflowError) as error:
            raise _unread(error, f"{self.name}:{number + 1}") from error

    def cell(self, group: int, at: int, column: str, where: str) -> Any:
        """Read one cell of a heavy column."""
        self.stamp.check(where)
        try:
            return _CURSORS.cell(self.stamp, group, column, at)
        except (ValueError, OverflowError) as error:
            raise _unread(error, where) from error


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
        for cells in _cells(batch):
            yield {name: _shown(cells[name]) if name in short else cells[name] for name in columns}


def _cells(batch: Any) -> Iterable[dict[str, Any]]:
    """The rows of a batch; those before a cell that cannot be read come before its error."""
    try:
        return batch.to_pylist()  # type: ignore[no-any-return]
    except (ValueError, OverflowError):
        return (batch.slice(at, 1).to_pylist()[0] for at in range(len(batch)))


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


def _unread(error: Exception, where: str) -> EvaluationError:
    """The error of a cell: a text that is not in UTF-8, or a time beyond those of Python."""
    return EvaluationError(
        f"a cell cannot be read ({str(error)[:120]})",
        expected="texts in UTF-8, and times of the years 1 to 9999",
        where=where,
    )


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
        except (pyarrow.ArrowException, OSError, StopIteration) as error:
            raise _damaged(stamp.path, error) from error


_CURSORS = _Cursors()
