"""How two shapes of a scene relate: side, inside, size, colour, shape.

Every question of yes or no is true as often as false, in the same words: a direction and its
opposite, a shape and the other one. So neither the words nor the frequencies tell the answer.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import permutations

from ..drawing.related import ALIKE, NESTED
from ..drawing.scenes import OPPOSITE, Scene, relation
from ..drawing.shapes import Shape, extent
from .answers import Question
from .tongue import Tongue

LARGER = 1.3
"""By this factor one shape is beyond doubt larger than another."""

ASKED_INNER = 0.65
"""Of two shapes of which one is in the other, so often the inner one is asked about."""
ASKED_APART = (2 * ASKED_INNER - 1) * NESTED / (1 - NESTED)
"""Of two shapes that are apart, so often it is asked: then yes and no are equally frequent."""
ASKED_ALIKE = (1 - 2 * ALIKE) / ALIKE
"""Of two shapes of one colour, or of one kind, so often it is asked, for the same reason."""


def relation_questions(rng: random.Random, scene: Scene, tongue: Tongue) -> list[Question]:
    """What can be asked of the pairs of a scene, each kind at most twice."""
    names = [shape.name for shape in scene.shapes]
    single = [shape for shape in scene.shapes if names.count(shape.name) == 1]
    pairs = list(permutations(single, 2))
    rng.shuffle(pairs)
    found: list[Question] = []
    for first, second in pairs[:2]:
        found += _sides(rng, first, second, tongue)
        found += _sizes(rng, first, second, tongue)
    if pairs:
        found += _inside(rng, *pairs[0], tongue)
    return found + _alike(rng, scene.shapes, tongue)


def is_inside(first: Shape, second: Shape) -> bool:
    """Whether a shape lies within the box of another."""
    inner, outer = extent(first), extent(second)
    return (
        outer.left < inner.left
        and inner.right < outer.right
        and outer.top < inner.top
        and inner.bottom < outer.bottom
    )


def _sides(rng: random.Random, first: Shape, second: Shape, tongue: Tongue) -> list[Question]:
    """Where one is from the other, and whether it is where the question says."""
    where = relation(first, second)
    if where is None or is_inside(first, second) or is_inside(second, first):
        return []
    names = {"first": tongue.named(first), "second": tongue.named(second)}
    holds = rng.random() < 0.5
    claim = tongue.side(where if holds else OPPOSITE[where])
    pair = names["first"], names["second"]
    text = tongue.ask(rng, "relation", **names)
    found = [Question("relation", text, tongue.stands(where), pair)]
    text = tongue.ask(rng, "relation_yes_no", relation=claim, **names)
    found.append(Question("relation_yes_no", text, tongue.truth(holds), (*pair, claim)))
    if rng.random() < 0.5:
        holds = rng.random() < 0.5
        claimed = where if holds else OPPOSITE[where]
        said = tongue.two(names["first"], claimed, names["second"])
        text = tongue.ask(rng, "claim", statement=said)
        compared = (*pair, tongue.side(claimed))
        found.append(Question("claim_relation", text, tongue.truth(holds), compared))
    return found


def _inside(rng: random.Random, first: Shape, second: Shape, tongue: Tongue) -> list[Question]:
    """Whether one lies in the other: yes as often as no, of pairs that touch and that do not."""
    inner, outer = (first, second) if first.radius < second.radius else (second, first)
    nested = is_inside(inner, outer)
    if not nested and rng.random() > ASKED_APART:
        return []
    holds = nested and rng.random() < ASKED_INNER
    asked = (outer, inner) if nested and not holds else (inner, outer)
    if not nested and rng.random() < 0.5:
        asked = (outer, inner)
    pair = tongue.named(asked[0]), tongue.named(asked[1])
    text = tongue.ask(rng, "inside", first=pair[0], second=pair[1])
    return [Question("inside", text, tongue.truth(holds), pair)]


def _sizes(rng: random.Random, first: Shape, second: Shape, tongue: Tongue) -> list[Question]:
    """Which is larger, where that is beyond doubt."""
    ratio = area(first) / area(second)
    if 1 / LARGER**2 < ratio < LARGER**2:
        return []
    names = {"first": tongue.named(first), "second": tongue.named(second)}
    larger, pair = first if ratio > 1 else second, (names["first"], names["second"])
    text = tongue.ask(rng, "which_larger", **names)
    return [
        Question("larger", tongue.ask(rng, "larger", **names), tongue.truth(ratio > 1), pair),
        Question("which_larger", text, tongue.sentence(tongue.the(larger)), pair),
    ]


def area(shape: Shape) -> float:
    """Of the box around a shape."""
    box = extent(shape)
    return (box.right - box.left) * (box.bottom - box.top)


def _alike(rng: random.Random, shapes: Sequence[Shape], tongue: Tongue) -> list[Question]:
    """Whether two have one colour, named by their shapes, or one shape, named by their colours.

    Of those that are alike fewer are asked, as many as of the others.
    """
    if len(shapes) != 2:
        return []
    first, second = rng.sample(list(shapes), 2)
    same_colour, same_kind = first.colour == second.colour, first.kind == second.kind
    if same_colour and same_kind:
        return []
    keep = rng.random() < ASKED_ALIKE or not (same_colour or same_kind)
    found = []
    if not same_kind and keep:
        names = {"first": tongue.shape(first.kind), "second": tongue.shape(second.kind)}
        text = tongue.ask(rng, "same_colour", **names)
        pair = names["first"], names["second"]
        found.append(Question("same_colour", text, tongue.truth(same_colour), pair))
    if not same_colour and keep:
        names = {"first": tongue.colour(first.colour), "second": tongue.colour(second.colour)}
        text = tongue.ask(rng, "same_shape", **names)
        pair = names["first"], names["second"]
        found.append(Question("same_shape", text, tongue.truth(same_kind), pair))
    return found
