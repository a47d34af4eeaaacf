"""Scenes of two or three shapes that can be compared: apart or one in the other, often alike."""

from __future__ import annotations

import random

from .canvas import Canvas
from .palette import HELD_OUT_PAIRS, PAIRS, TRAINING_PAIRS, Pair, background, distance, ink
from .scenes import SMALLEST_SEEN, TRIES, Scene, Style, make_style, place
from .shapes import Shape, vary

NESTED = 0.22
"""Share of the scenes in which one shape lies in the other."""
ALIKE = 0.36
"""Share of the pairs of one colour; of one kind are as many."""


def related_pairs(rng: random.Random, count: int, held_out: bool = False) -> list[Pair]:
    """Colours and shapes; no two are the same in both."""
    pool = PAIRS if held_out else TRAINING_PAIRS
    first = rng.choice(sorted(HELD_OUT_PAIRS) if held_out else pool)
    roll = rng.random()
    like = [
        pair
        for pair in pool
        if (pair[0] == first[0]) == (roll < ALIKE)
        and (pair[1] == first[1]) == (ALIKE <= roll < 2 * ALIKE)
    ]
    chosen = [first, rng.choice(like)]
    while len(chosen) < count:
        other = rng.choice(pool)
        if other not in chosen:
            chosen.append(other)
    return chosen


def make_related(rng: random.Random, canvas: Canvas, held_out: bool = False) -> Scene:
    """A scene of two or three shapes, from left to right."""
    if rng.random() < NESTED:
        return _nested(rng, canvas, related_pairs(rng, 2, held_out))
    count = 2 if rng.random() < 0.75 else 3
    for attempt in range(TRIES):
        spots = place(rng, canvas, count if attempt < TRIES // 2 else 2)
        if len(spots) >= 2:
            break
    else:
        return _nested(rng, canvas, related_pairs(rng, 2, held_out))
    pairs = related_pairs(rng, len(spots), held_out)
    rng.shuffle(pairs)
    shapes = [
        Shape(*pair, *spot, ink(rng, pair[0]), *vary(rng))
        for pair, spot in zip(pairs, spots, strict=True)
    ]
    return Scene(canvas, sorted(shapes, key=lambda shape: shape.x))


def _nested(rng: random.Random, canvas: Canvas, pairs: list[Pair]) -> Scene:
    """One shape in the middle of another, which it leaves to be seen."""
    rng.shuffle(pairs)
    side = min(canvas.width, canvas.height)
    large = rng.uniform(0.3, 0.45) * side
    form, turn = vary(rng)
    x = rng.uniform(large * 1.1, max(canvas.width - large * 1.1, large * 1.1))
    y = rng.uniform(large * 1.1, max(canvas.height - large * 1.1, large * 1.1))
    outer = Shape(*pairs[0], x, y, large, ink(rng, pairs[0][0]), form, turn)
    # A triangle's and a star's middle are narrower than their boxes.
    room = {"cross": 0.3, "star": 0.36, "triangle": 0.36, "diamond": 0.4}.get(outer.kind, 0.5)
    small = max(
        rng.uniform(0.75, 1.0) * room * large, min(SMALLEST_SEEN * canvas.scale, 0.5 * large)
    )
    below = 0.25 * large if outer.kind == "triangle" else 0.0
    for _ in range(TRIES):
        colour = ink(rng, pairs[1][0])
        if distance(colour, outer.ink) > 90:
            break
    inner = Shape(*pairs[1], x, y + below, small, colour, *vary(rng))
    return Scene(canvas, sorted([outer, inner], key=lambda shape: shape.x))


def related_style(rng: random.Random, scene: Scene, canvas: Canvas) -> Style:
    """As of other scenes; edges where a shape lies on one of its own colour."""
    inks = [shape.ink for shape in scene.shapes]
    style = make_style(rng, inks, canvas)
    first, second = scene.shapes[:2]
    touching = abs(first.x - second.x) + abs(first.y - second.y) < first.radius + second.radius
    if touching and distance(first.ink, second.ink) < 150 and style.edge is None:
        dark = max(inks) < (90, 90, 90)
        style.edge = ((235, 235, 235) if dark else (20, 20, 20), max(1, round(1.3 * canvas.scale)))
        style.ground = background(rng, [*inks, style.edge[0]])
    return style
