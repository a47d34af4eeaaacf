r"""Tables in LaTeX: `tabular` and its relatives, as the prompt `qwenvl markdown` has them written.

    \begin{tabular}{|c|c|}
    \hline Year & Sales \\
    \hline 2025 & 10 \\
    \hline
    \end{tabular}

LaTeX does not mark headings. The rows above the first rule within a table are its headings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from qwenvl_kit.documents.reading.grids import GridCell, table_of
from qwenvl_kit.documents.reading.latex_text import argument_at, plain_text
from qwenvl_kit.documents.tables import Table

_NAMES = r"(?:tabular[xy*]?|longtable|tabu|array|supertabular|tblr)"
BEGINS_TABLE = re.compile(rf"\\begin\s*\{{({_NAMES})\}}")
_BORDER = re.compile(rf"\\(begin|end)\s*\{{{_NAMES}\}}")
_ESCAPE = re.compile(r"\\(?:[A-Za-z]+\*?|.)|[&{}]|%[^\n]*", re.DOTALL)
_RULE = re.compile(
    r"\s*\\(?:hline|toprule|midrule|bottomrule|endhead|endfirsthead|endfoot|endlastfoot"
    r"|c(?:line|midrule)\s*(?:\([^()]{0,20}\))?\s*\{[^{}]{0,20}\}"
    r"|(?:row|cell)color\s*(?:\[[^\[\]]{0,40}\])?\s*\{[^{}]{0,40}\}"
    r"|(?:addlinespace|arrayrulecolor|specialrule)(?:\[[^\[\]]{0,20}\]|\{[^{}]{0,20}\}){0,3})"
)
_INNER_RULE = re.compile(r"\\(?:hline|midrule|endhead|endfirsthead)")
_MULTI = re.compile(r"\s*\\multi(column|row)\b\s*(?:\[[^\[\]]{0,10}\])?")
_MOST_DIGITS = 4
_MOST_SPAN = 500
"""The most rows or columns that a cell covers."""


def table_end(text: str, at: int) -> int | None:
    """Return where the table ends that begins at a position; None if it does not end."""
    depth = 0
    for found in _BORDER.finditer(text, at):
        depth += 1 if found[1] == "begin" else -1
        if depth == 0:
            return found.end()
    return None


def read_latex_table(text: str) -> tuple[Table | None, list[str]]:
    r"""Read a table from LaTeX; never raises.

    Args:
        text: from its `\begin` on; an `\end` that is missing is not missed.

    Returns:
        The table, None if it has no cells, and warnings.
    """
    begin = BEGINS_TABLE.search(text)
    body = text if begin is None else _without_arguments(text[begin.end() :], begin[1])
    ends = [found.start() for found in _BORDER.finditer(body) if found[1] == "end"]
    rows, is_balanced = _split(body[: ends[-1]] if ends else body)
    told = [] if is_balanced else ["the braces of a table in LaTeX do not match"]
    lines = [_ruled(row) for row in rows]
    kept = [(rules, cells) for rules, cells in lines if any(cell.strip() for cell in cells)]
    if not kept:
        return None, told
    inner = (at for at, (rules, _) in enumerate(kept) if at and _INNER_RULE.search(rules))
    cells = [[_cell(cell) for cell in row] for _, row in kept]
    table, more = table_of(_without_covered(cells), header_rows=next(inner, 0))
    return table, [*told, *more]


def _without_arguments(body: str, name: str) -> str:
    """The content of a table after its position, width and columns."""
    at = 0
    if (found := argument_at(body, at, "[", "]")) is not None:
        at = found[1]
    for _ in range(2 if name in ("tabular*", "tabularx", "tabulary") else 1):
        if (found := argument_at(body, at)) is not None:
            at = found[1]
    return body[at:]


def _split(body: str) -> tuple[list[list[str]], bool]:
    """The cells of each row, and False if braces were left open; then braces do not count."""
    rows, depth = _split_at(body, minds_braces=True)
    return (rows, True) if depth == 0 else (_split_at(body, minds_braces=False)[0], False)


def _split_at(body: str, *, minds_braces: bool) -> tuple[list[list[str]], int]:
    rows: list[list[str]] = [[]]
    start = depth = inner = 0
    for found in _ESCAPE.finditer(body):
        token = found[0]
        if token in "{}":
            depth += minds_braces * (1 if token == "{" else -1)
        elif token in (r"\begin", r"\end"):
            inner += 1 if token == r"\begin" else -1
        elif depth > 0 or inner > 0:
            continue
        elif token == "&" or token in ("\\\\", r"\tabularnewline", r"\cr"):
            rows[-1].append(body[start : found.start()])
            start = found.end()
            if token != "&":
                rows.append([])
                start = _after_options(body, start)
    rows[-1].append(body[start:])
    return rows, depth


def _after_options(body: str, at: int) -> int:
    r"""The position after what may follow `\\`: a star, and a length in brackets."""
    options = re.compile(r"\*?(?:\s{0,3}\[-?[\d.]{1,6}\s*[a-z]{2}\])?").match(body, at)
    return at if options is None else options.end()


def _ruled(row: Sequence[str]) -> tuple[str, list[str]]:
    """The rules before a row, and its cells without them."""
    first, at = row[0], 0
    while (found := _RULE.match(first, at)) is not None:
        at = found.end()
    return first[:at], [first[at:], *row[1:]]


def _cell(text: str) -> GridCell:
    """A cell, with the columns and rows that it covers."""
    num_rows = num_columns = 1
    for _ in range(3):
        found = _MULTI.match(text)
        if found is None:
            break
        arguments = _arguments(text, found.end())
        if arguments is None:
            break
        number, text = arguments
        if found[1] == "column":
            num_columns = number
        else:
            num_rows = number
    text = re.sub(r"\\(?:row|cell)color\s*(?:\[[^\[\]]{0,40}\])?\s*\{[^{}]{0,40}\}", "", text)
    text = re.sub(r"(?<!\\)%[^\n]*", "", text)
    return GridCell(plain_text(_flat(text)), num_rows, num_columns)


def _arguments(text: str, at: int) -> tuple[int, str] | None:
    r"""The number and the content of `\multicolumn{2}{c}{...}`, whose braces may be left out."""
    found = argument_at(text, at)
    if found is None:
        return None
    number, at = found
    width = argument_at(text, at)
    if width is None:
        star = re.compile(r"\s*\*").match(text, at)
        at = at if star is None else star.end()
    else:
        at = width[1]
    if (option := argument_at(text, at, "[", "]")) is not None:
        at = option[1]
    content = argument_at(text, at)
    written = number.strip().lstrip("-")
    is_number = written.isascii() and written.isdigit() and len(written) <= _MOST_DIGITS
    number_of = min(max(1, int(written)), _MOST_SPAN) if is_number else 1
    return number_of, text[at:] if content is None else content[0]


def _flat(text: str) -> str:
    """A cell without a table within it, whose cells become its words."""
    if not _BORDER.search(text):
        return text
    text = re.sub(rf"\\begin\s*\{{{_NAMES}\}}(?:\{{[^{{}}]{{0,60}}\}})?", " ", text)
    text = _BORDER.sub(" ", text)
    return re.sub(r"\\hline|(?<!\\)&", " ", text)


def _without_covered(rows: Sequence[Sequence[GridCell]]) -> list[list[GridCell]]:
    r"""The rows without the empty cells that stand below a `\multirow`, which covers them.

    A cell below that is not empty ends the merged one above it.
    """
    heights = _heights(rows)
    covered: dict[int, int] = {}
    found: list[list[GridCell]] = []
    for at, row in enumerate(rows):
        kept, column = [], 0
        for index, cell in enumerate(row):
            is_covered = covered.get(column, 0) > 0 and not cell.text
            if not is_covered:
                height = heights[at][index]
                kept.append(GridCell(cell.text, height, cell.num_columns))
                for place in range(column, column + cell.num_columns) if height > 1 else ():
                    covered[place] = height
            column += cell.num_columns
        covered = {place: rest - 1 for place, rest in covered.items() if rest > 1}
        found.append(kept)
    return found


def _heights(rows: Sequence[Sequence[GridCell]]) -> list[list[int]]:
    """The rows that each cell covers: as many as say so and are empty below it."""
    columns = [dict(_placed(row)) for row in rows]
    heights = []
    for at, row in enumerate(rows):
        heights.append([_height(columns, at, place, cell) for place, cell in _placed(row)])
    return heights


def _height(columns: Sequence[dict[int, GridCell]], at: int, place: int, cell: GridCell) -> int:
    if cell.num_rows == 1:
        return 1
    height = 1
    for below in columns[at + 1 : at + cell.num_rows]:
        under = below.get(place)
        if under is not None and under.text:
            break
        height += 1
    return height


def _placed(row: Sequence[GridCell]) -> list[tuple[int, GridCell]]:
    found, column = [], 0
    for cell in row:
        found.append((column, cell))
        column += cell.num_columns
    return found
