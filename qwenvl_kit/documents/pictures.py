"""The pictures of pages, from which blocks are cut out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.media.documents import DocumentPage
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.policy import MediaPolicy

if TYPE_CHECKING:
    import PIL.Image

PICTURE_KINDS = frozenset({"image", "chart"})
"""The kinds of blocks that are pictures."""


@dataclass(frozen=True)
class PagePictures:
    """The source of the picture of each page, opened when it is needed.

    Args:
        sources: the source of the picture of each page, by its number.
        policy: the rules for opening them.
    """

    sources: dict[int, Any]
    policy: MediaPolicy

    def page(self, number: int) -> PIL.Image.Image:
        """Draw a page at its original size, upright.

        Raises:
            MediaError: the picture cannot be opened any more.
            KeyError: there is no such page.
        """
        source = self.sources[number]
        if isinstance(source, DocumentPage):  # of which the document would keep the picture
            source = replace(source, document=source.document.anew())
        return decode_image(source, self.policy)

    def cut(self, blocks: Iterable[Block]) -> Iterator[tuple[Block, PIL.Image.Image]]:
        """Yield blocks with their pixels; each page is drawn once if its blocks come together.

        Raises:
            MediaError: a picture cannot be opened any more.
        """
        number, page = 0, None
        for block in blocks:
            if block.box is None or block.page not in self.sources:
                continue
            if page is None or number != block.page:
                number, page = block.page, self.page(block.page)
            region = block.box.region
            sides = (region.x1_px, region.y1_px, region.x2_px, region.y2_px)
            right, bottom = min(sides[2], page.width), min(sides[3], page.height)
            if sides[0] < right and sides[1] < bottom:
                yield block, page.crop((sides[0], sides[1], right, bottom))
