"""The reader of pages that models write as HTML: the prompts `qwenvl html` and `QwenVL HTML`.

Qwen2.5-VL and later families write elements with a `data-bbox`, in the order of reading. What is no
text has a `div` with a class, such as `chart`, `formula` or `image caption`, in which an `img`
stands for its picture ("QwenVL HTML Format", technical report of Qwen2.5-VL, arXiv:2502.13923,
section 2.2.1).
"""

from __future__ import annotations

import re
from dataclasses import replace

from qwenvl_kit.documents.reading.html_blocks import OpenBlock, opened_block
from qwenvl_kit.documents.reading.markup import BLOCKS, HEADINGS, VOID, Piece, scan_markup
from qwenvl_kit.documents.reading.written import WrittenBlock, WrittenPage, inner_span

_ENDED_BY_BLOCKS = HEADINGS | {"p", ""}
"""Elements in which no other block stands: the next one ends them, closed or not."""

_OPTIONAL_ENDS = frozenset({"html", "body", "p", "li", "dt", "dd", "td", "th", "tr"})
"""Elements whose end may be left out (HTML standard, "Optional tags")."""

_TAG = re.compile(r"</?[a-zA-Z]")
_MOST_DEPTH = 500
"""The elements that may be open at once; browsers have a limit of 512."""


def read_html_page(text: str) -> WrittenPage:
    """Read a page from an answer in HTML, within a fence of three backticks or not; never raises.

    Elements that are not closed end where the next begins outside of them.
    """
    start, stop = inner_span(text, ("html", "xml", ""))
    page = read_html_blocks(text, start, stop)
    if page.blocks and _TAG.search(text, start, stop) is None:
        return replace(page, warnings=("the answer holds no HTML; it is given as text",))
    return page


def read_html_blocks(text: str, start: int, stop: int) -> WrittenPage:
    """Read the blocks between two positions of a text."""
    reader = _PageReader()
    for piece in scan_markup(text, start, stop):
        reader.feed(piece)
    return reader.page(stop)


class _PageReader:
    """Collects blocks piece by piece; the elements that are open stand in a list.

    A block that is open takes everything until its element ends.
    """

    def __init__(self) -> None:
        self._blocks: list[WrittenBlock] = []
        self._warnings: list[str] = []
        self._open: list[tuple[Piece, Piece | None]] = []
        self._counts: dict[str, int] = {}
        self._block: OpenBlock | None = None
        self._block_depth = 0

    def feed(self, piece: Piece) -> None:
        """Take the next tag or text."""
        if self._block is not None and self._block.takes_all:
            self._block.feed(piece)
            if self._block.table is not None and self._block.table.is_over:
                self._block.end_table(piece.stop)
            if not self._block.takes_all and self._block.element.name == "table":
                self._end_block(piece.stop)
        elif piece.kind == "text":
            self._write(piece)
        elif piece.kind == "close":
            self._close(piece)
        else:
            self._start(piece)

    def page(self, stop: int) -> WrittenPage:
        """Return what was read, after the last piece."""
        names = [piece.name for piece, _ in self._open if piece.name not in _OPTIONAL_ENDS]
        is_table = self._block is not None and self._block.takes_all
        num_unclosed = sum(name in BLOCKS for name in names) + is_table
        if num_unclosed:
            kinds = "element is" if num_unclosed == 1 else "elements are"
            self._warnings.append(f"{num_unclosed} {kinds} not closed")
        self._end_block(stop)
        return WrittenPage(tuple(self._blocks), tuple(dict.fromkeys(self._warnings)))

    def _write(self, piece: Piece) -> None:
        if self._block is None and piece.text.strip():
            self._begin(OpenBlock.of_text(piece, self._placed()))
        if self._block is not None:
            self._block.feed(piece)

    def _start(self, piece: Piece) -> None:
        if piece.name in BLOCKS and self._block is not None and self._is_beyond(piece):
            self._close_block(piece.start)
        if self._block is None:
            found = opened_block(piece, self._placed())
            if found is not None:
                self._begin(found)
        else:
            self._block.feed(piece)
        if piece.name not in VOID and piece.name != "table" and len(self._open) < _MOST_DEPTH:
            placed = piece if "data-bbox" in piece.attributes else self._placed()
            self._open.append((piece, placed))
            self._counts[piece.name] = self._counts.get(piece.name, 0) + 1
        elif self._block is not None and self._block.element is piece and piece.name in VOID:
            self._end_block(piece.stop)

    def _is_beyond(self, piece: Piece) -> bool:
        """True if an element does not belong to the block that is open."""
        block = self._block
        if block is None or block.element.name in _ENDED_BY_BLOCKS:
            return True
        if piece.name in HEADINGS and block.kind in ("list", "formula", "table", "chart"):
            return True
        return block.is_left_by(piece)

    def _close(self, piece: Piece) -> None:
        if self._block is not None and not self._block.element.name and piece.name in BLOCKS:
            self._end_block(piece.start)
        if not self._counts.get(piece.name):
            return
        if self._block is not None:
            self._block.feed(piece)
        while self._open:
            name = self._pop(piece.start)
            if name == piece.name:
                return

    def _pop(self, at: int) -> str:
        element, _ = self._open.pop()
        self._counts[element.name] -= 1
        if self._block is not None and element is self._block.element:
            self._end_block(at)
        return element.name

    def _close_block(self, at: int) -> None:
        """End the block that is open, with all elements within it."""
        if self._block is None or not self._block.element.name:
            self._end_block(at)
            return
        if self._block.element.name not in _OPTIONAL_ENDS:
            self._warnings.append(f"a <{self._block.element.name}> is not closed")
        while self._block is not None and self._open:
            self._pop(at)
        self._end_block(at)

    def _placed(self) -> Piece | None:
        """The innermost open element with a place."""
        return self._open[-1][1] if self._open else None

    def _begin(self, block: OpenBlock) -> None:
        self._block = block

    def _end_block(self, stop: int) -> None:
        block, self._block = self._block, None
        if block is None:
            return
        found, warnings = block.written(stop)
        self._warnings += warnings
        if found is not None:
            self._blocks.append(found)
