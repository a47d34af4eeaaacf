"""Documents that hypothesis makes."""

from __future__ import annotations

from hypothesis import strategies as st

from qwenvl_kit.documents import Block, BlockKind, Document, MergedCell, Page, Table
from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Box

SIZE = Size(height_px=1000, width_px=1000)
"""A page whose pixels are thousandths, so that places come back as they were."""

WORDS = st.lists(
    st.text("abcXYZ0123äß中文。，.!?&<>#*_|$%{}\\~-+'\"`=()[]^:;/", min_size=1, max_size=8),
    min_size=1,
    max_size=6,
).map(" ".join)
"""A line of words with all characters that mean something to a form."""

PLAIN_WORDS = st.lists(
    st.text("abcXYZ0123äß中文,", min_size=1, max_size=8), min_size=1, max_size=6
).map(" ".join)


@st.composite
def boxes(draw: st.DrawFn, kind: str) -> Box:
    x1, y1 = draw(st.integers(0, 990)), draw(st.integers(0, 990))
    x2, y2 = draw(st.integers(x1 + 2, 1000)), draw(st.integers(y1 + 2, 1000))
    return Box(kind, x1, y1, x2, y2)


@st.composite
def tables(draw: st.DrawFn, words: st.SearchStrategy[str]) -> Table:
    """A table with one row of headings; at most one cell is merged, never all of two rows."""
    height, width = draw(st.integers(2, 4)), draw(st.integers(1, 4))
    rows = [[draw(words) for _ in range(width)] for _ in range(height)]
    merged: tuple[MergedCell, ...] = ()
    if draw(st.booleans()):
        row, column = draw(st.integers(1, height - 1)), draw(st.integers(0, width - 1))
        wide = draw(st.integers(1, width - column))
        high = 1 if wide == width else draw(st.integers(1, height - row))
        cell = MergedCell(row, column, high, wide)
        if wide * high > 1:
            merged = (cell,)
            for at, to in cell.places():
                rows[at][to] = rows[row][column]
    return Table(tuple(map(tuple, rows)), 1, merged)


@st.composite
def lists(draw: st.DrawFn) -> str:
    lines, depth = [], 0
    is_numbered = draw(st.booleans())
    for at in range(draw(st.integers(1, 5))):
        depth = 0 if is_numbered or not at else draw(st.integers(0, depth + 1))
        mark = f"{at + 1}." if is_numbered else "-"
        lines.append(f"{'  ' * depth}{mark} {draw(PLAIN_WORDS)}")
    return "\n".join(lines)


@st.composite
def blocks(draw: st.DrawFn, kinds: tuple[BlockKind, ...], *, placed: bool) -> Block:
    kind = draw(st.sampled_from(kinds))
    box = draw(boxes(kind)) if placed or kind in ("image", "chart", "table") else None
    if kind in ("table", "chart"):
        table = draw(tables(PLAIN_WORDS if kind == "chart" else WORDS))
        return Block(kind, _lines(table), box, table=table)
    if kind == "list":
        return Block(kind, draw(lists()), box)
    if kind == "image":
        return Block(kind, draw(st.just("") | PLAIN_WORDS), box)
    if kind == "formula":
        return Block(kind, draw(PLAIN_WORDS), box)
    if kind == "code":
        return Block(kind, "\n  ".join(draw(st.lists(PLAIN_WORDS, min_size=1, max_size=3))), box)
    level = draw(st.integers(1, 6)) if kind == "heading" else None
    return Block(kind, draw(WORDS), box, level=level)


def _lines(table: Table) -> str:
    return "\n".join(" | ".join(row) for row in table.rows)


def documents() -> st.SearchStrategy[Document]:
    every = blocks(("heading", "text", "table", "image", "list", "footer", "code"), placed=True)
    page = st.lists(every, max_size=4).map(tuple)
    return st.lists(page, min_size=1, max_size=4).map(
        lambda found: Document(
            tuple(
                Page(at, SIZE, tuple(_on(block, at) for block in each), ("told",) * (at % 2))
                for at, each in enumerate(found, 1)
            ),
            "a.pdf",
        )
    )


def _on(block: Block, page: int) -> Block:
    return Block(block.kind, block.text, block.box, 0.5, block.level, block.table, page)
