"""Tables in HTML, read tag by tag."""

from __future__ import annotations

from qwenvl_kit.documents.reading.grids import GridCell, table_of
from qwenvl_kit.documents.reading.markup import Piece
from qwenvl_kit.documents.tables import Table

_MOST_DIGITS = 5


class HtmlTable:
    """Collects the cells of a table. A table within a cell becomes text of the cell."""

    def __init__(self) -> None:
        self._rows: list[list[GridCell]] = []
        self._cell: list[str] | None = None
        self._opened: Piece | None = None
        self._depth = 0
        self._in_head = False
        self._in_caption = False
        self._caption: list[str] = []
        self._num_nested = 0

    @property
    def is_over(self) -> bool:
        """True after the end tag of the table itself."""
        return self._depth < 0

    @property
    def caption(self) -> str:
        """The text of its caption, and text between its cells."""
        return " ".join("".join(self._caption).split())

    def feed(self, piece: Piece) -> None:
        """Take the next tag or text after the start tag of the table."""
        if piece.kind == "text":
            self._write(piece.text)
        elif piece.name == "table":
            self._nest(piece)
        elif piece.name == "math":
            self._write("$")
        elif self._depth:
            self._write(" " if piece.name in ("td", "th", "tr", "br") else "")
        elif piece.kind == "open":
            self._open(piece)
        else:
            self._close(piece.name)

    def result(self) -> tuple[Table | None, list[str]]:
        """Return the table, as far as it was written, and warnings."""
        self._end_cell()
        found, told = table_of([row for row in self._rows if row])
        if self._num_nested:
            told.append("a table within a cell of a table is given as its text")
        return found, told

    def lines(self) -> str:
        """Return the cells as they are written, a line for each row."""
        self._end_cell()
        return "\n".join(" | ".join(cell.text for cell in row) for row in self._rows if row)

    def _nest(self, piece: Piece) -> None:
        self._depth += 1 if piece.kind == "open" else -1
        self._num_nested += piece.kind == "open"
        self._write(" ")

    def _write(self, text: str) -> None:
        if self._cell is not None:
            self._cell.append(text)
        elif self._in_caption or text.strip():
            self._caption.append(text)

    def _open(self, piece: Piece) -> None:
        if piece.name == "tr":
            self._end_cell()
            self._rows.append([])
        elif piece.name in ("td", "th"):
            self._end_cell()
            self._cell, self._opened = [], piece
        elif piece.name in ("thead", "tbody", "tfoot"):
            self._end_cell()
            self._in_head = piece.name == "thead"
            self._rows.append([])
        elif piece.name == "caption":
            self._in_caption = True
        elif piece.name in ("br", "p", "div", "li"):
            self._write("\n")

    def _close(self, name: str) -> None:
        if name in ("td", "th", "tr"):
            self._end_cell()
            if name == "tr":
                self._rows.append([])
        elif name == "thead":
            self._end_cell()
            self._in_head = False
        elif name == "caption":
            self._in_caption = False

    def _end_cell(self) -> None:
        if self._cell is None or self._opened is None:
            return
        lines = (" ".join(line.split()) for line in "".join(self._cell).split("\n"))
        cell = GridCell(
            "\n".join(filter(None, lines)),
            _span(self._opened, "rowspan"),
            _span(self._opened, "colspan"),
            is_heading=self._in_head or self._opened.name == "th",
        )
        if not self._rows:
            self._rows.append([])
        self._rows[-1].append(cell)
        self._cell = None


def _span(piece: Piece, name: str) -> int:
    written = piece.attributes.get(name, "").strip()
    is_number = written.isascii() and written.isdigit() and len(written) <= _MOST_DIGITS
    return max(1, int(written)) if is_number else 1
