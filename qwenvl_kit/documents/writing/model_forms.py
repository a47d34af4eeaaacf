r"""Pages as models write them: what the readers read, for tests and for training.

The forms are those of `qwenvl html` and `qwenvl markdown`; see `reading/html_pages.py` and
`reading/markdown_pages.py`. Coordinates are thousandths of the picture's sides, or its pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from qwenvl_kit.display.text import html
from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.pages import Page
from qwenvl_kit.documents.reading.markdown_marks import escaped
from qwenvl_kit.documents.tables import MergedCell, Table
from qwenvl_kit.documents.writing.html import table_html
from qwenvl_kit.documents.writing.markdown import fence_around, heading_line
from qwenvl_kit.errors import InputError
from qwenvl_kit.families import Family
from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Box

_PARTS = 1000
_COMMENTS = {"image": "Image", "chart": "Chart", "table": "Table"}


def as_model_html(page: Page, family: Family, resized: Size | None = None) -> str:
    """Return a page as a family writes it for the prompt `qwenvl html`, within its fence.

    Args:
        page: the page; its size must be known.
        family: the family, which decides the unit of places.
        resized: the size at which the model sees the page, for families that write its pixels;
            None is its own size.

    Raises:
        InputError: the size of the page is not known.
    """
    sides = _sides_for(page, family, resized)
    body = "\n".join(_element(block, sides) for block in page.blocks)
    return f"```html\n<html><body>\n{body}\n</body></html>\n```"


def as_model_markdown(page: Page, family: Family, resized: Size | None = None) -> str:
    """Return a page as a family writes it for the prompt `qwenvl markdown`.

    Only pictures, charts and tables keep their places. The arguments are those of `as_model_html`.

    Raises:
        InputError: the size of the page is not known.
    """
    sides = _sides_for(page, family, resized)
    return "\n\n".join("\n".join(_lines(block, sides)) for block in page.blocks) + "\n"


def _sides_for(page: Page, family: Family, resized: Size | None) -> Callable[[Box], list[int]]:
    if page.size is None:
        raise InputError("the page has no size", expected="a page that was opened", where="page")
    width, height = page.size.width_px, page.size.height_px
    seen = page.size if resized is None else resized
    is_relative = family.coordinates == "thousandths"
    wide, high = (_PARTS, _PARTS) if is_relative else (seen.width_px, seen.height_px)

    def sides(box: Box) -> list[int]:
        across = [round(x * wide / width) for x in (box.x1_px, box.x2_px)]
        down = [round(y * high / height) for y in (box.y1_px, box.y2_px)]
        return [across[0], down[0], across[1], down[1]]

    return sides


def _element(block: Block, sides: Callable[[Box], Sequence[int]]) -> str:
    place = ""
    if block.box is not None:
        place = f' data-bbox="{" ".join(map(str, sides(block.box)))}"'
    if block.table is not None:
        return _table(block, block.table, place)
    if block.kind == "list":
        return _list(block.text, place)
    text = html(block.text)
    if block.kind in ("image", "chart"):
        return _picture(block, place)
    if block.kind in _PLAIN:
        name = _PLAIN[block.kind] or f"h{block.level or 1}"
        return f"<{name}{place}>{text if name == 'pre' else _broken(text)}</{name}>"
    if block.kind == "formula":
        return f'<div class="formula"{place}><img{place}/><div>${text}$</div></div>'
    return f'<div class="{block.kind.replace("_", " ")}"{place}>{_broken(text)}</div>'


_PLAIN = {"heading": "", "text": "p", "code": "pre"}
"""The elements of kinds that have one; that of a heading follows from its level."""


def _table(block: Block, table: Table, place: str) -> str:
    if block.kind == "chart":
        rows = f"<table>{table_html(table)}</table>"
        return f'<div class="chart"{place}><img{place}/>{rows}</div>'
    return f"<table{place}>{table_html(table)}</table>"


def _picture(block: Block, place: str) -> str:
    name = "image caption" if block.kind == "image" else "chart"
    words = f"<p>{_broken(html(block.text))}</p>" if block.text else ""
    return f'<div class="{name}"{place}><img{place}/>{words}</div>'


def _broken(text: str) -> str:
    return text.replace("\n", "<br>")


def _list(text: str, place: str) -> str:
    """The items of a list, those of a deeper level in a list of their own."""
    written: list[str] = []
    names: list[str] = []
    for line in text.split("\n"):
        words = line.strip()
        depth = (len(line) - len(line.lstrip(" "))) // 2 + 1
        mark, _, item = words.partition(" ")
        name = "ol" if mark[:1].isdigit() else "ul"
        while len(names) > depth:
            written.append(f"</{names.pop()}>")
        while len(names) < depth:
            written.append(f"<{name}{'' if names else place}>")
            names.append(name)
        written.append(f"<li>{html(item)}</li>")
    return "".join([*written, *(f"</{name}>" for name in reversed(names))])


def _lines(block: Block, sides: Callable[[Box], Sequence[int]]) -> Iterator[str]:
    if block.kind in _COMMENTS:
        numbers = "" if block.box is None else f" ({', '.join(map(str, sides(block.box)))})"
        yield f"<!-- {_COMMENTS[block.kind]}{numbers} -->"
        if block.table is not None:
            yield latex_table(block.table)
        elif block.text and block.kind == "image":
            yield f"![{block.text}]()"
    elif block.kind == "heading":
        yield heading_line(block.level or 1, escaped(block.text))
    elif block.kind == "formula":
        yield f"$$\n{block.text}\n$$"
    elif block.kind == "code":
        fence = fence_around(block.text)
        yield f"{fence}\n{block.text}\n{fence}"
    elif block.kind == "list":
        yield block.text
    else:
        yield from (escaped(line) for line in block.text.split("\n"))


def latex_table(table: Table) -> str:
    r"""Return a table as a LaTeX `tabular`, with a rule above each row that is not covered.

    The rows of headings have no rule between them, so that a reader finds where they end.
    """
    merged = {(cell.row, cell.column): cell for cell in table.merged}
    covered: dict[tuple[int, int], MergedCell] = {}
    for cell in table.merged:
        covered |= dict.fromkeys(cell.places(), cell)
    lines = []
    for at, row in enumerate(table.rows):
        cells = [
            _latex_cell(text, merged.get((at, column)), covered.get((at, column)), column)
            for column, text in enumerate(row)
        ]
        is_ruled = at == table.header_rows if table.header_rows else at == 0
        rule = "\\hline " if is_ruled or at == 0 else ""
        lines.append(f"{rule}{' & '.join(filter(lambda cell: cell is not None, cells))} \\\\")  # type: ignore[arg-type]
    columns = "|" + "c|" * table.num_columns
    return "\n".join([f"\\begin{{tabular}}{{{columns}}}", *lines, "\\end{tabular}"])


def _latex_cell(
    text: str, own: MergedCell | None, covering: MergedCell | None, column: int
) -> str | None:
    """A cell; None if a `multicolumn` to its left covers it."""
    cell = own or covering
    if cell is None:
        return _latex(text)
    if column != cell.column:
        return None
    inside = _latex(text) if own else ""
    if own is not None and own.num_rows > 1:
        inside = f"\\multirow{{{own.num_rows}}}{{*}}{{{inside}}}"
    return (
        f"\\multicolumn{{{cell.num_columns}}}{{|c|}}{{{inside}}}"
        if cell.num_columns > 1
        else inside
    )


def _latex(text: str) -> str:
    special = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "\n": "\\newline "}
    special |= {mark: f"\\{mark}" for mark in "%$#_{}&"}
    return "".join(special.get(each, each) for each in text)
