"""Names of colours and shapes, what each colour may look like, and the pairs kept out."""

from __future__ import annotations

import random

Colour = tuple[int, int, int]

# Several anchors a name: Pillow's, matplotlib's and Tableau's idea of each.
COLOURS: dict[str, tuple[Colour, ...]] = {
    "red": ((220, 30, 30), (255, 0, 0), (214, 39, 40), (190, 15, 25)),
    "blue": ((30, 60, 220), (0, 0, 255), (31, 119, 180), (20, 40, 160)),
    "green": ((30, 150, 50), (0, 128, 0), (44, 160, 44), (0, 220, 30)),
    "yellow": ((245, 215, 20), (255, 255, 0), (250, 230, 70)),
    "orange": ((250, 140, 20), (255, 165, 0), (255, 127, 14)),
    "purple": ((135, 40, 170), (128, 0, 128), (148, 103, 189), (100, 30, 150)),
    "black": ((20, 20, 20), (0, 0, 0), (35, 35, 35)),
    "pink": ((250, 150, 190), (255, 192, 203), (227, 119, 194), (255, 130, 180)),
}
SHAPES = ("circle", "square", "triangle", "star", "diamond", "cross")
COLOUR_NAMES = tuple(COLOURS)
Pair = tuple[str, str]
PAIRS: tuple[Pair, ...] = tuple((c, s) for c in COLOUR_NAMES for s in SHAPES)
HELD_OUT_PAIRS = frozenset(
    {("red", "star"), ("blue", "diamond"), ("green", "triangle"), ("purple", "cross")}
)
TRAINING_PAIRS = tuple(pair for pair in PAIRS if pair not in HELD_OUT_PAIRS)

LIGHT: tuple[Colour, ...] = (
    (255, 255, 255), (255, 255, 255), (245, 245, 240), (230, 235, 240), (250, 240, 225),
    (235, 235, 235), (225, 240, 225), (250, 230, 235),
)  # fmt: skip


def jitter(rng: random.Random, colour: Colour, most: int = 14) -> Colour:
    """`colour`, each channel moved by up to `most`."""
    red, green, blue = (min(max(v + rng.randint(-most, most), 0), 255) for v in colour)
    return red, green, blue


def ink(rng: random.Random, name: str) -> Colour:
    """A colour that people would call `name`."""
    return jitter(rng, rng.choice(COLOURS[name]), 10)


def distance(first: Colour, second: Colour) -> int:
    """How far two colours are apart, as the sum over channels."""
    return sum(abs(a - b) for a, b in zip(first, second, strict=True))


def background(rng: random.Random, inks: list[Colour]) -> Colour:
    """A background on which every one of `inks` can be seen; usually light."""
    for _ in range(20):
        if rng.random() < 0.7:
            colour = jitter(rng, rng.choice(LIGHT), 5)
        else:
            colour = (rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255))
        if all(distance(colour, other) > 150 for other in inks):
            return colour
    return (255, 255, 255)
