"""Documents in notebooks: the first pages with the boxes of their blocks, and a table of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qwenvl_kit.display.blocks import Cell, Rows, bar, facts, folded, notes, preformatted, table
from qwenvl_kit.display.pictures import Shown, strip
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count, shortened
from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.pages import Page
from qwenvl_kit.documents.pictures import PagePictures
from qwenvl_kit.errors import InputError, QwenVLKitError
from qwenvl_kit.grounding.boxes import sides_of
from qwenvl_kit.grounding.drawing import draw_places

if TYPE_CHECKING:
    import PIL.Image

_SHOWN_PAGES = 4
_PAGE_PX = 420
_MOST_NOTES = 20
_MOST_TEXT = 300


def drawn_page(page: Page, pictures: PagePictures | None) -> PIL.Image.Image:
    """Return the picture of a page with the boxes of its blocks, numbered in reading order.

    Raises:
        InputError: the document has no pictures.
        MediaError: the picture cannot be opened any more.
    """
    if pictures is None or page.number not in pictures.sources:
        raise InputError(
            "the document has no pictures of its pages",
            expected="a document that parse_document returned",
        )
    boxes = [
        replace(block.box, label=f"{at} {block.kind}")
        for at, block in enumerate(page.blocks, 1)
        if block.box is not None
    ]
    return draw_places(pictures.page(page.number), boxes, None)


def document_html(
    pages: Sequence[Page],
    pictures: PagePictures | None,
    *,
    name: str,
    warnings: Sequence[str],
    markdown: str,
) -> str:
    """Return a document as a safe block of HTML for a notebook."""
    blocks = [block for page in pages for block in page.blocks]
    rows = Rows(len(blocks), lambda at: _row(blocks[at]))
    more = len(warnings) - _MOST_NOTES
    shown = [*warnings[:_MOST_NOTES], *([f"{count(more, 'more warning')}"] if more > 0 else [])]
    return framed(
        strip(_pictures(pages, pictures), _PAGE_PX),
        table(("page", "kind", "text", "box in px", "confidence"), rows, numbers=[0]),
        facts(name, count(len(pages), "page"), count(len(blocks), "block")),
        notes(shown),
        folded("as Markdown", preformatted(markdown)),
    )


def _row(block: Block) -> tuple[Cell, ...]:
    text = shortened(block.text, _MOST_TEXT)
    return str(block.page), block.kind, text, sides_of(block.box), bar(block.confidence)


def _pictures(pages: Sequence[Page], pictures: PagePictures | None) -> list[Shown]:
    shown = []
    for page in pages[:_SHOWN_PAGES]:
        try:
            shown.append(Shown(drawn_page(page, pictures), f"page {page.number}"))
        except (QwenVLKitError, OSError):
            continue
    return shown
