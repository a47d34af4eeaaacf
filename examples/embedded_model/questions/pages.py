"""A page as Markdown, as a table in JSON, and what it says, as the package's tasks ask for them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from ..drawing.boxes import Box
from ..drawing.canvas import Canvas
from ..drawing.documents import Document
from ..drawing.pages import Page, PrintedPage, words_once
from ..drawing.typeset import labelled
from .answers import Question
from .places import grounded, spans
from .tongue import Tongue

PLACED = "qwenvl markdown"
"""The publisher's prompt for Markdown with the places of tables in comments."""
MARKDOWN = {
    "en": "Read all the text in this image as Markdown, with its headings, lists and tables.",
    "zh": "以Markdown格式读出图中的所有文字，保留标题、列表和表格。",
}
TABLE = {
    "en": "Read the table in this image as JSON, with the headings of its columns and all rows:\n"
    "- columns: list of text\n- rows: list of list of text",
    "zh": "以JSON格式读出图中的表格，包括各列标题和所有行：\n- columns: 文本列表\n- rows: "
    "文本列表列表",
}
TITLE = {
    "en": "What is the title of this document?",
    "zh": "这份文档的标题是什么？",
}


def page_questions(
    rng: random.Random, page: Page, printed: PrintedPage, canvas: Canvas, tongue: Tongue
) -> list[Question]:
    """All of a page, and its parts."""
    found = [
        Question("markdown", MARKDOWN[tongue.code], markdown(page)),
        Question("markdown_places", PLACED, markdown(page, printed.table, canvas)),
        Question("table", TABLE[tongue.code], table(page)),
    ]
    index = rng.randrange(len(page.rows))
    item = (page.chinese if tongue.code == "zh" else page.english)[index]
    price = page.rows[index][-1]
    found.append(Question("page_price", tongue.ask(rng, "price", food=item), price))
    values = {role: value for role, (_, value) in page.fields.items()}
    if page.total:
        values["total"] = page.total[1]
    for role, value in values.items():
        question = tongue.ask(rng, role)
        if rng.random() < 0.2:
            question += tongue.document_only
        found.append(Question(f"page_{role}", question, value))
    found.append(Question("page_title", TITLE[tongue.code], page.title))
    kind = tongue.is_document(page.kind)
    found.append(Question("kind", tongue.ask(rng, "kind"), kind))
    if words := words_once(printed):
        word = rng.choice(words)
        question = tongue.ask(rng, "locate", what=tongue.word(rng, word.text))
        found.append(Question("locate_word", question, grounded(canvas, [(word.text, word.box)])))
    return found


def plain_pages(rng: random.Random, document: Document, tongue: Tongue) -> list[Question]:
    """A document without a table as Markdown: a heading, and each line for itself."""
    parts = [f"# {line.whole}" if line.heading else line.whole for line in document.lines]
    asked = PLACED if rng.random() < 0.5 else MARKDOWN[tongue.code]
    return [Question("markdown", asked, "\n\n".join(parts))]


def markdown(page: Page, table: Box | None = None, canvas: Canvas | None = None) -> str:
    """The page as Markdown; with the table's place in a comment if it is given."""
    parts = [f"# {page.title}"]
    parts += [labelled(f"{label}{page.colon}", value) for label, value in page.fields.values()]
    rows = [_row(page.header), _row(["---"] * len(page.header)), *map(_row, page.rows)]
    if table is not None and canvas is not None:
        rows.insert(0, place(canvas, table))
    parts.append("\n".join(rows))
    if page.total:
        parts.append(labelled(f"{page.total[0]}{page.colon}", page.total[1]))
    return "\n\n".join(parts)


def place(canvas: Canvas, box: Box) -> str:
    """The comment with the place of a table, in thousandths of the picture's sides."""
    (x1, x2), (y1, y2) = spans(canvas, box)
    return f"<!-- Table ({x1}, {y1}, {x2}, {y2}) -->"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table(page: Page) -> str:
    """The table as JSON, as `read_table` has it."""
    content = {"columns": page.header, "rows": page.rows}
    return json.dumps(content, ensure_ascii=False)
