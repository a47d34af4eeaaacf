"""Rows of TSV and CSV files. Long cells are found again by the bytes before their record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.evaluation.data.tables import (
    FileStamp,
    TableRows,
    check_columns,
    digest_files,
    is_short,
    unreadable,
    with_shared_pictures,
)

DELIMITERS = {".tsv": "\t", ".csv": ","}
"""The delimiter by the ending of a file."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BUFFER_BYTES = 2**20
_MOST_BYTES = 2**30
"""The longest record: a quote that is never closed would take the whole file into memory."""


def open_delimited(path: Path, folder: Path, heavy: Sequence[str]) -> TableRows:
    """Return the rows of a TSV or CSV file (RFC 4180); its first line has the columns.

    One pass finds the records. Cells of heavy columns are left in the file unless they are short,
    so that a file of many GB needs little memory.

    Args:
        path: the file, in UTF-8.
        folder: the folder of relative paths.
        heavy: the columns of long cells.

    Raises:
        EvaluationError: it cannot be read, is not in UTF-8, or a line has more or fewer cells than
            there are columns.
    """
    file = _RecordFile(FileStamp.of(path), DELIMITERS[path.suffix.lower()])
    records = file.records()
    header = next(records, None)
    if header is None:
        raise EvaluationError(f"the file {path} is empty", expected="a line with columns, and rows")
    columns = tuple(header.cells)
    _check_header(columns, path)
    rows = [file.row(record, columns, folder, heavy) for record in records]
    shared = with_shared_pictures(rows, columns)
    return TableRows(path.name, columns, shared, partial(digest_files, [file.stamp]))


class _Record(NamedTuple):
    """A record: the bytes before it, its bytes, the line where it begins, and its cells."""

    offset: int
    num_bytes: int
    line: int
    cells: list[str]


@dataclass(frozen=True)
class _RecordFile:
    """A file of records."""

    stamp: FileStamp
    delimiter: str

    @property
    def path(self) -> Path:
        return self.stamp.path

    def records(self) -> Iterator[_Record]:
        """Its records in their order; blank lines are none."""
        try:
            with open(self.path, "rb", buffering=_BUFFER_BYTES) as file:
                offset = len(_BYTE_ORDER_MARK) if file.read(3) == _BYTE_ORDER_MARK else 0
                file.seek(offset)
                for line, content in self._whole_records(file):
                    if content.strip(b"\r\n"):
                        cells = self._cells(content, f"{self.path.name}:{line}")
                        yield _Record(offset, len(content), line, cells)
                    offset += len(content)
        except OSError as error:
            raise unreadable(self.path, error) from error

    def row(
        self, record: _Record, columns: Sequence[str], folder: Path, heavy: Sequence[str]
    ) -> Row:
        """A record as a row."""
        where = f"{self.path.name}:{record.line}"
        if len(record.cells) != len(columns):
            raise EvaluationError(
                f"the line has {len(record.cells)} cells",
                expected=f"{len(columns)}, as many as there are columns",
                hint="quote cells that hold a delimiter or a line end; a last line that is short "
                "means that the file is cut off",
                where=where,
            )
        cells = dict(zip(columns, record.cells))
        left = [name for name in columns if name in heavy and not is_short(cells[name])]
        readers = {
            name: partial(self.cell, record.offset, record.num_bytes, columns.index(name), where)
            for name in left
        }
        kept = {name: cell for name, cell in cells.items() if name not in readers}
        return Row(kept, where, readers, folder)

    def cell(self, offset: int, num_bytes: int, column: int, where: str) -> str:
        """Read one cell of a record again."""
        self.stamp.check(where)
        try:
            with open(self.path, "rb") as file:
                file.seek(offset)
                content = file.read(num_bytes)
        except OSError as error:
            raise unreadable(self.path, error) from error
        return self._cells(content, where)[column]

    def _whole_records(self, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        """The records with the line where each begins; a quoted cell may go over several lines."""
        delimiter = self.delimiter.encode()
        lines: list[bytes] = []
        first, num_bytes, is_open = 1, 0, False
        for number, line in enumerate(file, 1):
            lines.append(line)
            num_bytes += len(line)
            is_open = _is_open_after(line, delimiter, is_open)
            if num_bytes > _MOST_BYTES:
                break
            if not is_open:
                yield first, b"".join(lines)
                lines, first, num_bytes = [], number + 1, 0
        if lines:
            raise EvaluationError(
                "a quote is opened and not closed"
                if is_open
                else f"a record has more than {_MOST_BYTES:,} bytes",
                expected="a quote at the end of each cell that begins with one",
                hint="the file may be cut off: compare its size with that of the original",
                where=f"{self.path.name}:{first}",
            )

    def _cells(self, content: bytes, where: str) -> list[str]:
        """The cells of a record."""
        num_ends = 2 if content.endswith(b"\r\n") else int(content.endswith(b"\n"))
        try:
            text = str(memoryview(content)[: len(content) - num_ends], "utf-8")
        except UnicodeDecodeError as error:
            raise EvaluationError(
                f"the line is no text in UTF-8 (byte {error.start})",
                expected="a file in UTF-8",
                hint=f"iconv -t UTF-8 {self.path.name}",
                where=where,
            ) from error
        return split_cells(text, self.delimiter)


def split_cells(text: str, delimiter: str) -> list[str]:
    """Return the cells of a record (RFC 4180); two quotes in a quoted cell are one.

    Python's `csv` has a bound for the length of a cell that holds for the whole process, below the
    length of a picture in base64.

    Args:
        text: a whole record, without its line end.
        delimiter: the character between cells.
    """
    if '"' not in text:
        return text.split(delimiter)
    cells: list[str] = []
    at = 0
    while at >= 0:
        quoted = ""
        if text.startswith('"', at):
            end = _after_quoted(text, '"', at + 1)
            quoted, at = text[at + 1 : end - 1], end
            if '"' in quoted:
                quoted = quoted.replace('""', '"')
        stop = text.find(delimiter, at)
        cells.append(quoted + (text[at:] if stop < 0 else text[at:stop]))
        at = stop + 1 if stop >= 0 else -1
    return cells


def _is_open_after(line: bytes, delimiter: bytes, is_open: bool) -> bool:
    """True if a quoted cell goes on after a line."""
    if b'"' not in line:
        return is_open
    at = 0
    while True:
        if not is_open and line.startswith(b'"', at):
            is_open, at = True, at + 1
        if is_open:
            at = _after_quoted(line, b'"', at)
            if at < 0:
                return True
            is_open = False
        at = line.find(delimiter, at) + 1
        if at == 0:
            return False


def _after_quoted(text: str | bytes, quote: str | bytes, at: int) -> int:
    """The place after the quote that ends a quoted cell; -1 if there is none."""
    while (found := text.find(quote, at)) >= 0:  # type: ignore[arg-type]
        if not text.startswith(quote, found + 1):  # type: ignore[arg-type]
            return found + 1
        at = found + 2
    return -1


def _check_header(columns: Sequence[str], path: Path) -> None:
    check_columns(columns, path.name)
    if any("\r" in name for name in columns):
        raise EvaluationError(
            f"the lines of {path.name} end with a carriage return alone",
            expected="lines that end with a line feed",
            hint="tr '\\r' '\\n' makes them so",
        )
