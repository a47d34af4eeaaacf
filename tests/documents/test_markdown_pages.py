"""Pages that models write as Markdown."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit.documents.reading.markdown_pages import read_markdown_page


def kinds(text: str) -> list[str]:
    return [block.kind for block in read_markdown_page(text).blocks]


def texts(text: str) -> list[str]:
    return [block.text for block in read_markdown_page(text).blocks]


@pytest.mark.parametrize("name", ["Image", "image", "Figure", "Photo", "Chart", "Signature"])
def test_a_comment_stands_for_a_picture(name: str) -> None:
    (block,) = read_markdown_page(f"<!-- {name} (1, 2, 30, 40) -->").blocks
    assert block.kind in ("image", "chart")
    assert block.numbers == (1, 2, 30, 40)


@pytest.mark.parametrize(
    "table",
    [
        "\\begin{tabular}{|c|c|}\n\\hline a & b \\\\\n\\hline 1 & 2 \\\\\n\\hline\n\\end{tabular}",
        "| a | b |\n|---|:-:|\n| 1 | 2 |",
        "a | b\n--- | ---\n1 | 2",
        "<table><tr><th>a</th><th>b</th></tr>\n\n<tr><td>1</td><td>2</td></tr></table>",
        "```latex\n\\begin{tabular}{cc}a & b \\\\ \\midrule 1 & 2\\end{tabular}\n```",
    ],
)
def test_a_table_has_its_place_from_the_comment_before_it(table: str) -> None:
    (block,) = read_markdown_page(f"<!-- Table (1, 2, 30, 40) -->\n\n{table}\n").blocks
    assert block.table is not None
    assert block.table.rows == (("a", "b"), ("1", "2"))
    assert block.table.header_rows == 1
    assert block.numbers == (1, 2, 30, 40)


def test_a_place_without_its_table_is_told() -> None:
    page = read_markdown_page("<!-- Table (1, 2, 3, 4) -->\n")
    assert page.blocks[0].kind == "table"
    assert page.warnings == ("the place of a table without the table",)


def test_a_chart_may_have_its_rows() -> None:
    (block,) = read_markdown_page("<!-- Chart (1,2,3,4) -->\n| a | b |\n|--|--|\n| 1 | 2 |").blocks
    assert block.kind == "chart"
    assert block.table is not None


def test_the_words_of_an_image_are_its_text() -> None:
    (block,) = read_markdown_page("<!-- Image (1,2,3,4) -->\n![A cat](cat.png)").blocks
    assert (block.kind, block.text) == ("image", "A cat")


def test_a_bar_after_a_backslash_is_text() -> None:
    (block,) = read_markdown_page("| a \\| b | c |\n|---|---|\n| 1 | 2 |").blocks
    assert block.table is not None
    assert block.table.rows[0] == ("a | b", "c")


def test_all_blocks_are_read_in_their_order() -> None:
    text = (
        "# A\n\ntext\nmore\n\nSub\n---\n\n1. one\n2. two\n   - deep\n\n   more\n3. three\n\n"
        "$$\na^2\n$$\n\n```python\n# no heading\n```\n\n> quoted\n\n***\n\n\\[ x \\]\n"
    )
    assert kinds(text) == [
        "heading",
        "text",
        "heading",
        "list",
        "formula",
        "code",
        "text",
        "formula",
    ]
    assert texts(text)[3] == "1. one\n2. two\n  - deep\n    more\n3. three"
    assert texts(text)[4] == "a^2"
    assert texts(text)[5] == "# no heading"


def test_a_formula_within_a_sentence_stays_there() -> None:
    assert texts("$$a$$ and $$b$$ are equal") == ["$$a$$ and $$b$$ are equal"]
    assert texts("so $a$ is") == ["so $a$ is"]


def test_a_fence_around_the_whole_answer_is_no_code() -> None:
    assert kinds("```markdown\n# A\n\n```python\nx\n```\n\nb\n```") == ["heading", "code", "text"]


def test_initials_are_no_marks_of_a_list() -> None:
    assert kinds("A. Smith wrote this.") == ["text"]


def test_the_caption_of_a_latex_table_is_a_block() -> None:
    text = (
        "\\begin{table}[h]\n\\centering\n\\caption{Sales in \\textbf{2025}}\n"
        "\\begin{tabular}{c} 1 \\\\ \\end{tabular}\n\\end{table}"
    )
    assert kinds(text) == ["caption", "table"]
    assert texts(text)[0] == "Sales in 2025"


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("<!-- Image (1, 2", "the answer ends inside a comment"),
        ("$$ a", "a formula is not closed"),
        ("```\na", "a block of code is not closed"),
        ("\\begin{tabular}{c} a & b", "a table in LaTeX is not closed"),
        ("<!-- Image (1, 2, 3) -->", "(1, 2, 3) is no box"),
    ],
)
def test_an_answer_that_is_cut_is_read_as_far_as_it_goes(text: str, warning: str) -> None:
    page = read_markdown_page(text)
    assert warning in page.warnings
    assert page.blocks


def test_a_table_that_is_not_closed_ends_at_an_empty_line() -> None:
    page = read_markdown_page("\\begin{tabular}{c}a \\\\ b \\\\\n\n# H\n")
    assert [block.kind for block in page.blocks] == ["table", "heading"]


def test_other_comments_are_left_out() -> None:
    assert texts("a\n<!-- see page 3 -->\nb") == ["a", "b"]


@pytest.mark.long
@pytest.mark.parametrize(
    "text",
    [
        "<!--" * 100_000,
        "$$ " * 130_000,
        "|a\n" * 130_000,
        "|" * 400_000,
        "- a\n\n" * 80_000,
        "\\begin{tabular}\n" * 25_000,
        "a<!-- x -->" * 36_000,
        "<table></table>" * 26_000,
        "![a](" * 80_000,
        "> " * 200_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_time_is_linear_in_what_is_made_to_take_long(text: str) -> None:
    began = time.process_time()
    read_markdown_page(text)
    assert time.process_time() - began < 30  # the square would take hours


@given(
    st.lists(
        st.sampled_from(
            [
                "# ",
                "\n",
                "\n\n",
                "a",
                "- ",
                "1. ",
                "|",
                "|---|",
                "$$",
                "```",
                "<!-- Image (1,2,3,4) -->",
                "<!-- Table (1,2,3,4) -->",
                "<!--",
                "<table>",
                "<td>",
                "</table>",
                "\\begin{tabular}{c}",
                " & ",
                "\\\\",
                "\\end{tabular}",
                "\\multirow{2}{*}{",
                "}",
                "  ",
                "> ",
                "![x](y)",
                "---",
                "\\[",
                "\t",
            ]
        ),
        max_size=40,
    )
)
def test_nothing_that_is_written_raises(pieces: list[str]) -> None:
    text = "".join(pieces)
    for block in read_markdown_page(text).blocks:
        assert 0 <= block.start <= block.stop <= len(text)
