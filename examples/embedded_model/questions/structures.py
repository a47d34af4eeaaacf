"""Fields as JSON, asked for as the package's `extract` asks."""

from __future__ import annotations

import json
import random

from ..drawing.documents import KINDS, Document, capitalised
from .answers import Question

INSTRUCTION = "Extract these fields from the image as JSON:"
PAIRS = (
    "Translate each text in this image into English, as JSON:\n"
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


def extraction(rng: random.Random, document: Document) -> list[Question]:
    """Some of a document's fields, among them some that are not there; or a menu's items."""
    if document.language:
        return _menu(rng, document)
    there = dict(document.values)
    if document.kind:
        there["kind"] = document.kind
    if not there:
        return []
    return [_fields(rng, there)]


def _fields(rng: random.Random, there: dict[str, str]) -> Question:
    asked = rng.sample(list(there), rng.randint(1, len(there)))
    absent = [role for role in TYPES if role not in there]
    asked += rng.sample(absent, min(len(absent), rng.choice([0, 0, 1, 1, 2])))
    rng.shuffle(asked)
    lines, values = [], []
    for role in asked:
        name, kind = rng.choice(NAMES[role]), rng.choice(TYPES[role])
        may_miss = role not in there or rng.random() < 0.5
        lines.append(f"- {name}: {kind}{' or null' if may_miss else ''}")
        values.append(f"{json.dumps(name)}: {_value(there.get(role), kind)}")
    return Question("extract", "\n".join([INSTRUCTION, *lines]), f"{{{', '.join(values)}}}")


def _value(value: str | None, kind: str) -> str:
    if value is None:
        return "null"
    return value if kind.endswith("number") else json.dumps(value, ensure_ascii=False)


def _menu(rng: random.Random, menu: Document) -> list[Question]:
    names = [json.dumps(line.text, ensure_ascii=False) for line in menu.lines]
    english = [json.dumps(capitalised(food)) for food in menu.foods]
    pairs = [f'{{"source": {s}, "target": {t}}}' for s, t in zip(names, english, strict=True)]
    found = [Question("translate_pairs", PAIRS, f'{{"texts": [{", ".join(pairs)}]}}')]
    if menu.prices:
        text = f"{INSTRUCTION}\n- items: list of objects:\n  - name: text\n  - price: number"
        items = [
            f'{{"name": {name}, "price": {price}}}'
            for name, price in zip(names, menu.prices, strict=True)
        ]
        found.append(Question("extract_items", text, f'{{"items": [{", ".join(items)}]}}'))
    return found
