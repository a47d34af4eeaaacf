"""Fields as JSON, asked for as the package's `extract` asks."""

from __future__ import annotations

import json
import random

from ..drawing.documents import CHINESE_LABELS, KINDS, Document, capitalised
from . import wordings_zh
from .answers import Question
from .chinese import DOCUMENTS
from .tongue import Tongue

INSTRUCTION = "Extract these fields from the image as JSON:"
PAIRS = (
    "Translate each text in this image into {language}, as JSON:\n"
    "- texts: list of objects:\n  - source: text\n  - target: text"
)
NAMES = {
    "total": ("total", "total", "total", "amount"),
    "tax": ("tax", "tax", "tax", "vat"),
    "date": ("date", "date", "date", "issued"),
    "quantity": ("quantity", "quantity", "qty"),
    "number": ("number", "number", "no"),
    "name": ("name", "name", "customer"),
    "kind": ("kind", "kind", "type"),
}
TYPES = {
    "total": ("number", "number", "text"),
    "tax": ("number", "number", "text"),
    "date": ("text",),
    "quantity": ("whole number", "whole number", "number"),
    "number": ("text", "whole number"),
    "name": ("text",),
    "kind": ("text", f"one of {', '.join(KINDS)}"),
}


CHINESE_NAMES = {
    "total": (*CHINESE_LABELS["total"], "金额"),
    "kind": ("类型", "种类"),
    **{role: labels for role, labels in CHINESE_LABELS.items() if role != "total"},
}
CHINESE_TYPES = {
    "text": "文本", "number": "数字", "whole number": "整数",
}  # fmt: skip
ITEMS = {
    "en": "\n- items: list of objects:\n  - name: text\n  - price: number",
    "zh": "\n- items: 对象列表：\n  - name: 文本\n  - price: 数字",
}
TARGETS = {("en", "english"): "English", ("zh", "english"): "英文", ("zh", "chinese"): "中文"}


def extraction(rng: random.Random, document: Document, tongue: Tongue) -> list[Question]:
    """Some of a document's fields, among them some that are not there; or a menu's items."""
    if document.foods:
        return _menu(rng, document, tongue)
    there = dict(document.values)
    if document.kind:
        there["kind"] = document.kind
    if not there:
        return []
    return [_fields(rng, there, tongue)]


def _fields(rng: random.Random, there: dict[str, str], tongue: Tongue) -> Question:
    asked = rng.sample(list(there), rng.randint(1, len(there)))
    absent = [role for role in TYPES if role not in there]
    asked += rng.sample(absent, min(len(absent), rng.choice([0, 0, 1, 1, 2])))
    rng.shuffle(asked)
    is_english = tongue.code == "en"
    lines, values = [], []
    for role in asked:
        # Names of fields come from programs: English in most Chinese questions, too.
        named = NAMES if is_english or rng.random() < 0.6 else CHINESE_NAMES
        name, kind = rng.choice(named[role]), rng.choice(TYPES[role])
        may_miss = role not in there or rng.random() < 0.5
        lines.append(f"- {name}: {_type(kind, may_miss, is_english)}")
        found = there.get(role)
        if role == "kind" and found and kind == "text" and named is CHINESE_NAMES:
            found = DOCUMENTS[found]
        value = _value(found, kind)
        values.append(f"{json.dumps(name, ensure_ascii=False)}: {value}")
    before = INSTRUCTION if is_english else wordings_zh.EXTRACT
    return Question("extract", "\n".join([before, *lines]), f"{{{', '.join(values)}}}")


def _type(kind: str, may_miss: bool, is_english: bool) -> str:
    if is_english:
        return f"{kind}{' or null' if may_miss else ''}"
    labels = kind.removeprefix("one of ").replace(", ", "、")
    return f"{CHINESE_TYPES.get(kind, f'{labels}之一')}{'或null' if may_miss else ''}"


def _value(value: str | None, kind: str) -> str:
    if value is None:
        return "null"
    return value if kind.endswith("number") else json.dumps(value, ensure_ascii=False)


def _menu(rng: random.Random, menu: Document, tongue: Tongue) -> list[Question]:
    names = [json.dumps(line.text, ensure_ascii=False) for line in menu.lines]
    into = "english" if tongue.code == "en" or menu.language == "chinese" else "chinese"
    if into == "chinese" and rng.random() < 0.5:
        into = "english"
    translated = [capitalised(food) for food in menu.foods] if into == "english" else menu.chinese
    targets = [json.dumps(text, ensure_ascii=False) for text in translated]
    pairs = [f'{{"source": {s}, "target": {t}}}' for s, t in zip(names, targets, strict=True)]
    asked = PAIRS if tongue.code == "en" else wordings_zh.PAIRS
    asked = asked.format(language=TARGETS[tongue.code, into])
    found = [Question("translate_pairs", asked, f'{{"texts": [{", ".join(pairs)}]}}')]
    if menu.prices:
        before = INSTRUCTION if tongue.code == "en" else wordings_zh.EXTRACT
        items = [
            f'{{"name": {name}, "price": {price}}}'
            for name, price in zip(names, menu.prices, strict=True)
        ]
        answer = f'{{"items": [{", ".join(items)}]}}'
        found.append(Question("extract_items", before + ITEMS[tongue.code], answer))
    return found
