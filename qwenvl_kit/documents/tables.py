"""Tables of documents as rows of text, with the cells that are merged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwenvl_kit.errors import InputError, MissingPackageError

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class MergedCell:
    """A cell of a table that covers several places.

    Attributes:
        row, column: the place of its upper left corner, from 0.
        num_rows, num_columns: the rows and columns that it covers.
    """

    row: int
    column: int
    num_rows: int
    num_columns: int

    def places(self) -> Iterator[tuple[int, int]]:
        """Yield the row and column of each place that it covers, row by row."""
        for row in range(self.row, self.row + self.num_rows):
            for column in range(self.column, self.column + self.num_columns):
                yield row, column


@dataclass(frozen=True)
class Table:
    """A table of a document; all rows have the same number of cells.

    The text of a merged cell stands in each place that it covers, so that each row can be read on
    its own: the rule of `pandas.read_html` and of docling.

    Attributes:
        rows: the texts of the cells, row by row, headings first.
        header_rows: the number of rows at the top that are headings.
        merged: the cells that cover more than one place.

    Raises:
        InputError: rows differ in length, there are more headings than rows, or a merged cell
            reaches beyond the table.
    """

    rows: tuple[tuple[str, ...], ...]
    header_rows: int = 0
    merged: tuple[MergedCell, ...] = ()

    def __post_init__(self) -> None:
        if len({len(row) for row in self.rows}) > 1:
            raise InputError("the rows of a table differ in length", expected="equally many cells")
        if not 0 <= self.header_rows <= len(self.rows):
            raise InputError(
                f"header_rows={self.header_rows!r} was given", expected=f"0 to {len(self.rows)}"
            )
        for cell in self.merged:
            below, right = cell.row + cell.num_rows, cell.column + cell.num_columns
            is_inside = below <= len(self.rows) and right <= self.num_columns
            if min(cell.row, cell.column, cell.num_rows - 1, cell.num_columns - 1) < 0 or (
                not is_inside
            ):
                raise InputError(f"{cell} was given", expected="a cell inside the table")

    @property
    def num_columns(self) -> int:
        """The number of columns."""
        return len(self.rows[0]) if self.rows else 0

    @property
    def headings(self) -> tuple[tuple[str, ...], ...]:
        """The rows that are headings."""
        return self.rows[: self.header_rows]

    @property
    def body(self) -> tuple[tuple[str, ...], ...]:
        """The rows below the headings."""
        return self.rows[self.header_rows :]

    def to_pandas(self) -> pandas.DataFrame:
        """Return the table as a pandas data frame; all cells are strings.

        Several rows of headings are joined to one, with a space between their texts; a text that
        is repeated is written once.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingPackageError(
                "pandas is not installed", hint="pip install pandas"
            ) from error
        names = [" ".join(filter(None, dict.fromkeys(column))) for column in zip(*self.headings)]
        return pandas.DataFrame(list(self.body), columns=names or None)


def text_of(table: Table) -> str:
    """Return the cells of a table as lines, with a bar between them."""
    return "\n".join(" | ".join(row) for row in table.rows)
