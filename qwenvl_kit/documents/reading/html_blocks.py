"""Blocks of an HTML page while they are read."""

from __future__ import annotations

from qwenvl_kit.documents.blocks import BlockKind
from qwenvl_kit.documents.reading.formulas import without_marks
from qwenvl_kit.documents.reading.html_tables import HtmlTable
from qwenvl_kit.documents.reading.kind_words import kind_of, level_of
from qwenvl_kit.documents.reading.markup import BLOCKS, CONTAINERS, HEADINGS, LISTS, Piece
from qwenvl_kit.documents.reading.written import WrittenBlock, box_numbers
from qwenvl_kit.documents.tables import Table, text_of

_BOX = "data-bbox"
_BOX_NAMES = (_BOX, "bbox", "data-polygon")
_KIND_NAMES = ("class", "data-label", "data-category", "data-type")
_KEPT = ("class", "format", "data-label")
"""Attributes that a block keeps: the class, and the notation of music and chemistry."""

_BY_NAME: dict[str, BlockKind] = {
    **dict.fromkeys(HEADINGS, "heading"),
    **dict.fromkeys(LISTS, "list"),
    **dict.fromkeys(("p", "blockquote", "address"), "text"),
    "table": "table",
    "pre": "code",
    "img": "image",
    "figure": "image",
    "header": "header",
    "footer": "footer",
}
_MOST_INDENTS = 8
_TOLERANCE = 2.0
"""The distance, in the unit of the family, by which a part may lie outside of its block."""


def opened_block(piece: Piece, placed: Piece | None) -> OpenBlock | None:
    """Return the block that a start tag begins; None if it begins none.

    Args:
        piece: the tag.
        placed: the innermost open element with a place, for a block that has none.
    """
    named = _BY_NAME.get(piece.name)
    said = next(
        (kind for key in _KIND_NAMES if (kind := kind_of(piece.attributes.get(key, "")))), None
    )
    if piece.name in CONTAINERS:
        kind = said
    elif named == "text" or (said in ("header", "footer", "page_number")):
        kind = said or named
    else:
        kind = named
    return None if kind is None else OpenBlock(piece, kind, placed)


