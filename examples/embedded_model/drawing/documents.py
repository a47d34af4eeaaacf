"""What is printed: documents with fields, menus in three languages, signs with any words."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from .canvas import Canvas
from .typeset import Face, Line, Print, fits, typeset

KINDS = ("invoice", "receipt", "order", "ticket", "bill")
FIELDS = ("total", "tax", "date", "quantity", "number", "name")
LABELS: dict[str, tuple[str, ...]] = {
    "total": ("Total", "Total", "TOTAL", "Total due", "Amount due"),
    "tax": ("Tax", "Tax", "TAX", "VAT", "Sales tax"),
    "date": ("Date", "Date", "DATE", "Issued"),
    "quantity": ("Qty", "QTY", "Quantity"),
    "number": ("No", "No.", "Number", "NUMBER"),
    "name": ("Name", "Name", "NAME", "Customer"),
}
LANGUAGES = ("french", "spanish", "german")
CHINESE_KINDS = {
    "invoice": (
        "发票", "增值税发票", "电子发票"), "receipt": ("收据", "小票"), "order": ("订单",
        "订货单",
    ),
    "ticket": ("票", "门票", "车票"), "bill": ("账单", "结账单"),
}  # fmt: skip
CHINESE_LABELS: dict[str, tuple[str, ...]] = {
    "total": ("合计", "总计", "总额", "应付", "实付"),
    "tax": ("税额", "税", "增值税", "税费"),
    "date": ("日期", "日期", "开票日期"),
    "quantity": ("数量", "件数", "份数"),
    "number": ("编号", "单号", "订单号", "号码"),
    "name": ("姓名", "客户", "顾客", "名称"),
}


@lru_cache(maxsize=8)
def words(file: str) -> tuple[str, ...]:
    """The words of a list beside this module, such as `names.txt`."""
    return tuple(Path(__file__).with_name(file).read_text(encoding="utf-8").split())


@dataclass
class Document:
    """A printed document: its kind, if it says so, and the value of each field printed."""

    kind: str | None
    values: dict[str, str]
    lines: list[Line]
    language: str | None = None
    foods: list[str] = field(default_factory=list)
    chinese: list[str] = field(default_factory=list)
    prices: list[str] = field(default_factory=list)

    def line_of(self, role: str) -> int:
        """On which line the value of a field stands."""
        return list(self.values).index(role) + len(self.lines) - len(self.values)

    @property
    def text(self) -> str:
        """All lines as printed."""
        return "\n".join(line.whole for line in self.lines)


def money(rng: random.Random, most: int = 3) -> str:
    """An amount with two decimals, every number of digits equally often."""
    digits = rng.randint(1, most) if rng.random() < 0.94 else 4
    return f"{rng.randint(10 ** (digits - 1), 10**digits - 1)}.{rng.randint(0, 99):02d}"


def date(rng: random.Random) -> str:
    """A date in ISO order."""
    sign = "-" if rng.random() < 0.92 else "/"
    parts = (str(rng.randint(1990, 2039)), f"{rng.randint(1, 12):02d}", f"{rng.randint(1, 28):02d}")
    return sign.join(parts)


def invented_word(rng: random.Random) -> str:
    """A word that could be a name, so that letters must be read and not guessed."""
    start = rng.randrange(2)
    letters = ("aeiouy", "bcdfghjklmnpqrstvwxz")
    return "".join(rng.choice(letters[(i + start) % 2]) for i in range(rng.randint(3, 8)))


def name(rng: random.Random) -> str:
    """A first name, real or invented."""
    return (
        rng.choice(words("names.txt")) if rng.random() < 0.35 else invented_word(rng).capitalize()
    )


def value_of(rng: random.Random, role: str) -> str:
    """A random value for a field."""
    if role in ("total", "tax"):
        return money(rng)
    if role == "date":
        return date(rng)
    if role == "quantity":
        return str(rng.randint(1, 99) if rng.random() < 0.9 else rng.randint(100, 999))
    if role == "number":
        return str(rng.randint(1, 10 ** rng.randint(2, 6)))
    return name(rng)


def chinese_name(rng: random.Random) -> str:
    """A Chinese name: one of the frequent surnames, one or two given names."""
    lines = Path(__file__).with_name("chinese_names.txt").read_text(encoding="utf-8").splitlines()
    surnames, given = (line.split() for line in lines)
    return (
        rng.choice(surnames) + "".join(rng.choice(given) for _ in range(rng.choice([1, 1, 2])))[:2]
    )


def make_document(rng: random.Random, count: int, chinese: bool = False) -> Document:
    """A document of `count` lines; about half of those with room carry a heading."""
    heading = rng.random() < 0.5 if count > 1 else rng.random() < 0.15
    kind = rng.choice(KINDS) if heading else None
    roles = rng.sample(FIELDS, min(count - bool(kind), len(FIELDS)))
    values = {role: value_of(rng, role) for role in roles}
    if chinese:
        return _chinese_document(rng, kind, values)
    colon = ":" if rng.random() < 0.85 else ""
    lines = [Line(rng.choice(LABELS[role]) + colon, values[role]) for role in roles]
    if kind:
        title = kind.upper() if rng.random() < 0.7 else kind.capitalize()
        lines.insert(0, Line(title, heading=True))
    return Document(kind, values, lines)


def _chinese_document(rng: random.Random, kind: str | None, values: dict[str, str]) -> Document:
    """Fields with Chinese labels, names among the values."""
    if "name" in values and rng.random() < 0.8:
        values["name"] = chinese_name(rng)
    colon = rng.choice(["：", "：", "：", ":", ""])
    lines = [Line(rng.choice(CHINESE_LABELS[role]) + colon, values[role]) for role in values]
    if kind:
        lines.insert(0, Line(rng.choice(CHINESE_KINDS[kind]), heading=True))
    return Document(kind, values, lines)


@lru_cache(maxsize=1)
def foods() -> tuple[dict[str, str], ...]:
    """The closed list of menu words: English, French, Spanish, German."""
    path = Path(__file__).with_name("foods.csv")
    with path.open(encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


def capitalised(text: str) -> str:
    """The text with a capital first letter and the rest as it was ("Rote Bete")."""
    return text[:1].upper() + text[1:]


def make_menu(rng: random.Random, count: int, chinese: bool = False) -> Document:
    """A menu of `count` foods in one language, with prices or without."""
    language = "chinese" if chinese else rng.choice(LANGUAGES)
    chosen = rng.sample(foods(), count)
    lower = rng.random() < 0.15
    printed = [food[language] if lower else capitalised(food[language]) for food in chosen]
    priced = rng.random() < 0.5
    prices = [f"{rng.randint(1, 29)}.{rng.choice('0258')}{rng.choice('05')}" for _ in chosen]
    prices = prices if priced else [""] * count
    lines = [Line(text, price) for text, price in zip(printed, prices, strict=True)]
    english = [food["english"] for food in chosen]
    names = [food["chinese"] for food in chosen]
    return Document(None, {}, lines, language, english, names, prices if priced else [])


def _sign_word(rng: random.Random) -> str:
    roll = rng.random()
    if roll < 0.4:
        return rng.choice(words("words.txt"))
    if roll < 0.7:
        return invented_word(rng)
    if roll < 0.8:
        return rng.choice(words("names.txt"))
    if roll < 0.9:
        return str(rng.randint(0, 10 ** rng.randint(1, 6)))
    return rng.choice([money(rng), date(rng), rng.choice(foods())[rng.choice(LANGUAGES)]])


def _cased(rng: random.Random, text: str) -> str:
    style = rng.random()
    if style < 0.5:
        return capitalised(text)
    return text if style < 0.75 else text.upper() if style < 0.9 else text.title()


def _chinese_line(rng: random.Random) -> str:
    """Words of the closed list, some with a number, a price or a date."""
    word = rng.choice(words("chinese.txt"))
    year, month, day = date(rng)[:10].replace("/", "-").split("-")
    forms = {
        word: 0.35,
        word + rng.choice(words("chinese.txt")): 0.15,
        rng.choice(foods())["chinese"]: 0.1,
        chinese_name(rng): 0.1,
        f"{word}{rng.choice(['：', ' '])}{money(rng)}{rng.choice(['', '元'])}": 0.1,
        f"{year}年{int(month)}月{int(day)}日": 0.1,
        f"{rng.randint(1, 99)}{rng.choice('元个件份张杯瓶碗盘')} {word}": 0.1,
    }
    return rng.choices(list(forms), list(forms.values()))[0]


def make_sign(rng: random.Random, count: int, chinese: bool = False) -> Document:
    """Lines of any words, to be read as they stand."""
    if chinese:
        return Document(None, {}, [Line(_chinese_line(rng)) for _ in range(count)], "chinese sign")
    lines = []
    for _ in range(count):
        chosen = [_sign_word(rng) for _ in range(rng.choice([1, 1, 2, 2, 3]))]
        end = rng.choice(["", "", "", "", "!", ".", "?"])
        text = _cased(rng, " ".join(chosen)) + end
        lines.append(Line(text))
    return Document(None, {}, lines)


MAKERS = {"document": make_document, "menu": make_menu, "sign": make_sign}


def line_count(rng: random.Random, kind: str, canvas: Canvas) -> int:
    """How many lines to try on a canvas."""
    most = max(1, int(canvas.grid.height / 20))
    choices = {"document": (1, 2, 2, 3, 3, 4, 4, 5, 6), "menu": (1, 2, 3, 3, 4)}.get(
        kind, (1, 1, 2, 2, 3)
    )
    return min(rng.choice(choices), most)


def make_print(
    rng: random.Random,
    kind: str,
    canvas: Canvas,
    face: Face,
    count: int | None = None,
    *,
    chinese: bool = False,
) -> tuple[Document, Print]:
    """A document that fits the canvas, and its picture; content is drawn again until it fits."""
    count = count or line_count(rng, kind, canvas)
    for attempt in range(1, 200):
        document = MAKERS[kind](rng, max(1, count - attempt // 6), chinese)
        if fits(canvas, document.lines, face.file):
            break
    return document, typeset(rng, canvas, document.lines, face)
