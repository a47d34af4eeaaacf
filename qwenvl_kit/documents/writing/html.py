"""Documents as HTML that runs nothing and fetches nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from qwenvl_kit.display.text import html
from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.tables import MergedCell, Table

_POLICY = "default-src 'none'; img-src 'self' data: file:; style-src 'unsafe-inline'"
"""The sources that a browser may use for the page (Content Security Policy): files beside it."""

_STYLE = """
body{font:16px/1.6 system-ui,sans-serif;max-width:50em;margin:2em auto;padding:0 1em;color:#1b1f24}
table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #8886;padding:4px 10px;
text-align:left;vertical-align:top;white-space:pre-wrap}th{background:#8881}
p,li,figcaption{white-space:pre-wrap;overflow-wrap:anywhere}figure{margin:1em 0}
figure img{max-width:100%;height:auto}figcaption,.caption{color:#5c6370;font-size:14px}
pre{background:#8881;padding:10px;overflow-x:auto}
@media (prefers-color-scheme:dark){body{background:#16181c;color:#e8eaed}}
""".replace("\n", "")


def to_html(blocks: Sequence[Block], title: str, pictures: Mapping[int, str]) -> str:
    """Return blocks as a page of HTML; all text is escaped.

    Each element has its page as `data-page`, and its box in pixels of that page as `data-bbox`.

    Args:
        blocks: the blocks, without margins.
        title: the title of the page.
        pictures: the paths of picture files, by the index of their block.
    """
    body = "\n".join(_element(block, pictures.get(at)) for at, block in enumerate(blocks))
    return (
        '<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{body}\n</body>\n</html>\n"
    )


def _element(block: Block, picture: str | None) -> str:
    placed = _attributes(block)
    text = html(block.text)
    if block.kind == "heading":
        level = block.level or 1
        return f"<h{level}{placed}>{text}</h{level}>"
    if block.kind in ("image", "chart"):
        return f"<figure{placed}>{''.join(_figure(block, picture))}</figure>"
    if block.kind == "table" and block.table is not None:
        return f"<table{placed}>{table_html(block.table)}</table>"
    if block.kind == "list":
        return f'<ul{placed} style="list-style:none;padding-left:1em">{_items(block.text)}</ul>'
    if block.kind in ("code", "formula", "table"):
        return f'<pre class="{block.kind}"{placed}>{text}</pre>'
    return f'<p class="{block.kind}"{placed}>{text}</p>'


def _attributes(block: Block) -> str:
    written = f' data-page="{block.page}"'
    if block.box is not None:
        box = block.box
        sides = " ".join(f"{side:g}" for side in (box.x1_px, box.y1_px, box.x2_px, box.y2_px))
        written += f' data-bbox="{sides}"'
    return f' dir="auto"{written}'


def _figure(block: Block, picture: str | None) -> Iterator[str]:
    words = "" if block.table is not None else html(block.text)
    if picture is not None:
        yield f'<img src="{html(quote(picture))}" alt="{words}">'
    if block.table is not None:
        yield f"<table>{table_html(block.table)}</table>"
    elif words or picture is None:
        yield f"<figcaption>{words or html(block.kind)}</figcaption>"


def _items(text: str) -> str:
    lines = text.split("\n")
    return "".join(
        f'<li style="margin-left:{(len(line) - len(line.lstrip(" "))) // 2 * 1.5:g}em">'
        f"{html(line.strip())}</li>"
        for line in lines
    )


def table_html(table: Table) -> str:
    """Return the rows of a table as HTML, with merged cells."""
    merged: dict[tuple[int, int], MergedCell] = {}
    covered: set[tuple[int, int]] = set()
    for cell in table.merged:
        merged[cell.row, cell.column] = cell
        covered |= set(cell.places()) - {(cell.row, cell.column)}
    rows = []
    for at, row in enumerate(table.rows):
        tag = "th" if at < table.header_rows else "td"
        cells = (
            f"<{tag}{_spans(merged.get((at, column)))}>{html(text)}</{tag}>"
            for column, text in enumerate(row)
            if (at, column) not in covered
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return "".join(rows)


def _spans(cell: MergedCell | None) -> str:
    if cell is None:
        return ""
    rows = f' rowspan="{cell.num_rows}"' if cell.num_rows > 1 else ""
    columns = f' colspan="{cell.num_columns}"' if cell.num_columns > 1 else ""
    return rows + columns
