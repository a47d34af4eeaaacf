"""One label of several, and whether a statement holds."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..drawing.documents import KINDS, Document
from ..drawing.palette import COLOUR_NAMES, PAIRS, SHAPES
from ..drawing.scenes import Scene
from ..drawing.shapes import Shape
from .answers import Question, article, describe, plural, sentence
from .wordings import ask

CHOOSE = "\nAnswer with one of: "
NUMBERS = ("no", "one", "two", "three", "four", "five")


def scene_choices(rng: random.Random, scene: Scene) -> list[Question]:
    """A label where there is one shape, and a statement that holds or does not."""
    found = [_claim(rng, *_scene_claim(rng, scene))]
    if len(scene.shapes) == 1:
        (shape,) = scene.shapes
        task = rng.choice(["colour", "shape", "describe"])
        if task == "colour":
            question, right, others = ask(rng, task, kind=shape.kind), shape.colour, COLOUR_NAMES
        elif task == "shape":
            question, right, others = ask(rng, task, colour=shape.colour), shape.kind, SHAPES
        else:
            names = tuple(f"{colour} {kind}" for colour, kind in PAIRS)
            question, right, others = ask(rng, task), shape.name, names
        found.append(_choice(rng, question, right, others))
    return found


def print_choices(rng: random.Random, document: Document) -> list[Question]:
    """The kind of document, and a statement about it."""
    if document.language or not document.values:
        return []
    found = [_claim(rng, *_print_claim(rng, document))]
    if document.kind:
        found.append(_choice(rng, ask(rng, "kind"), document.kind, KINDS))
    return found


def _choice(rng: random.Random, question: str, right: str, labels: Sequence[str]) -> Question:
    others = [label for label in labels if label != right]
    offered = [right, *rng.sample(others, min(rng.randint(1, 5), len(others)))]
    rng.shuffle(offered)
    return Question("choose", f"{question}{CHOOSE}{', '.join(offered)}.", right)


def _claim(rng: random.Random, statement: str, holds: bool) -> Question:
    question = ask(rng, "claim", statement=statement)
    return Question("claim", question, "Yes." if holds else "No.")


def _scene_claim(rng: random.Random, scene: Scene) -> tuple[str, bool]:
    shapes = scene.shapes
    holds = rng.random() < 0.5
    kind = rng.random()
    if not shapes or kind < 0.2:
        count = len(shapes) if holds else rng.choice([n for n in range(6) if n != len(shapes)])
        return _there_are(count, "shape", "shapes"), holds
    if kind < 0.35:
        name = rng.choice(shapes).kind if rng.random() < 0.7 else rng.choice(SHAPES)
        right = sum(shape.kind == name for shape in shapes)
        count = right if holds else rng.choice([n for n in range(5) if n != right])
        return _there_are(count, name, plural(name)), holds
    if kind < 0.7:
        there = [shape.pair for shape in shapes]
        near = [p for p in PAIRS if p not in there and any(set(p) & set(q) for q in there)]
        colour, name = rng.choice(there if holds else near)
        return f"There is {article(f'{colour} {name}')}.", holds
    if holds:
        return describe(scene), True
    return describe(Scene(scene.canvas, _altered(rng, shapes))), False


def _altered(rng: random.Random, shapes: Sequence[Shape]) -> list[Shape]:
    """The shapes with one of another colour or kind, or one less."""
    at = rng.randrange(len(shapes))
    if len(shapes) > 1 and rng.random() < 0.2:
        return [shape for index, shape in enumerate(shapes) if index != at]
    old = shapes[at]
    if rng.random() < 0.5:
        new = old.renamed(rng.choice([c for c in COLOUR_NAMES if c != old.colour]), old.kind)
    else:
        new = old.renamed(old.colour, rng.choice([k for k in SHAPES if k != old.kind]))
    return [new if index == at else shape for index, shape in enumerate(shapes)]


def _there_are(count: int, one: str, many: str) -> str:
    return f"There {'is' if count == 1 else 'are'} {NUMBERS[count]} {one if count == 1 else many}."


def _print_claim(rng: random.Random, document: Document) -> tuple[str, bool]:
    holds = rng.random() < 0.5
    if document.kind and rng.random() < 0.3:
        kind = document.kind if holds else rng.choice([k for k in KINDS if k != document.kind])
        return f"This is {article(kind)}.", holds
    role, value = rng.choice(list(document.values.items()))
    return sentence(f"the {role} is {value if holds else _changed(rng, value)}"), holds


def _changed(rng: random.Random, value: str) -> str:
    """The value with one or two characters replaced by others of their kind."""
    places = [at for at, character in enumerate(value) if character.isalnum()]
    characters = list(value)
    for at in rng.sample(places, min(len(places), rng.choice([1, 2, 2]))):
        old = characters[at]
        pool = "123456789" if old.isdigit() else "abcdefghijklmnopqrstuvwxyz"
        new = rng.choice([c for c in pool if c != old.lower()])
        characters[at] = new.upper() if old.isupper() else new
    return "".join(characters)