class OpenBlock:
    """A block whose end is not read yet.

    Args:
        element: the start tag.
        kind: the kind of the block.
        placed: the element around it with a place.

    Attributes:
        table: the table in it that is being read.
    """

    def __init__(self, element: Piece, kind: BlockKind, placed: Piece | None) -> None:
        self.element, self.kind = element, kind
        self._placed = element if _place_of(element) else placed
        self._parts: list[str] = []
        self._lists: list[tuple[str, int]] = []
        self._alt = element.attributes.get("alt", "")
        self._found: Table | None = None
        self._warnings: list[str] = []
        self.table = HtmlTable() if element.name == "table" else None
        if element.name in LISTS:
            self._lists.append((element.name, 0))

    @classmethod
    def of_text(cls, piece: Piece, placed: Piece | None) -> OpenBlock:
        """A block for a text that stands in no element of its own."""
        return cls(Piece("open", piece.start, piece.start), "text", placed)

    @property
    def takes_all(self) -> bool:
        """True while a table in it is read."""
        return self.table is not None

    def is_left_by(self, piece: Piece) -> bool:
        """True if a tag has a place outside of that of the block, so that it follows the block."""
        own, other = _place_of(self.element), _place_of(piece)
        outer, inner = own and box_numbers(own), other and box_numbers(other)
        if not outer or not inner or piece.name == "img":
            return False
        x, y = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
        return not (
            outer[0] - _TOLERANCE <= x <= outer[2] + _TOLERANCE
            and outer[1] - _TOLERANCE <= y <= outer[3] + _TOLERANCE
        )

    def feed(self, piece: Piece) -> None:
        """Take the next tag or text."""
        if self.table is not None:
            self.table.feed(piece)
        elif piece.kind == "text":
            self._parts.append(piece.text)
        elif piece.name == "table" and piece.kind == "open":
            self.table = HtmlTable()
        elif piece.name in LISTS:
            self._nest_list(piece)
        elif piece.name == "math":  # LaTeX, as models of documents write it
            self._parts.append("$")
        elif piece.name == "li" and piece.kind == "open":
            self._parts.append(f"\n{self._mark()}")
        elif piece.name == "img":
            self._alt = self._alt or piece.attributes.get("alt", "")
            self._placed = self._placed or (piece if _place_of(piece) else None)
        elif piece.name in BLOCKS or piece.name in ("br", "dt", "dd", "figcaption"):
            self._parts.append("\n")

    def end_table(self, stop: int) -> None:
        """Take the table that was read; the first is the block's own, others become text."""
        if self.table is None:
            return
        found, told = self.table.result()
        self._warnings += told
        rows = self.table.lines() if found is None else text_of(found)
        lines = "\n".join(filter(None, (self.table.caption, rows)))
        self._parts += ["\n", lines, "\n"]
        self._found, self.table = self._found or found, None

    def written(self, stop: int) -> tuple[WrittenBlock | None, list[str]]:
        """Return the block, or None if it is empty, and warnings."""
        self.end_table(stop)
        text = self._text()
        if not text and self._found is None and self.kind not in ("image", "chart"):
            return None, self._warnings
        start = max(self.element.start, self.element.stop if text else 0)
        block = WrittenBlock(
            self.kind,
            text,
            start,
            max(start, stop),
            level=self._level(),
            table=self._found if self.kind in ("table", "chart") else None,
            attributes={key: value for key in _KEPT if (value := self.element.attributes.get(key))},
            **self._numbers(),  # type: ignore[arg-type]
        )
        return block, self._warnings

    def _numbers(self) -> dict[str, object]:
        if self._placed is None:
            return {}
        name = next(name for name in _BOX_NAMES if name in self._placed.attributes)
        numbers = box_numbers(self._placed.attributes[name])
        if numbers is None:
            self._warnings.append(f"{name}={self._placed.attributes[name][:60]!r} is no box")
            return {}
        return {"numbers": numbers, "numbers_at": self._placed.attribute_places[name]}

    def _level(self) -> int | None:
        if self.kind != "heading":
            return None
        name = self.element.name
        return (
            int(name[1])
            if name in HEADINGS
            else level_of(" ".join(self.element.attributes.values()))
        )

    def _text(self) -> str:
        whole = "".join(self._parts)
        if self.kind == "code":
            return whole.strip("\n")
        lines = whole.split("\n")
        kept = [_line(line, keeps_indent=self.kind == "list") for line in lines]
        text = "\n".join(filter(None, kept))
        if self.kind == "formula":
            return without_marks(text)
        return text or (" ".join(self._alt.split()) if self.kind in ("image", "chart") else "")

    def _nest_list(self, piece: Piece) -> None:
        if piece.kind == "open":
            self._lists.append((piece.name, 0))
        elif self._lists:
            self._lists.pop()
        self._parts.append("\n")

    def _mark(self) -> str:
        if not self._lists:
            return "- "
        name, number = self._lists[-1]
        self._lists[-1] = (name, number + 1)
        indent = "\0" * min(len(self._lists) - 1, _MOST_INDENTS)
        return indent + (f"{number + 1}. " if name == "ol" else "- ")


def _line(line: str, *, keeps_indent: bool) -> str:
    """A line with single spaces; a level of a list is a zero character until here."""
    words = " ".join(line.replace("\0", "").split())
    indent = len(line) - len(line.lstrip("\0")) if keeps_indent else 0
    return "  " * indent + words if words else ""


def _place_of(piece: Piece) -> str:
    """The text of a place among the attributes of a tag; empty if there is none."""
    return next((piece.attributes[name] for name in _BOX_NAMES if name in piece.attributes), "")
