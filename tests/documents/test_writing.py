"""The forms in which documents are passed on."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from qwenvl_kit.documents import Block, BlockKind, Document, MergedCell, Page, Table
from qwenvl_kit.documents.pictures import PagePictures
from qwenvl_kit.errors import GenerationError, InputError
from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.media.policy import MediaPolicy
from tests.documents.strategies import SIZE, documents

TABLE = Table((("a|b", "a|b"), ("1\n2", "<3>")), header_rows=1, merged=(MergedCell(0, 0, 1, 2),))


def one_of_each() -> Document:
    box = Box("image", 10, 20, 110, 220)
    return Document(
        (
            Page(
                1,
                SIZE,
                (
                    Block("header", "A running head"),
                    Block("heading", "Title", box, 0.9, level=2),
                    Block("text", "# no heading\nline"),
                    Block("list", "1. a\n  - b"),
                    Block("table", "cells", table=TABLE),
                    Block("image", "A cat", box),
                    Block("chart", "", box, table=TABLE),
                    Block("formula", "a^2"),
                    Block("code", "```\nx\n```"),
                    Block("caption", "Figure 1"),
                    Block("page_number", "1"),
                ),
            ),
        ),
        "a.pdf",
    )


def test_markdown_has_each_kind_in_its_form() -> None:
    assert one_of_each().to_markdown() == (
        "## Title\n\n\\# no heading\nline\n\n1. a\n  - b\n\n"
        "| a\\|b | a\\|b |\n| --- | --- |\n| 1<br>2 | <3> |\n\n"
        "<!-- image, page 1 -->\n\nA cat\n\n"
        "<!-- chart, page 1 -->\n\n| a\\|b | a\\|b |\n| --- | --- |\n| 1<br>2 | <3> |\n\n"
        "$$\na^2\n$$\n\n````\n```\nx\n```\n````\n\nFigure 1\n"
    )


def test_pictures_are_cut_from_the_original_pixels_and_linked(tmp_path: Path) -> None:
    from PIL import Image

    page = Image.new("RGB", (1000, 1000), "white")
    page.paste((255, 0, 0), (10, 20, 110, 220))
    made = one_of_each()
    document = Document(made.pages, pictures=PagePictures({1: page}, MediaPolicy()))
    text = document.to_markdown(tmp_path / "my pictures")
    assert "![A cat](my%20pictures/page-1-1.png)" in text
    with Image.open(tmp_path / "my pictures" / "page-1-1.png") as cut:
        assert cut.size == (100, 200)
        assert cut.getcolors() == [(20_000, (255, 0, 0))]


def test_a_document_without_pictures_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures of its pages"):
        one_of_each().to_markdown(tmp_path)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


EVIL = "</p><script>alert(1)</script><img src=x onerror=alert(1)>\" onload='x' javascript:x"


def test_html_runs_nothing_and_fetches_nothing() -> None:
    evil_table = Table(((EVIL,),))
    kinds: tuple[BlockKind, ...] = (
        "heading",
        "text",
        "list",
        "image",
        "formula",
        "code",
        "caption",
    )
    blocks = [*(Block(kind, EVIL) for kind in kinds), Block("table", EVIL, table=evil_table)]
    tags = _Tags()
    tags.feed(Document((Page(1, SIZE, tuple(blocks)),), EVIL).to_html())
    assert not {tag for tag, _ in tags.found} & {"script", "iframe", "object", "img", "link", "a"}
    for _, attributes in tags.found:
        assert not [name for name in attributes if name.startswith("on")]
    assert "default-src 'none'" in str(tags.found)


def test_html_has_places_and_merged_cells() -> None:
    text = one_of_each().to_html()
    assert 'data-page="1" data-bbox="10 20 110 220">Title</h2>' in text
    assert '<th colspan="2">a|b</th></tr><tr><td>1\n2</td><td>&lt;3&gt;</td>' in text


def test_what_is_no_document_is_refused() -> None:
    for text in ("", "[]", '{"qwenvl_kit_document": 9}', "[" * 100_000, b"\xff"):
        with pytest.raises(InputError, match="cannot be read"):
            Document.from_json(text)
    broken = one_of_each().to_json().replace('"kind": "header"', '"kind": "odd"')
    with pytest.raises(InputError, match=r"pages\.0\.blocks\.0\.kind"):
        Document.from_json(broken)


def test_the_error_of_a_page_is_kept_by_its_kind_and_text() -> None:
    page = Page(3, None, error=GenerationError("no luck"))
    again = Document.from_json(Document((page,)).to_json())
    assert isinstance(again.pages[0].error, GenerationError)
    assert again.warnings == ("page 3: no luck",)


def test_passages_have_their_page_their_place_and_the_headings_above() -> None:
    passages = one_of_each().to_passages()
    assert passages[0] == {
        "page_content": "\\# no heading\nline",
        "metadata": {"source": "a.pdf", "page": 1, "kind": "text", "headings": ["Title"]},
    }
    assert passages[3]["metadata"]["bbox"] == [10, 20, 110, 220]


def test_docling_has_items_of_each_kind() -> None:
    found = one_of_each().to_docling()
    labels = [item["label"] for item in found["texts"]]
    assert labels == [
        "section_header",
        "text",
        "list_item",
        "list_item",
        "formula",
        "code",
        "caption",
        "page_header",
        "page_footer",
    ]
    assert found["tables"][0]["data"]["num_cols"] == 2
    assert found["pages"]["1"]["size"] == {"width": 1000, "height": 1000}
    refs = [child["$ref"] for child in found["body"]["children"]]
    assert refs[0] == "#/texts/0"
    assert len(refs) == len(set(refs))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents())
def test_docling_reads_what_is_written_for_it(document: Document) -> None:
    types = pytest.importorskip("docling_core.types.doc", reason="docling-core is not installed")
    read = types.DoclingDocument.model_validate(document.to_docling())
    assert len(read.pages) == len(document.pages)
    read.export_to_markdown()


def test_a_notebook_shows_blocks_without_running_them() -> None:
    made = Document((Page(1, Size(10, 10), (Block("text", EVIL),), (EVIL,)),), EVIL)
    shown = made._repr_html_()
    assert "<script" not in shown
    assert not re.search(r"<[^>]*\sonerror=", shown)
    assert repr(made).startswith("Document(")


def test_rows_of_different_length_are_no_table() -> None:
    with pytest.raises(InputError, match="differ in length"):
        Table((("a",), ("b", "c")))
    with pytest.raises(InputError, match="inside the table"):
        Table((("a",),), merged=(MergedCell(0, 0, 2, 1),))
    with pytest.raises(InputError, match="kind='odd'"):
        Block("odd", "a")  # type: ignore[arg-type]


def test_a_table_is_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    frame = TABLE.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["a|b", "a|b"]


_LIVE = [
    "<img src=x onerror=alert(1)>",
    "see <script>alert(1)</script>",
    "![t](https://example.com/t.png?page=1)",
    "an example ![t][r]",
    "[press](javascript:alert(1))",
    "[press](\njavascript:alert(1))",
    "[press](java&#115;cript:alert(1))",
    "<javascript:alert(1)>",
    "<!-- gone --> here",
    "[r]: https://example.com/t.png",
    "\\\\<img src=x onerror=alert(1)>",
    "\\<svg onload=alert(1)>",
]


@pytest.mark.parametrize("live", _LIVE)
@pytest.mark.parametrize(
    "kind", ["text", "heading", "list", "table", "image", "chart", "caption", "formula"]
)
def test_nothing_that_a_page_says_runs_or_loads_in_markdown(kind: BlockKind, live: str) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    words = f"- {live}" if kind == "list" else live
    table = Table((("a",), (live,)), header_rows=1) if kind in ("table", "chart") else None
    document = Document((Page(1, SIZE, (Block(kind, words, table=table, level=None),)),))
    made = document.to_markdown().replace(f"<!-- {kind}, page 1 -->", "").replace("<br>", " ")
    shown = markdown_it.MarkdownIt("commonmark").enable("table").render(made)
    assert not re.search(r"<(?:img|script|svg)|<!--|href=.(?:java|&#)", shown, re.IGNORECASE)
    if kind not in ("formula", "chart", "table"):
        assert {"alert", "gone", "example"} & set(re.findall(r"[a-z]+", shown))


def test_links_to_the_web_and_comparisons_in_formulas_stay_in_markdown() -> None:
    words = "See [this](https://example.com) where $x<y$, $[0,1](x)$, $x \\in [0,1]: x$ and 1 < 2."
    assert Document((Page(1, SIZE, (Block("text", words),)),)).to_markdown() == f"{words}\n"
