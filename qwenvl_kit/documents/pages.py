"""Pages of a document that was read: blocks in reading order, with their warnings."""

from __future__ import annotations

from dataclasses import dataclass, field

from qwenvl_kit.display.text import count, short_repr
from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.geometry import Size
from qwenvl_kit.results import Reply


@dataclass(frozen=True, repr=False)
class Page:
    """A page of a document.

    Attributes:
        number: its number in the document; the first is 1.
        size: the size of its upright picture, in whose pixels the boxes are; None if the page could
            not be opened.
        blocks: its blocks in reading order.
        warnings: messages about parts that could not be read or had to be corrected.
        error: the error because of which it has no blocks; None if it was read.
        turned_degrees: the degrees by which its picture was turned clockwise to be read: 0, 90, 180
            or 270. Boxes are in pixels of the picture before that.
        replies: the answers that it was read from; empty if it comes from JSON.
    """

    number: int
    size: Size | None
    blocks: tuple[Block, ...] = ()
    warnings: tuple[str, ...] = ()
    error: QwenVLKitError | None = field(default=None, compare=False)
    turned_degrees: int = 0
    replies: tuple[Reply, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        return short_repr(
            f"Page {self.number}",
            count(len(self.blocks), "block"),
            size=None if self.size is None else str(self.size),
            confidence=self.confidence,
            warnings=len(self.warnings) or None,
            error=None if self.error is None else str(self.error),
        )

    @property
    def confidence(self) -> float | None:
        """The lowest confidence of its blocks, in [0, 1]; None without scores."""
        known = [block.confidence for block in self.blocks if block.confidence is not None]
        return min(known, default=None)
