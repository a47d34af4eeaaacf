"""Blocks of HTML: tables, bars, facts, notes, and text that is folded away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

from qwenvl_kit.display.text import count, html, percent

MOST_ROWS = 60
"""The most rows of a table; of more, the first and the last are shown."""

_LAST_ROWS = 10
_LONG = 40
_MOST_CHARACTERS = 2000
"""The length of a long cell, and the most characters of a cell."""


class Rows(Sequence[Sequence["Cell"]]):
    """The rows of a long table, of which only those that are shown are made.

    Args:
        number: the number of rows.
        make: makes the row with an index.
    """

    def __init__(self, number: int, make: Callable[[int], Sequence[Cell]]) -> None:
        self._indices, self._make = range(number), make

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, at: int) -> Sequence[Cell]: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Sequence[Cell]]: ...

    def __getitem__(self, at: int | slice) -> Sequence[Any]:
        if isinstance(at, slice):
            return [self._make(index) for index in self._indices[at]]
        return self._make(self._indices[at])


@dataclass(frozen=True)
class Html:
    """HTML that is safe already: a cell or a block that is not escaped again."""

    text: str


Cell = str | Html
"""A cell of a table: a text, or safe HTML."""


def table(
    headings: Sequence[str], rows: Sequence[Sequence[Cell]], numbers: Iterable[int] = ()
) -> str:
    """Return a table.

    Args:
        headings: one heading per column.
        rows: the cells of each row.
        numbers: the indices of columns of numbers, which are aligned right.
    """
    right = frozenset(numbers)
    shown = rows if len(rows) <= MOST_ROWS else rows[: MOST_ROWS - _LAST_ROWS]
    body = [_row(row, "td", right) for row in shown]
    if len(rows) > MOST_ROWS:
        more = count(len(rows) - MOST_ROWS, "more row")
        body.append(f'<tr><td colspan="{len(headings)}">... {more} ...</td></tr>')
        body += [_row(row, "td", right) for row in rows[-_LAST_ROWS:]]
    head = _row(headings, "th", right)
    return (
        f'<div class="qvk-wide"><table><thead>{head}</thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _row(cells: Sequence[Cell], tag: str, right: frozenset[int]) -> str:
    written = "".join(
        f"<{tag} {'class=n' if at in right else _text_cell(cell)}>{_cell(cell)}</{tag}>"
        for at, cell in enumerate(cells)
    )
    return f"<tr>{written}</tr>"


def _text_cell(cell: Cell) -> str:
    """The attributes of a cell of text: a long one is given room on a narrow screen, too."""
    is_long = isinstance(cell, str) and len(cell) > _LONG
    return "class=w dir=auto" if is_long else "dir=auto"


def _cell(cell: Cell) -> str:
    return cell.text if isinstance(cell, Html) else html(clipped(cell, _MOST_CHARACTERS))


def clipped(text: str, most: int) -> str:
    """Return a text, or its beginning and the number of characters that are left out."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most:,} characters more)"


def bar(share: float | None) -> Html:
    """Return a share of 1 as a bar with its percent; empty if it is not known."""
    if share is None:
        return Html("")
    width = round(100 * min(1.0, max(0.0, share)))
    inside = f'<b style="width:{width}%"></b>'
    drawn = f'<span class="qvk-bar">{inside}</span>{percent(share)}'
    return Html(f'<span class="qvk-share">{drawn}</span>')


def facts(*known: Cell) -> str:
    """Return facts in one line of small print; empty ones are left out."""
    written = [_cell(fact) for fact in known if fact not in ("", Html(""))]
    return f'<div class="qvk-facts">{" · ".join(written)}</div>' if written else ""


def notes(texts: Iterable[str]) -> str:
    """Return warnings and errors, each in a line that stands out."""
    return "".join(
        f'<div class="qvk-note" dir="auto">{html(clipped(text, _MOST_CHARACTERS))}</div>'
        for text in texts
    )


def folded(summary: str, block: str) -> str:
    """Return a block of HTML that is shown on a click on its summary; empty for no block."""
    return f"<details><summary>{html(summary)}</summary>{block}</details>" if block else ""


def preformatted(text: str) -> str:
    """Return a text with its lines and columns as they are."""
    return f"<pre>{html(text)}</pre>"


def heading(text: str) -> str:
    """Return a line in bold."""
    return f"<div><strong>{html(text)}</strong></div>"
