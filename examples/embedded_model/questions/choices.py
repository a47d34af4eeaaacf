"""One label of several, and whether a statement holds.

Both answers to a statement are equally frequent, and its text does not give the answer away: what
is false is drawn as what is true is.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..drawing.documents import KINDS, Document, chinese_name, value_of
from ..drawing.palette import COLOUR_NAMES, PAIRS, SHAPES, TRAINING_PAIRS, Pair
from ..drawing.scenes import OPPOSITE, Scene, relation
from ..drawing.shapes import Shape
from .answers import Question, describe
from .tongue import Tongue

SHAPE_COUNTS = (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4)
"""How many shapes scenes have, as often as they have them."""
MORE = (1, 1, 1, 1, 2)
"""How many of a kind there are where there are any."""


def scene_choices(
    rng: random.Random, scene: Scene, tongue: Tongue, held_out: bool = False
) -> list[Question]:
    """A label where there is one shape, and a statement that holds or does not.

    Pairs that are kept out are named only if they may be drawn: else what is never there would be
    what is kept out.
    """
    pairs = PAIRS if held_out else TRAINING_PAIRS
    found = [_claim(rng, *_scene_claim(rng, scene, tongue, pairs), tongue)]
    if len(scene.shapes) == 1:
        (shape,) = scene.shapes
        task = rng.choice(["colour", "shape", "describe"])
        if task == "colour":
            question = tongue.ask(rng, task, kind=tongue.shape(shape.kind))
            right, all_labels = shape.colour, [(name, tongue.colour(name)) for name in COLOUR_NAMES]
        elif task == "shape":
            question = tongue.ask(rng, task, colour=tongue.colour(shape.colour))
            right, all_labels = shape.kind, [(name, tongue.shape(name)) for name in SHAPES]
        else:
            question = tongue.ask(rng, task)
            right, all_labels = shape.name, [(" ".join(pair), tongue.pair(*pair)) for pair in pairs]
        named = dict(all_labels)
        found.append(_choice(rng, question, named[right], list(named.values()), tongue))
    return found


def print_choices(rng: random.Random, document: Document, tongue: Tongue) -> list[Question]:
    """The kind of document, and a statement about it."""
    if document.language or not document.values:
        return []
    found = [_claim(rng, *_print_claim(rng, document, tongue), tongue)]
    if document.kind:
        labels = [tongue.document(kind) for kind in KINDS]
        right = tongue.document(document.kind)
        found.append(_choice(rng, tongue.ask(rng, "kind"), right, labels, tongue))
    return found


def _choice(
    rng: random.Random, question: str, right: str, labels: Sequence[str], tongue: Tongue
) -> Question:
    others = [label for label in labels if label != right]
    offered = [right, *rng.sample(others, min(rng.randint(1, 5), len(others)))]
    rng.shuffle(offered)
    text = f"{question}{tongue.choose}{tongue.between.join(offered)}{tongue.stop}"
    return Question("choose", text, right)


def _claim(rng: random.Random, statement: str, holds: bool, tongue: Tongue) -> Question:
    question = tongue.ask(rng, "claim", statement=statement)
    return Question("claim", question, tongue.truth(holds))


def _scene_claim(
    rng: random.Random, scene: Scene, tongue: Tongue, pairs: Sequence[Pair]
) -> tuple[str, bool]:
    shapes = scene.shapes
    holds = rng.random() < 0.5
    kind = rng.random()
    if not shapes or kind < 0.2:
        right = len(shapes)
        count = right if holds else rng.choice([n for n in SHAPE_COUNTS if n != right])
        return tongue.there_are(count, None), holds
    if kind < 0.35:
        return _count_claim(rng, shapes, holds, tongue)
    if kind < 0.7:
        there = [shape.pair for shape in shapes]
        near = [p for p in pairs if p not in there and any(set(p) & set(q) for q in there)]
        name = tongue.pair(*rng.choice(there if holds else near))
        return tongue.there_is(name), holds
    if holds:
        return describe(scene, tongue), True
    if len(shapes) == 2 and rng.random() < 0.5:
        first, second = shapes
        where = relation(first, second)
        if where is not None and first.pair != second.pair:
            return _two(shapes, OPPOSITE[where], tongue), False
    return describe(Scene(scene.canvas, _altered(rng, shapes, pairs)), tongue), False


def _two(shapes: Sequence[Shape], where: str, tongue: Tongue) -> str:
    """The other way round, in the words of a description: left of, right of or above."""
    first, second = (tongue.named(shape) for shape in shapes)
    if where in ("right of", "below"):
        first, second = second, first
    return tongue.two(first, "above" if where in ("above", "below") else "left of", second)


def _count_claim(
    rng: random.Random, shapes: Sequence[Shape], holds: bool, tongue: Tongue
) -> tuple[str, bool]:
    """So many of a kind: none, as often as some, whether it holds or not."""
    there = sorted({shape.kind for shape in shapes})
    absent = [kind for kind in SHAPES if kind not in there]
    name = rng.choice(there if rng.random() < 0.5 else absent)
    right = sum(shape.kind == name for shape in shapes)
    count = right if holds else 0 if right else rng.choice(MORE)
    return tongue.there_are(count, name), holds


def _altered(rng: random.Random, shapes: Sequence[Shape], pairs: Sequence[Pair]) -> list[Shape]:
    """The shapes with one of another colour or kind."""
    at = rng.randrange(len(shapes))
    old = shapes[at]
    near = [(c, k) for c, k in pairs if (c == old.colour) != (k == old.kind)]
    new = old.renamed(*rng.choice(near))
    return [new if index == at else shape for index, shape in enumerate(shapes)]


def _print_claim(rng: random.Random, document: Document, tongue: Tongue) -> tuple[str, bool]:
    holds = rng.random() < 0.5
    if document.kind and rng.random() < 0.3:
        kind = document.kind if holds else rng.choice([k for k in KINDS if k != document.kind])
        return tongue.this_is(tongue.document(kind)), holds
    role, value = rng.choice(list(document.values.items()))
    said = value if holds else _other(rng, role, value)
    return tongue.field_is(tongue.role(role), said), holds


def _other(rng: random.Random, role: str, value: str) -> str:
    """Another value of a field: any, or one that differs in a digit where that gives no hint."""
    at = [i for i, character in enumerate(value) if character.isdigit()]
    if role in ("total", "tax", "number", "quantity") and rng.random() < 0.5:
        place = rng.choice(at)
        first = place == 0 and len(at) > 1 and value[1:2] != "."
        digit = rng.choice([d for d in "0123456789"[first:] if d != value[place]])
        return value[:place] + digit + value[place + 1 :]
    is_chinese = not value.isascii()
    while True:
        other = chinese_name(rng) if is_chinese else value_of(rng, role)
        if other != value:
            return other
