"""Scenes of up to four shapes: placing them, drawing them, labelling every cell."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .canvas import Canvas
from .palette import (
    HELD_OUT_PAIRS,
    PAIRS,
    SHAPES,
    TRAINING_PAIRS,
    Colour,
    Pair,
    background,
    ink,
    jitter,
)
from .shapes import Shape, draw, vary

Labels = NDArray[np.int64]
Relation = Literal["left of", "right of", "above", "below"]
OPPOSITE: dict[Relation, Relation] = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}
# Largest radius for n shapes, as a share of the picture's shorter side.
LARGEST = {1: 0.42, 2: 0.26, 3: 0.21, 4: 0.18}
SMALLEST_SEEN = 8.0
# A shape on another one is what a cell shows from this share of it on.
ON_TOP = 0.4
# After so many vain tries a scene gets one shape less: a thin picture has no room for four.
TRIES = 25
Spot = tuple[float, float, float]


@dataclass
class Style:
    """How a scene is drawn, shared by the pictures of one comparison or video."""

    ground: Colour
    smooth: bool = True
    edge: tuple[Colour, int] | None = None
    frame: Colour | None = None


@dataclass
class Scene:
    """Shapes from left to right on a canvas."""

    canvas: Canvas
    shapes: list[Shape] = field(default_factory=list)


def relation(first: Shape, second: Shape) -> Relation | None:
    """Where `first` is as seen from `second`; None if the direction is not clear."""
    across, down = second.x - first.x, second.y - first.y
    if abs(across) > abs(down) * 1.3:
        return "left of" if across > 0 else "right of"
    if abs(down) > abs(across) * 1.3:
        return "above" if down > 0 else "below"
    return None


def choose_pairs(rng: random.Random, count: int, held_out: bool, distinct: bool) -> list[Pair]:
    """Colours and shapes; with `held_out` at least one is a pair never trained on."""
    while True:
        pool = PAIRS if held_out else TRAINING_PAIRS
        chosen = [rng.choice(pool) for _ in range(count)]
        if held_out and not HELD_OUT_PAIRS.intersection(chosen):
            chosen[rng.randrange(count)] = rng.choice(sorted(HELD_OUT_PAIRS))
        if not distinct or len(set(chosen)) == count:
            return chosen


def radii(rng: random.Random, canvas: Canvas, count: int) -> list[float]:
    """Radii in source pixels, none smaller than the model could tell apart."""
    side = min(canvas.width, canvas.height)
    low = max(SMALLEST_SEEN * canvas.scale, 0.055 * side)
    high = max(low * 1.25, LARGEST[max(count, 1)] * side)
    high = min(high, 0.44 * side)
    if rng.random() < 0.5:
        return [rng.uniform(min(low, high), high)] * count
    return [rng.uniform(min(low, high), high) for _ in range(count)]


def place(rng: random.Random, canvas: Canvas, count: int) -> list[Spot]:
    """Centres and radii of up to `count` shapes that do not touch; fewer if room runs out."""
    spots: list[Spot] = []
    for radius in radii(rng, canvas, count):
        for _ in range(12):
            margin = min(radius * 1.15, canvas.width / 2, canvas.height / 2)
            x = rng.uniform(margin, canvas.width - margin)
            y = rng.uniform(margin, canvas.height - margin)
            if all(_apart(x, y, radius, spot) for spot in spots):
                spots.append((x, y, radius))
                break
    return spots


def _apart(x: float, y: float, radius: float, spot: Spot) -> bool:
    return (x - spot[0]) ** 2 + (y - spot[1]) ** 2 > (1.25 * (radius + spot[2])) ** 2


def _clear(shapes: list[Shape], scale: float) -> bool:
    """Whether the order from left to right, or the relation of two, is beyond doubt."""
    if len(shapes) == 2:
        return relation(*shapes) is not None
    return all(b.x - a.x > 7 * scale for a, b in pairwise(shapes))


def make_scene(
    rng: random.Random,
    canvas: Canvas,
    count: int,
    held_out: bool = False,
    distinct: bool = False,
) -> Scene:
    """A scene of `count` shapes (fewer where they do not fit), sorted from left to right."""
    for attempt in range(TRIES * 6):
        wanted = max(count - attempt // TRIES, min(count, 1))
        spots = place(rng, canvas, wanted)
        pairs = choose_pairs(rng, wanted, held_out, distinct) if wanted else []
        shapes = [_shape(rng, pair, spot) for pair, spot in zip(pairs, spots, strict=False)]
        shapes.sort(key=lambda shape: shape.x)
        if len(spots) == wanted and _clear(shapes, canvas.scale):
            break
    return Scene(canvas, shapes)


def _shape(rng: random.Random, pair: Pair, spot: Spot) -> Shape:
    form, turn = vary(rng)
    return Shape(*pair, *spot, ink(rng, pair[0]), form, turn)


def make_style(rng: random.Random, inks: list[Colour], canvas: Canvas) -> Style:
    """A background that shows every ink, sometimes edges and a frame."""
    style = Style(background(rng, inks), smooth=rng.random() < 0.75)
    if rng.random() < 0.12:
        dark = jitter(rng, rng.choice([(0, 0, 0), (70, 70, 70)]), 10)
        style.edge = (dark, max(1, round(rng.uniform(0.8, 1.8) * canvas.scale)))
    if rng.random() < 0.06:
        style.frame = jitter(rng, rng.choice([(0, 0, 0), (90, 90, 90)]), 20)
    return style


def render(scene: Scene, style: Style) -> Image.Image:
    """Draws the scene at its source size; smooth edges come from drawing at double size."""
    canvas = scene.canvas
    factor = 2 if style.smooth and canvas.scale < 1.4 else 1
    size = (canvas.width * factor, canvas.height * factor)
    picture = Image.new("RGB", size, style.ground)
    pen = ImageDraw.Draw(picture)
    if style.frame:
        inset = max(1, round(min(size) * 0.02))
        box = (inset, inset, size[0] - inset - 1, size[1] - inset - 1)
        pen.rectangle(box, outline=style.frame, width=max(1, round(canvas.scale * factor)))
    edge = (style.edge[0], style.edge[1] * factor) if style.edge else None
    for shape in by_size(scene.shapes):
        draw(pen, shape, factor, edge)
    return picture if factor == 1 else picture.reduce(factor)


def by_size(shapes: Sequence[Shape]) -> list[Shape]:
    """The largest first, so that a small one in it is drawn on it."""
    return sorted(shapes, key=lambda shape: -shape.radius)


def label_cells(scene: Scene) -> Labels:
    """For every cell the class of the shape that covers most of it; 0 for none."""
    grid = scene.canvas.grid
    cell_width = scene.canvas.width / grid.columns
    cell_height = scene.canvas.height / grid.rows
    labels = np.zeros(grid.cells, np.int64)
    covered = np.zeros(grid.cells)
    for shape in by_size(scene.shapes):
        value = 1 + PAIRS.index(shape.pair)
        across = _overlaps(shape.x, shape.radius, cell_width, grid.columns)
        down = _overlaps(shape.y, shape.radius, cell_height, grid.rows)
        share = np.outer(down / cell_height, across / cell_width).ravel()
        better = (share > np.minimum(covered, ON_TOP)) & (share > 0.03)
        labels[better], covered[better] = value, share[better]
    return labels


def _overlaps(centre: float, radius: float, cell: float, count: int) -> NDArray[np.float64]:
    starts = np.arange(count) * cell
    ends = np.minimum(starts + cell, centre + radius)
    lengths: NDArray[np.float64] = ends - np.maximum(starts, centre - radius)
    return np.maximum(lengths, 0.0, dtype=np.float64)


def kinds_absent(scene: Scene) -> list[str]:
    """Shapes that do not occur, for questions whose answer is none."""
    present = {shape.kind for shape in scene.shapes}
    return [kind for kind in SHAPES if kind not in present]
