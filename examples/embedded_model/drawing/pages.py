"""Small pages: a heading, a few fields, a table of items, a total; in English or Chinese."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from PIL import Image, ImageDraw

from . import fonts
from .boxes import Box, around
from .canvas import Canvas
from .documents import (
    CHINESE_KINDS,
    CHINESE_LABELS,
    KINDS,
    LABELS,
    capitalised,
    chinese_name,
    date,
    foods,
    money,
    name,
)
from .typeset import Face, PrintedLine, SetText, Word, labelled, paper, smallest

Row = tuple[str, ...]
RULES = ("none", "none", "header", "rows")
HELD_OUT_RULES = ("grid",)
COLUMNS = {
    "en": (("Item", "Item", "Name", "Product"), ("Qty", "Quantity", "Count"), ("Price", "Amount")),
    "zh": (("名称", "品名", "菜品"), ("数量", "件数"), ("价格", "单价", "金额")),
}


@dataclass(frozen=True)
class Page:
    """What a page says.

    Attributes:
        kind: invoice, receipt, ... or menu.
        title: its heading.
        fields: roles with label and value, above the table.
        header: the headings of the columns.
        rows: the rows of the table; the first cell is the item, the last its price.
        english, chinese: the items in both languages.
        total: label and value below the table, if there is one.
    """

    kind: str
    title: str
    fields: dict[str, tuple[str, str]]
    header: Row
    rows: tuple[Row, ...]
    english: tuple[str, ...]
    chinese: tuple[str, ...]
    total: tuple[str, str] | None
    colon: str


@dataclass
class PrintedPage:
    """The picture of a page, and where its parts are."""

    picture: Image.Image
    texts: list[SetText]
    table: Box
    cells: dict[tuple[int, int], Box] = field(default_factory=dict)
    title: Box | None = None

    def lines(self) -> list[PrintedLine]:
        """The words of each text."""
        return [PrintedLine(tuple(text.words()), 1) for text in self.texts]


def make_page(rng: random.Random, count: int, chinese: bool) -> Page:
    """A page with `count` items."""
    tongue = "zh" if chinese else "en"
    chosen = rng.sample(foods(), count)
    printed = [food["chinese"] if chinese else capitalised(food["english"]) for food in chosen]
    is_menu = rng.random() < 0.35
    kind = "menu" if is_menu else rng.choice(KINDS)
    if chinese:
        title = "菜单" if is_menu else rng.choice(CHINESE_KINDS[kind])
    else:
        title = rng.choice([kind.upper(), kind.capitalize()])
    with_count = not is_menu and rng.random() < 0.5
    names = [rng.choice(column) for column in COLUMNS[tongue]]
    header = (names[0], names[1], names[2]) if with_count else (names[0], names[2])
    cents = [rng.randint(10, 2999) * 5 for _ in chosen]
    counts = [rng.randint(1, 9) if with_count else 1 for _ in chosen]
    rows = []
    for item, number, price in zip(printed, counts, cents, strict=True):
        shown = f"{price // 100}.{price % 100:02d}"
        rows.append((item, str(number), shown) if with_count else (item, shown))
    labels = CHINESE_LABELS if chinese else LABELS
    roles = [] if is_menu else rng.sample(["date", "number", "name"], rng.choice([0, 1, 1, 2]))
    fields = {role: (rng.choice(labels[role]), _value(rng, role, chinese)) for role in roles}
    total = None
    if not is_menu and rng.random() < 0.8:
        amount = sum(number * price for number, price in zip(counts, cents, strict=True))
        value = f"{amount // 100}.{amount % 100:02d}" if rng.random() < 0.7 else money(rng)
        total = (rng.choice(labels["total"]), value)
    return Page(
        kind,
        title,
        fields,
        header,
        tuple(rows),
        tuple(food["english"] for food in chosen),
        tuple(food["chinese"] for food in chosen),
        total,
        rng.choice(["：", ":"]) if chinese else ":",
    )


def _value(rng: random.Random, role: str, chinese: bool) -> str:
    if role == "date":
        return date(rng)
    if role == "number":
        return str(rng.randint(1, 10 ** rng.randint(2, 6)))
    return chinese_name(rng) if chinese else name(rng)


def print_page(
    rng: random.Random, canvas: Canvas, face: Face, chinese: bool, rules: tuple[str, ...] = RULES
) -> tuple[Page, PrintedPage]:
    """A page that fits the canvas, and its picture; it gets shorter until it fits."""
    most = max(1, min(6, int(canvas.grid.height / 26) - 3))
    for attempt in range(120):
        wanted = max(rng.randint(1, most), rng.randint(1, most)) - attempt // 12
        page = make_page(rng, max(1, wanted), chinese)
        widths = _widths(page, face.file)
        size = _size(page, canvas, widths)
        if size / canvas.scale >= smallest(face.file):
            break
    largest = 26.0 * canvas.scale
    size = max(6, int(min(size, largest) * rng.uniform(0.85, 1.0)))
    size = max(size, int(smallest(face.file) * canvas.scale))
    return page, _set(rng, canvas, face, page, size=size, rules=rng.choice(rules))


def _widths(page: Page, file: str) -> list[float]:
    """Of the columns, in ems."""
    rows = (page.header, *page.rows)
    return [max(fonts.width(file, row[at]) for row in rows) for at in range(len(page.header))]


GAP, TITLE = 0.9, 1.25


def _size(page: Page, canvas: Canvas, widths: list[float]) -> float:
    ems = max(
        sum(widths) + GAP * (len(widths) - 1),
        *(len(label) * 0.7 + len(value) * 0.62 for label, value in page.fields.values()),
        len(page.title) * 0.9 * TITLE,
    )
    lines = 1.7 * TITLE + len(page.fields) + (len(page.rows) + 1) * 1.1 + bool(page.total) * 1.3
    return min(canvas.width * 0.95 / (ems + 0.6), canvas.height * 0.96 / (1.22 * lines))


def _set(
    rng: random.Random, canvas: Canvas, face: Face, page: Page, *, size: int, rules: str
) -> PrintedPage:
    """Places every text, and draws them."""
    file, pitch = face.file, size * rng.uniform(1.18, 1.25)
    widths = [width * size for width in _widths(page, file)]
    wide = max(sum(widths) + GAP * size * (len(widths) - 1), rng.uniform(0.5, 0.94) * canvas.width)
    wide = min(wide, canvas.width - 0.5 * size)
    left = 0.25 * size + rng.uniform(0, max(canvas.width - wide - 0.5 * size, 0))
    ground, ink = paper(rng)
    picture = Image.new("RGB", (canvas.width, canvas.height), ground)
    pen = ImageDraw.Draw(picture)
    texts: list[SetText] = []

    def put(text: str, x: float, y: float, px: int = size) -> SetText:
        texts.append(SetText(text, x, y, file, px))
        return texts[-1]

    high = int(size * TITLE)
    spare = rng.choice([0.0, 0.5]) * max(wide - fonts.width(file, page.title) * high, 0)
    steps = 1.15 * TITLE + len(page.fields) + 1.1 * (len(page.rows) + 1) + bool(page.total) * 1.2
    spare_below = max(canvas.height - steps * pitch - 0.8 * size, 0)
    y = 0.3 * size + rng.random() ** 2 * spare_below
    title = put(page.title, left + spare, y, high)
    y += pitch * TITLE * 1.15
    for label, value in page.fields.values():
        put(labelled(f"{label}{page.colon}", value), left, y)
        y += pitch
    y += 0.3 * size
    top = y
    cells = {}
    last = len(widths) - 1
    ends = [
        left + wide - sum(widths[at + 1 :]) - GAP * size * (last - at) for at in range(last + 1)
    ]
    for number, row in enumerate((page.header, *page.rows)):
        for at, cell in enumerate(row):
            x = left if at == 0 else ends[at] - fonts.width(file, cell) * size
            cells[number - 1, at] = put(cell, x, y).box()
        y += pitch * 1.1
        if rules in ("rows", "grid") or (rules == "header" and number == 0):
            pen.line((left, y - 0.08 * size, left + wide, y - 0.08 * size), fill=ink)
    if rules == "grid":
        for x in (left - 0.1 * size, *(end + 0.3 * GAP * size for end in ends)):
            pen.line((x, top, x, y - 0.08 * size), fill=ink)
    if page.total:
        put(labelled(f"{page.total[0]}{page.colon}", page.total[1]), left, y + 0.2 * size)
    for text in texts:
        text.draw(pen, ink)
    return PrintedPage(picture, texts, around(list(cells.values())), cells, title.box())


def words_once(page: PrintedPage) -> list[Word]:
    """Words that are printed once."""
    found = [word for line in page.lines() for word in line.words]
    counts = Counter(word.text for word in found)
    return [word for word in found if counts[word.text] == 1 and len(word.text) > 1]
