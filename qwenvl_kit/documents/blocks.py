"""Blocks of a document: the pieces of its pages, each with its kind, text and place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from qwenvl_kit.display.text import short_repr
from qwenvl_kit.documents.tables import Table
from qwenvl_kit.errors import InputError
from qwenvl_kit.grounding.boxes import Box

BlockKind: TypeAlias = Literal[
    "heading",
    "text",
    "list",
    "table",
    "image",
    "chart",
    "formula",
    "code",
    "caption",
    "header",
    "footer",
    "page_number",
]
"""The kind of a block. "header", "footer" and "page_number" stand on the margin of a page and are
no part of the text that goes on over its pages."""

BLOCK_KINDS: tuple[BlockKind, ...] = get_args(BlockKind)

MARGIN_KINDS: frozenset[BlockKind] = frozenset({"header", "footer", "page_number"})
"""The kinds on the margin of a page."""

MOST_LEVELS = 6
"""The levels of headings in HTML and Markdown."""


@dataclass(frozen=True, repr=False)
class Block:
    """A piece of a page: a heading, a paragraph, a table, a picture. `str(block)` is its text.

    Attributes:
        kind: its kind; see `BlockKind`.
        text: its text. A formula is LaTeX without its dollar signs. The items of a list are lines
            that begin with their marks; those of a deeper level are indented by two spaces. A
            picture has its description or the text in it, if the model wrote one. A table has its
            cells as lines, with " | " between them.
        box: its place, in pixels of the upright original picture of its page; None if the model
            gave none.
        confidence: the geometric mean of the probabilities of its tokens, in [0, 1]; None without
            scores.
        level: the level of a heading, from 1 to 6; None for other kinds.
        table: the rows of a table or a chart; None if there are none.
        page: the number of its page, from 1; of a block that goes on over pages, the first.
        parts: the blocks of one page each that were joined to this one; empty if it is one of them.

    Raises:
        InputError: the kind is not known, or the level is not from 1 to 6.
    """

    kind: BlockKind
    text: str
    box: Box | None = None
    confidence: float | None = None
    level: int | None = None
    table: Table | None = None
    page: int = 1
    parts: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in BLOCK_KINDS:
            expected = f"one of {', '.join(BLOCK_KINDS)}"
            raise InputError(f"kind={self.kind!r} was given", expected=expected)
        if self.level is not None and self.level not in range(1, MOST_LEVELS + 1):
            raise InputError(f"level={self.level!r} was given", expected="1 to 6, or None")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return short_repr(
            f"Block {self.kind}", self.text, page=self.page, confidence=self.confidence
        )

    @property
    def is_on_margin(self) -> bool:
        """True for a header, a footer or a page number."""
        return self.kind in MARGIN_KINDS
