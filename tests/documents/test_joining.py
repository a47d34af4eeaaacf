"""Blocks that go on over pages."""

from __future__ import annotations

import pytest

from qwenvl_kit.documents import Block, BlockKind, Document, MergedCell, Page, Table
from qwenvl_kit.grounding.boxes import Box
from tests.documents.strategies import SIZE


def document(*pages: list[Block]) -> Document:
    return Document(tuple(Page(at, SIZE, tuple(each)) for at, each in enumerate(pages, 1)))


def text(words: str, kind: BlockKind = "text", level: int | None = None) -> Block:
    return Block(kind, words, level=level, confidence=0.9)


@pytest.mark.parametrize(
    ("before", "after", "joined"),
    [
        ("goes on to", "the next page.", "goes on to the next page."),
        ("a docu-", "ment goes on", "a document goes on"),
        ("这一段没有", "结束。", "这一段没有结束。"),
        ("one, two,", "three", "one, two, three"),
    ],
)
def test_a_paragraph_goes_on(before: str, after: str, joined: str) -> None:
    (whole,) = document([text(before)], [text(after)]).joined
    assert whole.text == joined
    assert [part.text for part in whole.parts] == [before, after]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("It ends.", "and so on"),
        ("a line", "A new sentence"),
        ("它结束了。", "新的一段"),
        ("goes on to", "3 more"),
        ("It ends!”", "so"),
    ],
)
def test_a_paragraph_that_ends_does_not_go_on(before: str, after: str) -> None:
    assert len(document([text(before)], [text(after)]).joined) == 2


def test_margins_between_two_pages_do_not_keep_a_paragraph_from_going_on() -> None:
    pages = document(
        [text("goes on"), text("A book", "footer"), text("3", "page_number")],
        [text("Chapter 1", "header"), text("here.")],
    )
    assert [block.text for block in pages.joined] == ["goes on here."]


def test_a_running_head_is_found_by_its_repetition() -> None:
    head, body = Box("text", 0, 10, 500, 40), Box("text", 0, 400, 500, 500)
    pages = [
        [Block("text", f"Page {at} of 9", head), Block("text", f"Body {at}.", body)]
        for at in range(1, 4)
    ]
    assert [block.text for block in document(*pages).joined] == ["Body 1.", "Body 2.", "Body 3."]


def test_headings_at_the_top_that_differ_in_their_number_are_no_running_heads() -> None:
    top = Box("heading", 0, 10, 500, 40)
    pages = [[Block("heading", f"Question {at}", top, level=1)] for at in range(1, 4)]
    assert [block.text for block in document(*pages).joined] == [
        "Question 1",
        "Question 2",
        "Question 3",
    ]


def test_without_places_only_equal_texts_are_running_heads() -> None:
    pages = [[text("A book"), text(f"Body {at}.")] for at in range(1, 4)]
    assert [block.text for block in document(*pages).joined] == ["Body 1.", "Body 2.", "Body 3."]


def test_pages_that_do_not_follow_each_other_are_not_joined() -> None:
    pages = (Page(1, SIZE, (text("goes on"),)), Page(3, SIZE, (text("here"),)))
    assert len(Document(pages).joined) == 2


def test_a_heading_goes_on_at_its_level_alone() -> None:
    first = text("On the history", "heading", 2)
    assert len(document([first], [text("of things", "heading", 2)]).joined) == 1
    assert len(document([first], [text("of things", "heading", 3)]).joined) == 2


def test_a_list_goes_on_with_its_numbers() -> None:
    first = text("1. a\n2. b", "list")
    assert len(document([first], [text("3. c", "list")]).joined) == 1
    assert len(document([first], [text("1. c", "list")]).joined) == 2
    assert len(document([text("- a", "list")], [text("- b", "list")]).joined) == 1


def table(*rows: tuple[str, ...], heads: int = 1, merged: tuple[MergedCell, ...] = ()) -> Block:
    return Block("table", "", table=Table(rows, heads, merged))


def test_a_table_goes_on_without_its_repeated_headings() -> None:
    cell = MergedCell(1, 0, 1, 2)
    (whole,) = document(
        [table(("year", "sales"), ("2024", "9"))],
        [table(("year", "sales"), ("x", "x"), merged=(cell,))],
    ).joined
    assert whole.table is not None
    assert whole.table.rows == (("year", "sales"), ("2024", "9"), ("x", "x"))
    assert whole.table.merged == (MergedCell(2, 0, 1, 2),)


def test_numbers_that_are_marked_as_headings_are_rows() -> None:
    (whole,) = document(
        [table(("city", "sales"), ("Bonn", "9"))], [table(("Kiel", "10"), ("Ulm", "7"))]
    ).joined
    assert whole.table is not None
    assert len(whole.table.rows) == 4


def test_a_table_with_headings_of_its_own_is_another_table() -> None:
    pages = document([table(("a", "b"), ("x", "y"))], [table(("c", "d"), ("x", "y"))])
    assert len(pages.joined) == 2


def test_a_table_of_other_width_is_another_table() -> None:
    assert len(document([table(("a",), heads=0)], [table(("c", "d"), heads=0)]).joined) == 2


def test_a_joined_block_is_as_sure_as_its_least_sure_part() -> None:
    less = Block("text", "here", confidence=0.3, page=2)
    (whole,) = document([text("goes on")], [less]).joined
    assert whole.confidence == 0.3
    assert [part.page for part in whole.parts] == [1, 2]
