"""Videos of one shape that moves, grows, shrinks, stays, comes or goes, some beside a still one."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .canvas import Canvas
from .palette import ink
from .scenes import Scene, choose_pairs
from .shapes import Shape, vary

DIRECTIONS = ("right", "left", "up", "down")
EVENTS = ("appear", "disappear")
MOTIONS = (*DIRECTIONS, *DIRECTIONS, "still", "grow", "shrink", *EVENTS, *EVENTS)
FRAMES_A_SECOND = 2
"""What the package samples, and what this model sees as one moment."""


@dataclass
class Motion:
    """The frames of a video and what happens in it, an event at so many seconds from its start."""

    what: str
    shape: Shape
    frames: list[Scene]
    at: int | None = None


def _span(rng: random.Random, side: float, room: float, sign: int) -> tuple[float, float]:
    """Start and end along one axis, inside the picture; `sign` 0 stays."""
    low, high = room, max(side - room, room)
    if sign == 0:
        here = rng.uniform(low, high)
        return here, here
    travel = (high - low) * rng.uniform(0.3, 0.9)
    start = rng.uniform(low, high - travel)
    return (start, start + travel) if sign > 0 else (start + travel, start)


def _sizes(rng: random.Random, canvas: Canvas, what: str) -> tuple[float, float]:
    side = min(canvas.width, canvas.height)
    low = max(8 * canvas.scale, 0.07 * side)
    small = rng.uniform(low, max(low, 0.16 * side))
    if what == "grow":
        return small, small * rng.uniform(1.6, 2.4)
    if what == "shrink":
        return small * rng.uniform(1.6, 2.4), small
    same = rng.uniform(low, max(low, 0.25 * side))
    return same, same


def make_motion(rng: random.Random, canvas: Canvas, count: int, held_out: bool = False) -> Motion:
    """A video of `count` frames."""
    what = rng.choice(MOTIONS if count >= 2 * FRAMES_A_SECOND else MOTIONS[: -2 * len(EVENTS)])
    pairs = choose_pairs(rng, 2, held_out, True)
    while what in EVENTS and pairs[0][1] == pairs[1][1]:  # of whichever comes is asked by its kind
        pairs = choose_pairs(rng, 2, held_out, True)
    rng.shuffle(pairs)
    start, end = _sizes(rng, canvas, what)
    room = max(start, end) * 1.12
    across = {"right": 1, "left": -1}.get(what, 0)
    down = {"down": 1, "up": -1}.get(what, 0)
    xs, ys = _span(rng, canvas.width, room, across), _span(rng, canvas.height, room, down)
    form, turn = vary(rng)
    shape = Shape(*pairs[0], xs[0], ys[0], start, ink(rng, pairs[0][0]), form, turn)
    shares = [i / (count - 1) for i in range(count)]
    if rng.random() < 0.15:
        shares = [share**1.5 for share in shares]
    frames = [
        Scene(canvas, [shape.moved(_at(xs, t), _at(ys, t), _at((start, end), t))]) for t in shares
    ]
    at = _let_happen(rng, frames, what) if what in EVENTS else None
    if what != "still" and rng.random() < (0.5 if what in EVENTS else 0.12):
        _add_bystander(rng, frames, Shape(*pairs[1], 0, 0, start, ink(rng, pairs[1][0])))
    return Motion(what, shape, frames, at)


def _let_happen(rng: random.Random, frames: list[Scene], what: str) -> int:
    """Takes the shape out of the frames before, or after, some full second."""
    at = rng.randrange(1, len(frames) // FRAMES_A_SECOND)
    first = at * FRAMES_A_SECOND
    for frame in frames[:first] if what == "appear" else frames[first:]:
        frame.shapes.clear()
    return at


def _at(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share


def _add_bystander(rng: random.Random, frames: list[Scene], other: Shape) -> None:
    """Adds a still shape that the moving one never touches, if there is room for one."""
    canvas, radius = frames[0].canvas, other.radius
    for _ in range(10):
        x = rng.uniform(radius, max(canvas.width - radius, radius))
        y = rng.uniform(radius, max(canvas.height - radius, radius))
        free = all(
            (x - s.x) ** 2 + (y - s.y) ** 2 > (1.25 * (radius + s.radius)) ** 2
            for frame in frames
            for s in frame.shapes
        )
        if free:
            for frame in frames:
                frame.shapes.append(other.moved(x, y, radius))
            return
