"""Outlines of the six shapes, and drawing them with or without smooth edges."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from PIL import ImageDraw

from .boxes import Box
from .palette import Colour

Point = tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """One coloured shape in source pixels. `form` and `turn` vary how it is drawn."""

    colour: str
    kind: str
    x: float
    y: float
    radius: float
    ink: Colour
    form: float = 0.5
    turn: float = 0.0

    @property
    def name(self) -> str:
        """Colour and kind, as in "red circle"."""
        return f"{self.colour} {self.kind}"

    @property
    def pair(self) -> tuple[str, str]:
        """Colour and kind."""
        return self.colour, self.kind

    def renamed(self, colour: str, kind: str) -> Shape:
        """The same shape under another name."""
        return replace(self, colour=colour, kind=kind)

    def moved(self, x: float, y: float, radius: float) -> Shape:
        """The same shape elsewhere and of another size."""
        return replace(self, x=x, y=y, radius=radius)


def outline(kind: str, form: float) -> list[Point]:
    """Corners about the origin for radius 1; `form` in 0..1 picks a variant."""
    if kind == "square":
        high = 0.88 + 0.12 * (form - 0.5)
        return [(-0.88, -high), (0.88, -high), (0.88, high), (-0.88, high)]
    if kind == "triangle":
        low = 0.55 + 0.4 * form
        return [(0, -1), (1, low), (-1, low)]
    if kind == "diamond":
        wide = 0.65 + 0.4 * form
        return [(0, -1.08), (wide, 0), (0, 1.08), (-wide, 0)]
    if kind == "star":
        inner = 0.38 + 0.12 * form
        return [_polar(1.1 if i % 2 == 0 else inner, i * math.pi / 5) for i in range(10)]
    if kind == "cross":
        arm = 0.25 + 0.15 * form
        quarter = [(arm, -1.0), (arm, -arm), (1.0, -arm)]
        return [p for turn in range(4) for p in (_quarter_turn(q, turn) for q in quarter)]
    return [_polar(1.0, i * math.pi / 24) for i in range(48)]


def _polar(radius: float, angle: float) -> Point:
    return radius * math.sin(angle), -radius * math.cos(angle)


def _quarter_turn(point: Point, times: int) -> Point:
    x, y = point
    for _ in range(times):
        x, y = -y, x
    return x, y


def corners(shape: Shape, scale: float = 1.0) -> list[Point]:
    """The outline in pixels of a canvas enlarged by `scale`."""
    cos, sin = math.cos(shape.turn), math.sin(shape.turn)
    radius = shape.radius * scale
    return [
        (
            shape.x * scale + radius * (x * cos - y * sin),
            shape.y * scale + radius * (x * sin + y * cos),
        )
        for x, y in outline(shape.kind, shape.form)
    ]


def extent(shape: Shape) -> Box:
    """The smallest box around a shape."""
    if shape.kind == "circle":
        x, y, radius = shape.x, shape.y, shape.radius
        return Box(x - radius, y - radius, x + radius, y + radius)
    across, down = zip(*corners(shape), strict=True)
    return Box(min(across), min(down), max(across), max(down))


def vary(rng: random.Random) -> tuple[float, float]:
    """A random form and a slight turn."""
    turn = rng.gauss(0, 0.05) if rng.random() < 0.3 else 0.0
    return rng.random(), min(max(turn, -0.15), 0.15)


def draw(
    pen: ImageDraw.ImageDraw, shape: Shape, scale: float, edge: tuple[Colour, int] | None
) -> None:
    """Draws `shape`, filled, with an optional thin edge (colour, width in pixels)."""
    if shape.kind == "circle":
        x, y, radius = shape.x * scale, shape.y * scale, shape.radius * scale
        box = (x - radius, y - radius, x + radius, y + radius)
        if edge is None:
            pen.ellipse(box, fill=shape.ink)
        else:
            pen.ellipse(box, fill=shape.ink, outline=edge[0], width=edge[1])
        return
    points = corners(shape, scale)
    pen.polygon(points, fill=shape.ink)
    if edge is not None:
        pen.line([*points, points[0]], fill=edge[0], width=edge[1])
