"""The rules by which blocks that go on over pages are joined to one text.

Only pages that follow each other are joined, in this order of rules:

1. Headers, footers and page numbers are left out. A text or heading that is the first or the last
   of its page is taken for one of them if it is the same on three pages or more; the
   numbers of a text may differ if its box lies in the upper or lower eighth of the page.
2. A paragraph goes on if it does not end like a sentence, and the next page begins with a paragraph
   whose first letter is small, or of a script without capitals. A hyphen at the end is taken off if
   a small letter follows. A heading goes on before a heading of its level in the same way.
3. A list goes on in a list, if its numbers or its marks do.
4. A table goes on in a table of as many columns, unless that has headings of its own. Headings that
   are repeated are left out; so called headings that are numbers where the columns above them are,
   are rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.pages import Page
from qwenvl_kit.documents.tables import MergedCell, Table, text_of

_ENDS_SENTENCE = re.compile(
    r"[.!?:;\u2026\u3002\uff01\uff1f\uff1a\uff1b][\"'\u201d\u2019\u300d\u300f)\]\uff09]*$"
)
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-\u00ad\u2010]$")
_DIGITS = re.compile(r"\d+|\b[ivxlc]+\b")
_NUMBER = re.compile(r"[-+(]?[\d.,\s]*\d[\d.,\s]*[)%]?|-|")
_ITEM = re.compile(r"(?:(\d{1,9})[.)\u3001]|[-*+\u2022])\s")
_LEAST_REPEATS = 3
_MOST_CHARACTERS = 200
_EDGE = 1 / 8
_JOINED_KINDS = ("text", "heading", "list", "table")


def joined_blocks(pages: Sequence[Page]) -> tuple[Block, ...]:
    """Return the blocks of pages as one text, in reading order, by the rules of this module.

    A block that was joined has the text and rows of all its `parts`, the place of the first, and
    the lowest of their confidences.
    """
    repeated = _repeated_margins(pages)
    found: list[Block] = []
    last: int | None = None
    for page in pages:
        blocks = [block for block in page.blocks if not _is_margin(page, block, repeated)]
        follows = last is not None and page.number == last + 1
        if blocks and found and follows and (whole := _joined(found[-1], blocks[0])) is not None:
            found[-1] = whole
            blocks = blocks[1:]
        found += blocks
        last = page.number if blocks or page.blocks else last
    return tuple(found)


def _repeated_margins(pages: Sequence[Page]) -> frozenset[str]:
    """The texts at the top or bottom of pages that stand on several."""
    counts = Counter(
        text for page in pages for text in {_mark(page, block) for block in _ends(page)}
    )
    return frozenset(text for text, count in counts.items() if text and count >= _LEAST_REPEATS)


def _ends(page: Page) -> Iterator[Block]:
    """The first and the last block of a page that are no margin by their kind."""
    inner = [block for block in page.blocks if not block.is_on_margin]
    for block in inner[:1] + inner[1:][-1:]:
        if block.kind in ("text", "heading"):
            yield block


def _mark(page: Page, block: Block) -> str:
    """The text by which a margin is known again; empty if a block cannot be one."""
    if len(block.text) > _MOST_CHARACTERS:
        return ""
    text = " ".join(block.text.lower().split())
    if block.box is None or page.size is None:
        return text
    share = block.box.centre.y_px / page.size.height_px
    is_near_edge = min(share, 1 - share) < _EDGE
    if not is_near_edge:
        return ""
    return text if block.kind == "heading" else _DIGITS.sub("#", text)


def _is_margin(page: Page, block: Block, repeated: frozenset[str]) -> bool:
    if block.is_on_margin:
        return True
    return any(block is end for end in _ends(page)) and _mark(page, block) in repeated


def _joined(before: Block, after: Block) -> Block | None:
    """Two blocks as one; None if the second does not continue the first."""
    if before.kind != after.kind or before.kind not in _JOINED_KINDS:
        return None
    if before.kind == "table":
        table = _joined_tables(before.table, after.table)
        if table is None:
            return None
        text = text_of(table)
        return _whole(before, after, text, table)
    text_of_both = (
        _joined_lists(before, after) if before.kind == "list" else _joined_texts(before, after)
    )
    return None if text_of_both is None else _whole(before, after, text_of_both, None)


def _whole(before: Block, after: Block, text: str, table: Table | None) -> Block:
    known = [sure for sure in (before.confidence, after.confidence) if sure is not None]
    return replace(
        before,
        text=text,
        table=table,
        confidence=min(known, default=None),
        parts=(*(before.parts or (before,)), *(after.parts or (after,))),
    )


def _joined_texts(before: Block, after: Block) -> str | None:
    first, second = before.text.rstrip(), after.text.lstrip()
    if not first or not second or _ENDS_SENTENCE.search(first):
        return None
    if before.kind == "heading" and before.level != after.level:
        return None
    begins = second[0]
    if begins.isupper() or not begins.isalpha():
        return None
    is_small = begins.islower()
    if not is_small and (before.kind == "heading" or first[-1].isascii()):
        return None
    if is_small and _HYPHEN.search(first):
        return first[:-1] + second
    return f"{first} {second}" if is_small else first + second


def _joined_lists(before: Block, after: Block) -> str | None:
    marks = [item for line in before.text.splitlines() if (item := _ITEM.match(line))]
    begins = _ITEM.match(after.text)
    if not marks or begins is None:
        return None
    number, next_number = marks[-1][1], begins[1]
    if number is None or next_number is None:
        goes_on = number is next_number
    else:
        goes_on = int(next_number) == int(number) + 1
    return f"{before.text}\n{after.text}" if goes_on else None


def _joined_tables(before: Table | None, after: Table | None) -> Table | None:
    if before is None or after is None or before.num_columns != after.num_columns:
        return None
    skipped = 0
    if after.header_rows:
        if after.headings == before.headings:
            skipped = after.header_rows
        elif not _are_rows(before, after):
            return None
    rows = (*before.rows, *after.rows[skipped:])
    shift = len(before.rows) - skipped
    moved = [
        MergedCell(cell.row + shift, cell.column, cell.num_rows, cell.num_columns)
        for cell in after.merged
        if cell.row >= skipped
    ]
    return Table(rows, before.header_rows, (*before.merged, *moved))


def _are_rows(before: Table, after: Table) -> bool:
    """True if the headings of a table are like the rows of the table before it: numbers."""
    columns = list(zip(*before.body)) if before.body else []
    numbers = [at for at, cells in enumerate(columns) if _are_numbers(cells)]
    return bool(numbers) and all(
        _are_numbers([row[at] for at in numbers]) for row in after.headings
    )


def _are_numbers(cells: Sequence[str]) -> bool:
    return any(cells) and all(len(cell) < 40 and _NUMBER.fullmatch(cell.strip()) for cell in cells)
