"""Tables of text for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qwenvl_kit.safe_text import escaped


@dataclass(frozen=True)
class Table:
    """A table with headings, rows, and notes below it.

    Attributes:
        headings: one heading per column.
        rows: the cells of each row; the first column is aligned left, the others right.
        notes: lines of text below the table.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def to_text(self) -> str:
        """Return the table as text with aligned columns, each row and note in one line."""
        headings, *rows = ([*map(escaped, row)] for row in (self.headings, *self.rows))
        widths = [max(map(len, column)) for column in zip(headings, *rows)]
        rule = "  ".join("-" * width for width in widths)
        lines = [_aligned(headings, widths), rule, *(_aligned(row, widths) for row in rows)]
        return "\n".join([*lines, *map(escaped, self.notes)])

    def to_html(self) -> str:
        """Return the table as HTML: a table element and paragraphs, with all content escaped."""
        head = "".join(f"<th>{_escaped(text)}</th>" for text in self.headings)
        body = "".join(f"<tr>{_cells(row)}</tr>" for row in self.rows)
        notes = "".join(f"<p>{_escaped(note)}</p>" for note in self.notes)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if index else cell.ljust(width)
        for index, (cell, width) in enumerate(zip(cells, widths))
    )
    return "  ".join([first, *others]).rstrip()


def _cells(row: Sequence[str]) -> str:
    first, *others = map(_escaped, row)
    numbers = "".join(f'<td style="text-align:right">{cell}</td>' for cell in others)
    return f'<td style="text-align:left">{first}</td>{numbers}'


def _escaped(text: str) -> str:
    from qwenvl_kit.display.text import html  # importing the package must be cheap

    return html(text)
