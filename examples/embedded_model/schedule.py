"""What is trained when: learning rate, sizes of pictures, and the mix of kinds."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .drawing.canvas import FRAME_CELLS, IMAGE_CELLS, Grid, draw_grid

# Shares of the run: dense pre-training ends; pictures have grown to full size; decay begins.
DENSE_END = 0.2
# Then, until EASY_END, so many steps still train the vision tower alone.
DENSE_STEPS = 0.2
# Until then, so many batches are tiny pictures: where reading and placing begin to work.
EASY_END, EASY = 0.7, 0.35
DENSE_PRINT = 0.75
GROWN = 0.8
DECAY = 0.66
WARM_UP = 60
FOLLOW = 0.053
MIX = {
    "scene": 3.4, "relations": 5.0, "compare": 0.7, "video": 0.5, "document": 3.6, "menu": 2.2,
    "sign": 1.8, "page": 1.6,
    "screen": 0.5, "tool": 0.35, "zoom": 0.35,
}  # fmt: skip
# Comparisons answered by yes or no are learnt by themselves, at a lower rate, which stays low: in
# the whole mix, at the full rate, they stayed at chance for 190,000 pictures.
COMPARING = ((0.54, 0.567), (0.615, 0.69))
COMPARING_MIX = {"scene": 2.0, "relations": 6.0, "compare": 1.0, "document": 0.5}
LOW_RATE = 0.5
PRINTED = ("document", "menu", "sign", "page", "screen", "tool", "zoom")
# Kinds with long answers wait, but are not dropped, until what they are made of is known.
LATER, RARE, FIRST_END = ("page", "screen", "tool", "zoom", "compare", "video"), 0.3, 0.4
SMALL_IMAGE = (9, 20)
# Rows and columns of the smallest pictures: a line or two, a shape or two.
TINY_PRINT = ((1, 4), (1, 5), (1, 6), (2, 5), (2, 6))
TINY_SCENES = ((2, 3), (3, 3), (3, 4), (4, 4))
TINY_RELATED = ((3, 3), (3, 4), (4, 4), (4, 5))
SMALL_FRAME = (9, 16)
# Milliseconds of one core that a visual token and a question cost; measured, see the README.
CELL_COST, QUESTION_COST = 0.45, 4.5


def former_share(progress: float, begin: float) -> float:
    """How much of the rotary frequencies is still that of the weights which a run began with.

    All of it at the beginning, nothing after a twentieth of what the run has: attention that was
    learnt follows step by step.
    """
    return max(0.0, 1.0 - (progress - begin) / (FOLLOW * (1.0 - begin)))


def rate(progress: float, steps_since_start: int) -> float:
    """Factor of the learning rate: warm-up after every (re)start, two levels, linear decay."""
    warm = min(1.0, (steps_since_start + 1) / WARM_UP)
    level = 1.0 if progress < COMPARING[0][0] else LOW_RATE
    return warm * level * (1.0 if progress < DECAY else max(0.02, (1 - progress) / (1 - DECAY)))


@dataclass(frozen=True)
class Plan:
    """One step of one worker."""

    kind: str
    grid: Grid
    count: int
    frames: int
    dense_only: bool


def _grown(small: tuple[int, int], full: tuple[int, int], share: float) -> tuple[int, int]:
    low, high = (round(s + (f - s) * share) for s, f in zip(small, full, strict=True))
    return low, high


def dense_only(rng: random.Random, progress: float) -> bool:
    """Whether a step trains the vision tower alone; all workers must draw the same."""
    return progress < DENSE_END or (progress < EASY_END and rng.random() < DENSE_STEPS)


def plan(rng: random.Random, progress: float, cost: float, dense: bool) -> Plan:
    """Draws kind, grid and batch size; batches of all kinds cost about the same time."""
    is_comparing = any(begin <= progress < end for begin, end in COMPARING)
    mix = COMPARING_MIX if is_comparing else MIX
    shares = [
        share * (RARE if kind in LATER and progress < FIRST_END else 1.0)
        for kind, share in mix.items()
    ]
    kind = rng.choices(list(mix), shares)[0]
    printed = kind in PRINTED
    if dense:
        return _dense_plan(rng, rng.random() < DENSE_PRINT, cost)
    share = min(1.0, (progress - DENSE_END) / (GROWN - DENSE_END))
    # A part of the batches keeps smaller pictures: cheaper, and old sizes are not forgotten.
    share *= 1.0 if rng.random() < 0.75 else rng.random()
    video = kind == "video"
    if video:
        grid = draw_grid(rng, _grown(SMALL_FRAME, FRAME_CELLS, share), 0.1)
    elif kind in ("page", "screen"):
        grid = draw_grid(rng, _grown((12, 24), IMAGE_CELLS, share), -0.2)
    elif progress < EASY_END and rng.random() < EASY:
        tiny = TINY_RELATED if kind == "relations" else TINY_PRINT if printed else TINY_SCENES
        grid = Grid(*rng.choice(tiny))
    else:
        wide = 0.35 if printed else 0.1
        grid = draw_grid(rng, _grown(SMALL_IMAGE, IMAGE_CELLS, share), wide)
    frames = rng.choice((*range(2, 9), *range(2, 17))) if video else 1
    pictures = (frames + 1) // 2 if video else 2 if kind in ("compare", "zoom") else 1
    questions = {
        "video": 2,
        "compare": 2,
        "relations": 6,
        "page": 5,
        "tool": 12,
        "zoom": 12,
        "screen": 14,
    }.get(kind, 4)
    each = pictures * grid.cells * CELL_COST + questions * QUESTION_COST
    return Plan(kind, grid, min(max(round(cost / each), 6), most(cost)), frames, False)


def most(cost: float) -> int:
    """The largest batch: 64 of small pictures on a core, more where a step may cost more."""
    return round(64 * max(1.0, cost / 600.0))


def _dense_plan(rng: random.Random, printed: bool, cost: float) -> Plan:
    """Small pictures of one or two shapes, or of a line or two, for the vision tower alone."""
    kind = rng.choice(PRINTED[:3]) if printed else rng.choice(["scene", "scene", "relations"])
    grid = Grid(*rng.choice(TINY_PRINT if printed else TINY_SCENES))
    return Plan(kind, grid, min(max(round(cost / (grid.cells * 0.6)), 24), most(cost)), 1, True)
