"""Cells of a table as they are written, laid out in a grid of rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qwenvl_kit.documents.tables import MergedCell, Table

MOST_COLUMNS = 1000
"""The most columns that a cell covers (HTML standard, "colspan")."""

MOST_CELLS = 100_000
"""The most cells of a table, places of merged cells and missing ones included."""


@dataclass(frozen=True)
class GridCell:
    """A cell as it is written.

    Attributes:
        text: its text.
        num_rows, num_columns: the rows and columns that it says it covers.
        is_heading: True if it is marked as a heading.
    """

    text: str
    num_rows: int = 1
    num_columns: int = 1
    is_heading: bool = False


def table_of(
    rows: Sequence[Sequence[GridCell]], header_rows: int | None = None
) -> tuple[Table | None, list[str]]:
    """Lay out cells from left to right, each in the first place that is free.

    Args:
        rows: the cells of each row.
        header_rows: the number of rows that are headings; None counts the rows at the top whose
            cells are all marked as headings.

    Returns:
        The table, and warnings about what had to be corrected; None if there are no cells, or more
        than `MOST_CELLS`.
    """
    grid = _Grid(len(rows))
    for row in rows:
        if not grid.add(row):
            return None, [f"a table of more than {MOST_CELLS:,} cells is given as text"]
    if not grid.width:
        return None, []
    heads = _num_heads(rows) if header_rows is None else header_rows
    return Table(grid.padded(), min(heads, len(rows)), tuple(grid.merged)), grid.warnings()


def _num_heads(rows: Sequence[Sequence[GridCell]]) -> int:
    for at, row in enumerate(rows):
        if not row or not all(cell.is_heading for cell in row):
            return at
    return 0 if len(rows) == 1 else len(rows)


class _Grid:
    """Rows that fill up from the top."""

    def __init__(self, num_rows: int) -> None:
        self._num_rows = num_rows
        self._rows: list[list[str]] = []
        self._held: dict[int, tuple[int, str]] = {}
        self.merged: list[MergedCell] = []
        self.width = 0
        self._num_beyond = 0

    def add(self, cells: Sequence[GridCell]) -> bool:
        """Add a row; False if the table grows too large."""
        row: list[str] = []
        self._rows.append(row)
        for cell in cells:
            self._fill_held(row)
            self._place(row, cell)
        self._fill_held(row)
        self.width = max(self.width, len(row))
        return self.width <= MOST_COLUMNS and self.width * len(self._rows) <= MOST_CELLS

    def _fill_held(self, row: list[str]) -> None:
        """Fill the places that cells of rows above cover."""
        while len(row) in self._held:
            rest, text = self._held.pop(len(row))
            if rest > 1:
                self._held[len(row)] = (rest - 1, text)
            row.append(text)

    def _place(self, row: list[str], cell: GridCell) -> None:
        at, column = len(self._rows) - 1, len(row)
        wide, high = max(1, cell.num_columns), max(1, cell.num_rows)
        free = next(
            (n for n in range(1, min(wide, MOST_COLUMNS)) if column + n in self._held), wide
        )
        below = self._num_rows - at
        self._num_beyond += high > below
        wide, high = min(wide, free, MOST_COLUMNS), min(high, below)
        if wide > 1 or high > 1:
            self.merged.append(MergedCell(at, column, high, wide))
        for place in range(column, column + wide):
            if high > 1:
                self._held[place] = (high - 1, cell.text)
            row.append(cell.text)

    def padded(self) -> tuple[tuple[str, ...], ...]:
        """The rows, all equally long."""
        return tuple((*row, *[""] * (self.width - len(row))) for row in self._rows)

    def warnings(self) -> list[str]:
        """Messages about rows that differ in length, and cells that reach beyond the last row."""
        short = sum(len(row) < self.width for row in self._rows)
        told = []
        if short:
            told.append(
                f"{short} of {len(self._rows)} rows of a table have fewer than {self.width} cells"
            )
        if self._num_beyond:
            told.append("a cell of a table reaches beyond its last row")
        return told
