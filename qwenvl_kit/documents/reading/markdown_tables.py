"""Tables in Markdown: rows of cells between vertical bars."""

from __future__ import annotations

import re
from collections.abc import Sequence

from qwenvl_kit.documents.reading.grids import GridCell, table_of
from qwenvl_kit.documents.tables import Table

_DELIMITER = re.compile(r"\s*:?-+:?\s*")
_BAR = re.compile(r"\\.|\|", re.DOTALL)
_BREAK = re.compile(r"<br\s?/?>", re.IGNORECASE)


def is_delimiter(line: str) -> bool:
    """True if a line is the one of dashes below the headings of a table."""
    if "-" not in line or set(line) - set("|-: \t"):
        return False
    cells = _cells(line)
    return bool(cells) and all(_DELIMITER.fullmatch(cell) for cell in cells)


def read_markdown_table(lines: Sequence[str]) -> tuple[Table | None, list[str]]:
    """Read a table from its lines; the headings are the line above the dashes, if there are any.

    Returns:
        The table, None if it has no cells, and warnings.
    """
    heads = 1 if len(lines) > 1 and is_delimiter(lines[1]) else 0
    rows = [line for line in lines if not is_delimiter(line)]
    return table_of([[GridCell(_text(cell)) for cell in _cells(row)] for row in rows], heads)


def _cells(line: str) -> list[str]:
    r"""The cells of a line; a bar after a backslash is text."""
    line = line.strip()
    cells, start = [], 1 if line.startswith("|") else 0
    for found in _BAR.finditer(line, start):
        if found[0] == "|":
            cells.append(line[start : found.start()])
            start = found.end()
    if line[start:].strip():
        cells.append(line[start:])
    return cells


def _text(cell: str) -> str:
    return _BREAK.sub("\n", cell.replace("\\|", "|")).strip()
