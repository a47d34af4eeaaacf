"""Rows of data: cells by their columns, the heavy ones read when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Row(Mapping[str, Any]):
    """A row: its cells by their columns.

    Args:
        cells: the cells that are in memory.
        where: its place, such as `DocVQA_VAL.tsv:3`.
        heavy: functions that read the other cells, such as pictures, each time they are asked for.
        folder: the folder of media with relative paths; None if there is none.
    """

    __slots__ = ("_cells", "_heavy", "folder", "where")

    def __init__(
        self,
        cells: Mapping[str, Any],
        where: str,
        heavy: Mapping[str, Callable[[], Any]] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._cells = cells
        self._heavy = heavy or {}
        self.where = where
        self.folder = folder

    def __getitem__(self, column: str) -> Any:
        if column in self._heavy:
            return self._heavy[column]()
        return self._cells[column]

    def __contains__(self, column: object) -> bool:
        return column in self._cells or column in self._heavy  # a Mapping's own would read the cell

    def __iter__(self) -> Iterator[str]:
        yield from self._cells
        yield from (column for column in self._heavy if column not in self._cells)

    def __len__(self) -> int:
        return len({*self._cells, *self._heavy})

    def __repr__(self) -> str:
        return f"Row({self.where!r}, columns {', '.join(self)})"

    def is_in_memory(self, column: str) -> bool:
        """Return True if a cell needs no reading."""
        return column in self._cells and column not in self._heavy

    def with_cells(self, cells: Mapping[str, Any]) -> Row:
        """Return the row with further cells, which its own go before."""
        return Row({**cells, **self._cells}, self.where, self._heavy, self.folder)

    def with_changed(self, cells: Mapping[str, Any]) -> Row:
        """Return the row with cells in place of its own."""
        return Row({**self._cells, **cells}, self.where, self._heavy, self.folder)

    def with_heavy(self, column: str, read: Callable[[], Any]) -> Row:
        """Return the row with another way to read a cell."""
        return Row(self._cells, self.where, {**self._heavy, column: read}, self.folder)


class Rows(Protocol):
    """The rows of a file, or of values in memory.

    Attributes:
        name: a name for errors and results, such as the name of the file.
        columns: the columns, in their order.
        digest: the SHA-256 of the content, as hex digits.
    """

    @property
    def name(self) -> str:
        """The name."""

    @property
    def columns(self) -> Sequence[str]:
        """The columns."""

    @property
    def digest(self) -> str:
        """The digest."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Row]: ...
