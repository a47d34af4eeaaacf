"""Pages that are written as models write them, and read again."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwenvl_kit.documents import BLOCK_KINDS, Block, Document, Page
from qwenvl_kit.documents.reading.html_pages import read_html_page
from qwenvl_kit.documents.reading.markdown_pages import read_markdown_page
from qwenvl_kit.documents.reading.written import WrittenPage
from qwenvl_kit.documents.writing.model_forms import as_model_html, as_model_markdown
from qwenvl_kit.families import family_of
from tests.documents.strategies import SIZE, blocks, documents

FAMILY = family_of("qwen3_vl")
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def seen(block: Block) -> tuple[object, ...]:
    box = block.box
    sides = None if box is None else (box.x1_px, box.y1_px, box.x2_px, box.y2_px)
    text = " ".join(block.text.split()) if block.kind in ("text", "heading") else block.text
    return block.kind, text if block.table is None else "", sides, block.level, block.table


def read(page: WrittenPage) -> list[tuple[object, ...]]:
    return [
        (each.kind, each.text if each.table is None else "", each.numbers, each.level, each.table)
        for each in page.blocks
    ]


@PATIENT
@given(
    st.lists(
        blocks(
            BLOCK_KINDS,
            placed=True,
        ),
        max_size=5,
    )
)
def test_a_page_in_html_is_read_as_it_was(made: list[Block]) -> None:
    page = Page(1, SIZE, tuple(made))
    found = read_html_page(as_model_html(page, FAMILY))
    assert read(found) == [seen(block) for block in made]
    assert not found.warnings


@PATIENT
@given(
    st.lists(
        blocks(
            ("heading", "text", "list", "table", "image", "chart", "formula", "code"), placed=False
        ),
        max_size=5,
    )
)
def test_a_page_in_markdown_is_read_as_it_was(made: list[Block]) -> None:
    made = [
        block
        for at, block in enumerate(made)
        if not (block.kind == "list" and at and made[at - 1].kind == "list")
    ]
    page = Page(1, SIZE, tuple(made))
    found = read_markdown_page(as_model_markdown(page, FAMILY))
    assert read(found) == [seen(block) for block in made]


@PATIENT
@given(documents())
def test_a_document_in_json_is_read_as_it_was(document: Document) -> None:
    assert Document.from_json(document.to_json()) == document
