"""Pages that models write as HTML."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit.documents.reading.html_pages import read_html_page
from qwenvl_kit.documents.reading.written import WrittenBlock


def only(text: str) -> WrittenBlock:
    page = read_html_page(text)
    assert len(page.blocks) == 1, page
    return page.blocks[0]


@pytest.mark.parametrize(
    ("element", "kind", "text"),
    [
        ('<p data-bbox="1 2 3 4"> content </p>', "text", "content"),
        ('<h3 data-bbox="1 2 3 4">A <b>b</b></h3>', "heading", "A b"),
        (
            '<div class="formula" data-bbox="1 2 3 4"><img data-bbox="1 2 3 4" />'
            "<div> $$a &lt; b$$ </div></div>",
            "formula",
            "a < b",
        ),
        (
            '<div class="formula.machine_printed" data-bbox="1 2 3 4">\\[x\\]</div>',
            "formula",
            "x",
        ),
        (
            '<div class="image caption" data-bbox="1 2 3 4"><img data-bbox="1 2 3 4" />'
            "<p> A cat. </p></div>",
            "image",
            "A cat.",
        ),
        (
            '<div class="image ocr" data-bbox="1 2 3 4"><img data-bbox="1 2 3 4" />'
            "<p>OPEN</p></div>",
            "image",
            "OPEN",
        ),
        (
            '<div class="music sheet" format="abc notation" data-bbox="1 2 3 4">'
            "<img/><div>X:1</div></div>",
            "image",
            "X:1",
        ),
        ('<div data-label="Page-Footer" data-bbox="[1,2,3,4]">3</div>', "footer", "3"),
        ('<div class="page-number" data-bbox="1,2,3,4">12</div>', "page_number", "12"),
        ('<pre data-bbox="1 2 3 4">a\n  b</pre>', "code", "a\n  b"),
        ('<img data-bbox="1 2 3 4" alt="a logo"/>', "image", "a logo"),
        ('<img data-bbox="1 2 3 4">', "image", ""),
    ],
)
def test_each_element_of_the_form_has_its_kind_text_and_place(
    element: str, kind: str, text: str
) -> None:
    block = only(element)
    assert (block.kind, block.text, block.numbers) == (kind, text, (1, 2, 3, 4))


def test_a_chart_has_the_rows_of_the_table_in_it() -> None:
    block = only(
        '<div class="chart" data-bbox="1 2 3 4"><img data-bbox="1 2 3 4"/>'
        "<table><tr><th>x</th><th>y</th></tr><tr><td>1</td><td>2</td></tr></table></div>"
    )
    assert block.kind == "chart"
    assert block.table is not None
    assert block.table.rows == (("x", "y"), ("1", "2"))
    assert block.table.header_rows == 1


def test_notation_of_a_chemical_formula_is_kept() -> None:
    block = only('<div class="chemical formula" format="smile" data-bbox="1 2 3 4">CCO</div>')
    assert block.attributes == {"class": "chemical formula", "format": "smile"}


def test_merged_cells_fill_all_places_that_they_cover() -> None:
    block = only(
        "<table><tr><td rowspan=2>a</td><td colspan=2>b</td></tr><tr><td>c</td><td>d</td></tr>"
        "</table>"
    )
    assert block.table is not None
    assert block.table.rows == (("a", "b", "b"), ("a", "c", "d"))
    assert len(block.table.merged) == 2


def test_rows_that_differ_in_length_are_told_and_filled() -> None:
    page = read_html_page("<table><tr><td>a<td>b<tr><td>c</table>")
    assert page.blocks[0].table is not None
    assert page.blocks[0].table.rows == (("a", "b"), ("c", ""))
    assert page.warnings == ("1 of 2 rows of a table have fewer than 2 cells",)


def test_a_table_within_a_cell_becomes_its_text_and_is_told() -> None:
    page = read_html_page("<table><tr><td>a<table><tr><td>b</td></tr></table></td></tr></table>")
    assert page.blocks[0].table is not None
    assert page.blocks[0].table.rows == (("a b",),)
    assert "within a cell" in page.warnings[0]


def test_a_list_keeps_its_numbers_and_levels() -> None:
    block = only(
        '<ol data-bbox="1 2 3 4"><li data-bbox="1 2 3 3">one<li>two<ul><li>deep</li></ul></ol>'
    )
    assert block.text == "1. one\n2. two\n  - deep"


@pytest.mark.parametrize(
    "text",
    [
        '<h1 data-bbox="1 1 9 2">A<p data-bbox="1 3 9 4">b',
        '<div class="formula" data-bbox="1 1 9 2">A<p data-bbox="1 30 9 40">b',
        '<ul data-bbox="1 1 9 2"><li>A<h2 data-bbox="1 30 9 40">b',
        '<p data-bbox="1 1 9 2">A<p data-bbox="1 30 9 40">b</p>',
    ],
)
def test_elements_that_are_not_closed_end_where_the_next_begins(text: str) -> None:
    assert [block.text.lstrip("- ") for block in read_html_page(text).blocks] == ["A", "b"]


def test_elements_that_are_not_closed_are_told() -> None:
    page = read_html_page('<div class="chart" data-bbox="1 2 3 4"><table><tr><td>1')
    assert page.blocks[0].table is not None
    assert page.warnings == ("2 elements are not closed",)


def test_a_place_that_is_no_box_is_told_and_left_out() -> None:
    page = read_html_page('<p data-bbox="1 2 3">a</p>')
    assert page.blocks[0].numbers is None
    assert page.warnings == ("data-bbox='1 2 3' is no box",)


def test_an_outline_gives_the_box_around_it() -> None:
    assert only('<p data-polygon="1 2 9 3 8 7 2 6">a</p>').numbers == (1, 2, 9, 7)


def test_a_quote_that_is_missing_costs_no_text() -> None:
    block = only('<p data-bbox="1 2 3 4>stray</p>')
    assert (block.text, block.numbers) == ("stray", (1, 2, 3, 4))


def test_brackets_that_are_no_tags_are_text() -> None:
    assert only("<p>a < b and List<String> &amp; c</p>").text == "a < b and List<String> & c"


def test_styles_scripts_and_comments_are_no_text() -> None:
    text = "<style>table1{}</style><script>x()</script><!-- no --><p>a<!-- b -->c</p>"
    assert only(text).text == "ac"


def test_loose_text_is_a_block_of_its_own() -> None:
    page = read_html_page(
        'Here is the page:\n<div data-bbox="1 2 3 4">loose<p>inside</p>after</div>'
    )
    assert [block.text for block in page.blocks] == [
        "Here is the page:",
        "loose",
        "inside",
        "after",
    ]


def test_an_answer_in_prose_is_told() -> None:
    page = read_html_page("I am sorry, I cannot read this page.")
    assert page.warnings == ("the answer holds no HTML; it is given as text",)


def test_the_span_of_a_block_is_its_content() -> None:
    text = '```html\n<p data-bbox="1 2 3 4">a &amp; b</p>\n```'
    block = only(text)
    assert text[block.start : block.stop] == "a &amp; b"
    assert text[slice(*block.numbers_at)] == "1 2 3 4"


@pytest.mark.long
@pytest.mark.parametrize(
    "text",
    [
        "<div>" * 80_000,
        "</div>" * 66_000,
        "<p><!--" * 57_000,
        '<a "' * 100_000,
        "<table><tr><td>" * 27_000,
        "<ul><li>" * 50_000,
        "<" * 400_000,
        "<style>" * 57_000,
        "<table>" + "<td colspan=1000>" * 23_000,
        "&amp;" * 80_000,
    ],
    ids=lambda text: text[:12],
)
def test_time_is_linear_in_what_is_made_to_take_long(text: str) -> None:
    began = time.process_time()
    read_html_page(text)
    assert time.process_time() - began < 30  # the square would take hours


@given(
    st.lists(
        st.sampled_from(
            [
                "<p>",
                "</p>",
                "<table>",
                "<tr>",
                "<td>",
                "</td>",
                "</table>",
                "<div class='chart'>",
                "</div>",
                "<ul>",
                "<li>",
                "</ul>",
                "<h1 data-bbox='1 2 3 4'>",
                "</h1>",
                "a",
                "<img>",
                "<!--",
                "-->",
                '"',
                "<td colspan=3 rowspan=4>",
                "<pre>",
                "\n",
                "<figure>",
                "&lt;",
                "<style>",
                "```",
                "```html\n",
            ]
        ),
        max_size=40,
    )
)
def test_nothing_that_is_written_raises_and_no_word_is_lost(pieces: list[str]) -> None:
    text = "".join(pieces)
    page = read_html_page(text)
    for block in page.blocks:
        assert 0 <= block.start <= block.stop <= len(text)
