"""Two pictures that are equal, or differ in one shape."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from .canvas import Canvas
from .palette import COLOUR_NAMES, HELD_OUT_PAIRS, SHAPES, background, ink
from .scenes import Scene, Style, make_scene, make_style
from .shapes import Shape


@dataclass(frozen=True)
class Change:
    """What became of one shape: `what` is same, colour, shape, gone or added."""

    what: str
    colour: str = ""
    kind: str = ""
    became: str = ""


def make_pair(
    rng: random.Random, canvas: Canvas, held_out: bool = False
) -> tuple[Scene, Scene, Change]:
    """Two scenes and how the second differs; every shape occurs once, so that it can be named."""
    while True:
        scene = make_scene(rng, canvas, rng.choice([1, 2, 2, 3]), held_out)
        if len({shape.kind for shape in scene.shapes}) == len(scene.shapes):
            break
    what = rng.choice(["same", "colour", "colour", "shape", "shape", "gone", "added"])
    index = rng.randrange(len(scene.shapes))
    return _apply(rng, scene, what, index, held_out)


def _apply(
    rng: random.Random, scene: Scene, what: str, index: int, held_out: bool
) -> tuple[Scene, Scene, Change]:
    old = scene.shapes[index]
    rest = [shape for i, shape in enumerate(scene.shapes) if i != index]
    fewer = Scene(scene.canvas, rest)
    if what == "gone":
        return scene, fewer, Change(what, old.colour, old.kind)
    if what == "added":
        return fewer, scene, Change(what, old.colour, old.kind)
    if what == "colour":
        colour = rng.choice(_new_colours(old.colour, old.kind, held_out))
        new = replace(old, colour=colour, ink=ink(rng, colour))
        return scene, _swap(scene, index, new), Change(what, old.colour, old.kind, colour)
    if what == "shape":
        taken = {shape.kind for shape in scene.shapes}
        kind = rng.choice(_new_kinds(old.colour, taken, held_out))
        new = replace(old, kind=kind)
        return scene, _swap(scene, index, new), Change(what, old.colour, old.kind, kind)
    return scene, Scene(scene.canvas, list(scene.shapes)), Change("same")


def _swap(scene: Scene, index: int, new: Shape) -> Scene:
    shapes = list(scene.shapes)
    shapes[index] = new
    return Scene(scene.canvas, shapes)


def _new_colours(colour: str, kind: str, held_out: bool) -> list[str]:
    others = [name for name in COLOUR_NAMES if name != colour]
    return [name for name in others if held_out or (name, kind) not in HELD_OUT_PAIRS]


def _new_kinds(colour: str, taken: set[str], held_out: bool) -> list[str]:
    others = [name for name in SHAPES if name not in taken]
    return [name for name in others if held_out or (colour, name) not in HELD_OUT_PAIRS]


def pair_style(rng: random.Random, first: Scene, second: Scene) -> Style:
    """One style for both pictures."""
    inks = [shape.ink for shape in [*first.shapes, *second.shapes]]
    style = make_style(rng, inks, first.canvas)
    style.ground = background(rng, inks)
    return style
