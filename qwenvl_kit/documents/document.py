"""A document that was read: its pages and blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qwenvl_kit.display.text import count, short_repr
from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.pages import Page


@dataclass(frozen=True, repr=False)
class Document:
    """A document as pages of blocks. `str(document)` is its Markdown.

    Attributes:
        pages: the pages that were read, in their order.
        name: the name of its file; empty if it has none.
    """

    pages: tuple[Page, ...]
    name: str = ""

    def __repr__(self) -> str:
        pages = count(len(self.pages), "page")
        return short_repr("Document", self.name, pages, count(len(self.blocks), "block"))

    @property
    def blocks(self) -> Sequence[Block]:
        """All blocks in reading order, each as it stands on its page."""
        return tuple(block for page in self.pages for block in page.blocks)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of all pages, each with the number of its page."""
        return tuple(f"page {page.number}: {told}" for page in self.pages for told in page.warnings)
