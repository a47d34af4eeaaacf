"""Answers and wishes from the bug reports of others, with contents of our own."""

from __future__ import annotations

from qwenvl_kit.documents import Document, Page
from qwenvl_kit.documents.reading.html_pages import read_html_page
from qwenvl_kit.documents.reading.markdown_pages import read_markdown_page
from qwenvl_kit.documents.writing.markdown import table_lines
from tests.documents.strategies import SIZE


def test_a_diagram_in_a_fence_without_a_name_does_not_end_the_page() -> None:
    """QwenLM/Qwen3-VL issue 1611."""
    diagram = "Text\n  |\n  v\nTokens\n" + "  |      |\n" * 200
    page = read_markdown_page(f"```markdown\n# Steps\n\n```\n{diagram}")
    assert [block.kind for block in page.blocks] == ["heading", "code"]
    assert page.warnings == ("a block of code is not closed",)
    whole = read_markdown_page(f"```markdown\n# Steps\n\n```\n{diagram}```\n\nAfter.\n```")
    assert [block.kind for block in whole.blocks] == ["heading", "code", "text"]


def test_a_remark_after_the_fence_is_no_part_of_the_page() -> None:
    page = read_html_page("```html\n<p>a</p>\n```\nThis is the page.")
    assert [block.text for block in page.blocks] == ["a"]


def test_a_picture_that_is_only_named_is_a_picture() -> None:
    """QwenLM/Qwen3-VL issue 241."""
    (block,) = read_markdown_page("![Example diagram](image.png)").blocks
    assert (block.kind, block.text, block.numbers) == ("image", "Example diagram", None)


def test_a_coordinate_without_an_end_is_no_place() -> None:
    """deepseek-ai/DeepSeek-VL2 issue 96."""
    page = read_html_page(f'<p data-bbox="1 2 3 {"9" * 500}">a</p>')
    assert page.blocks[0].numbers is None
    assert "is no box" in page.warnings[0]


def test_blocks_of_models_that_were_made_from_qwen_are_read() -> None:
    """Blaizzy/mlx-vlm issue 1256: labels in place of classes, boxes in brackets, math elements."""
    page = read_html_page(
        '<div data-bbox="[1, 2, 30, 4]" data-label="Section-Header"><h2>Part</h2></div>'
        '<div data-bbox="[1, 5, 30, 9]" data-label="Text"><p>so <math>x^2</math> is</p></div>'
        '<div data-bbox="[1, 9, 30, 12]" data-label="Equation-Block">'
        '<math display="block">a+b</math></div>'
        '<div data-bbox="[1, 13, 30, 20]" data-label="List-Group"><ul><li>a</li></ul></div>'
        '<div data-bbox="[1, 21, 30, 30]" data-label="Complex-Block"><p>b</p></div>'
        '<div data-bbox="[1, 31, 30, 33]" data-label="Footnote"><p>1 c</p></div>'
    )
    assert [(block.kind, block.text) for block in page.blocks] == [
        ("heading", "Part"),
        ("text", "so $x^2$ is"),
        ("formula", "a+b"),
        ("list", "- a"),
        ("text", "b"),
        ("text", "1 c"),
    ]
    assert all(block.numbers for block in page.blocks)


def test_each_row_of_a_merged_cell_can_be_read_on_its_own() -> None:
    """Spenhouet/confluence-markdown-exporter issue 292, docling issue 238."""
    page = read_html_page(
        "<table><tr><th>env</th><th>branch</th><th>cluster</th></tr>"
        "<tr><td>stage</td><td>next</td><td rowspan=2>A</td></tr>"
        "<tr><td>test</td><td>main</td></tr></table>"
    )
    table = page.blocks[0].table
    assert table is not None
    assert table_lines(table).splitlines()[-1] == "| test | main | A |"


def test_remarks_of_other_programs_change_nothing() -> None:
    text = "a\n\n<!-- formula-not-decoded -->\n\nb\n\n<!-- PageBreak -->\n\nc\n\n<!-- image -->\n"
    kinds = [block.kind for block in read_markdown_page(text).blocks]
    assert kinds == ["text", "text", "text", "image"]


def test_a_page_without_anything_is_a_document_without_anything() -> None:
    document = Document((Page(1, SIZE),))
    assert document.to_markdown() == "\n"
    assert document.to_passages() == []
    assert Document.from_json(document.to_json()) == document
    assert document.to_docling()["body"]["children"] == []


def test_a_bar_drawing_outside_of_a_fence_raises_nothing() -> None:
    page = read_markdown_page("Text\n  |\n  |-----|\n  |     |\n  v\nTokens")
    assert "Tokens" in page.blocks[-1].text
