"""Documents as Markdown: for people, and for the indexes of other programs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import quote

from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.reading.markdown_marks import escaped
from qwenvl_kit.documents.tables import Table
from qwenvl_kit.documents.writing.inert import inert, inert_formula


def to_markdown(blocks: Sequence[Block], pictures: Mapping[int, str]) -> str:
    """Return blocks as Markdown (CommonMark, with the tables of GitHub's).

    What a page says in HTML or as a picture of the web is kept as text. A picture without a file is
    a comment with its page; its text follows.

    Args:
        blocks: the blocks, without margins.
        pictures: the paths of picture files, by the index of their block.
    """
    written = (markdown_of(block, pictures.get(at)) for at, block in enumerate(blocks))
    return "\n\n".join(filter(None, written)) + "\n"


def markdown_of(block: Block, picture: str | None = None) -> str:
    """Return one block as Markdown."""
    if block.kind in ("image", "chart"):
        return "\n\n".join(_picture(block, picture))
    if block.kind == "table" and block.table is not None:
        return table_lines(block.table)
    write = _WRITERS.get(block.kind, _paragraph)
    return write(block)


def _heading(block: Block) -> str:
    return heading_line(block.level or 1, inert(" ".join(block.text.split())))


def heading_line(level: int, text: str) -> str:
    """Return a heading; number signs at its end are kept from being taken for its mark."""
    end = " #" if re.search(r"(?:^|\s)#+$", text) else ""
    return f"{'#' * level} {text}{end}"


def _formula(block: Block) -> str:
    return f"$$\n{inert_formula(block.text)}\n$$"


def _code(block: Block) -> str:
    fence = fence_around(block.text)
    return f"{fence}\n{block.text}\n{fence}"


def _paragraph(block: Block) -> str:
    return inert("\n".join(escaped(line) for line in block.text.split("\n")))


def _as_written(block: Block) -> str:
    return inert(block.text)


_WRITERS: Mapping[str, Callable[[Block], str]] = {
    "heading": _heading,
    "formula": _formula,
    "code": _code,
    "list": _as_written,
    "table": _as_written,
}


def _picture(block: Block, picture: str | None) -> Iterator[str]:
    words = "" if block.table is not None else " ".join(block.text.split())
    if picture is None:
        yield f"<!-- {block.kind}, page {block.page} -->"
        if words:
            yield inert(escaped(words))
    else:
        alt = re.sub(r"([\\\[\]])", r"\\\1", words)
        yield f"![{inert(alt)}]({quote(picture)})"
    if block.table is not None:
        yield table_lines(block.table)


def fence_around(text: str) -> str:
    """Return a fence of backticks that is longer than all in a text."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(3, longest + 1)


def table_lines(table: Table) -> str:
    """Return a table as Markdown; without headings, those are empty.

    Several rows of headings are one, with a space between their texts.
    """
    names = [" ".join(filter(None, dict.fromkeys(column))) for column in zip(*table.headings)]
    heads = names or [""] * table.num_columns
    lines = [_line(heads), "|" + " --- |" * len(heads), *map(_line, table.body)]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    return inert(text).replace("|", "\\|").replace("\n", "<br>")
