"""Documents in notebooks: the first pages with the boxes of their blocks, and a table of blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qwenvl_kit.display.blocks import Cell, Rows, bar, facts, folded, notes, preformatted, table
from qwenvl_kit.display.pictures import Shown, strip
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count, shortened
from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.pages import Page
from qwenvl_kit.errors import InputError, QwenVLKitError
from qwenvl_kit.grounding.boxes import sides_of
from qwenvl_kit.grounding.drawing import draw_places

if TYPE_CHECKING:
    import PIL.Image

    from qwenvl_kit.documents.document import Document

_SHOWN_PAGES = 4
_PAGE_PX = 420
_MOST_NOTES = 20
_MOST_TEXT = 300


def drawn_page(document: Document, page: Page) -> PIL.Image.Image:
    """Return the picture of a page with the boxes of its blocks, numbered in reading order.

    Raises:
        InputError: the document has no pictures.
        MediaError: the picture cannot be opened any more.
    """
    if document.pictures is None or page.number not in document.pictures.sources:
        raise InputError(
            "the document has no pictures of its pages",
            expected="a document that parse_document returned",
        )
    boxes = [
        replace(block.box, label=f"{at} {block.kind}")
        for at, block in enumerate(page.blocks, 1)
        if block.box is not None
    ]
    return draw_places(document.pictures.page(page.number), boxes, None)


def document_html(document: Document) -> str:
    """Return a document as a safe block of HTML for a notebook."""
    blocks = document.blocks
    rows = Rows(len(blocks), lambda at: _row(blocks[at]))
    told = [count(len(document.pages), "page"), count(len(blocks), "block")]
    warnings = document.warnings
    more = len(warnings) - _MOST_NOTES
    shown = [*warnings[:_MOST_NOTES], *([f"{count(more, 'more warning')}"] if more > 0 else [])]
    return framed(
        strip(_pictures(document), _PAGE_PX),
        table(("page", "kind", "text", "box in px", "confidence"), rows, numbers=[0]),
        facts(document.name, *told),
        notes(shown),
        folded("as Markdown", preformatted(document.to_markdown())),
    )


def _row(block: Block) -> tuple[Cell, ...]:
    text = shortened(block.text, _MOST_TEXT)
    return str(block.page), block.kind, text, sides_of(block.box), bar(block.confidence)


def _pictures(document: Document) -> list[Shown]:
    shown = []
    for page in document.pages[:_SHOWN_PAGES]:
        try:
            shown.append(Shown(drawn_page(document, page), f"page {page.number}"))
        except (QwenVLKitError, OSError):
            continue
    return shown
