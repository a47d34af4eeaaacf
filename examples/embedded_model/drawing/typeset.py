"""Setting a few lines of print on a canvas, and labelling which characters each cell holds."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from . import fonts
from .boxes import Box, around
from .canvas import Canvas
from .palette import LIGHT, Colour, distance, jitter

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:-/$#&'!?%+"
ACCENTED = "ÀÂÄÇÈÉÊËÎÏÑÓÔÖÙÛÜàâäçèéêëíîïñóôöùûúüßœáŒÁ"
CHARACTERS = " " + LETTERS + ACCENTED
CLASS_OF = {character: i for i, character in enumerate(CHARACTERS)}
SLOTS = 4
# What stands between two spaces, without the marks at its end.
WORD = r"\S*[^\s:.!?]|\S+"
Run = tuple[str, float, float]
SMALLEST_SEEN = 15.5
LARGEST_SEEN = 46.0
LAYOUTS = ("left", "left", "left", "centred", "right")
HELD_OUT_LAYOUTS = ("two columns", "underlined")
INKS: tuple[Colour, ...] = (
    (10, 10, 10), (0, 0, 0), (15, 15, 15), (30, 30, 60), (90, 20, 20), (20, 70, 30), (20, 20, 130),
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A printed line: a label and a value, or a text alone."""

    text: str
    value: str = ""
    heading: bool = False

    @property
    def whole(self) -> str:
        """Label and value on one line."""
        return f"{self.text} {self.value}" if self.value else self.text


@dataclass(frozen=True)
class Face:
    """One font file and how lines are arranged."""

    file: str
    layout: str


@dataclass(frozen=True)
class Word:
    """A printed word, and the box of its ink."""

    text: str
    box: Box


@dataclass(frozen=True)
class PrintedLine:
    """The words of a line; the last ones are its value."""

    words: tuple[Word, ...]
    num_value_words: int

    @property
    def value_box(self) -> Box:
        """Around the words of the value."""
        return around([word.box for word in self.words[-self.num_value_words :]])


@dataclass
class Print:
    """A printed picture, the characters in each cell, `SLOTS` a cell, and where the words are."""

    picture: Image.Image
    labels: NDArray[np.int64]
    seen_size: float
    lines: list[PrintedLine]


def choose_face(
    rng: random.Random,
    held_out_fonts: bool,
    held_out_layouts: bool,
    accents: bool,
    small: bool,
) -> Face:
    """A random font and layout from the pools asked for."""
    family = rng.choice(fonts.families(held_out_fonts, accents, small))
    layouts = HELD_OUT_LAYOUTS if held_out_layouts else LAYOUTS
    return Face(rng.choice(fonts.files(family)), rng.choice(layouts))


def largest_size(canvas: Canvas, lines: list[Line], file: str) -> float:
    """The size in source pixels at which the lines just fit."""
    ems = max(fonts.width(file, line.whole) for line in lines) + 0.3
    return min(canvas.width * 0.97 / ems, canvas.height * 0.95 / (1.18 * len(lines)))


def fits(canvas: Canvas, lines: list[Line], file: str) -> bool:
    """Whether the lines can be printed large enough to be read."""
    return largest_size(canvas, lines, file) / canvas.scale >= SMALLEST_SEEN


def typeset(rng: random.Random, canvas: Canvas, lines: list[Line], face: Face) -> Print:
    """Prints the lines; the size is mostly close to what fits, with a tail of small print."""
    largest = min(largest_size(canvas, lines, face.file), LARGEST_SEEN * canvas.scale)
    share = rng.uniform(0.4, 0.65) if rng.random() < 0.2 else rng.uniform(0.65, 1.0)
    size = min(max(largest * share, (SMALLEST_SEEN + 0.5) * canvas.scale), largest)
    pitch = rng.uniform(1.12, max(1.12, min(1.7, canvas.height * 0.97 / (size * len(lines)))))
    ground, ink = paper(rng)
    picture = Image.new("RGB", (canvas.width, canvas.height), ground)
    setter = _Setter(rng, canvas, face, lines, size=max(6, int(size)), pitch=pitch)
    setter.draw(ImageDraw.Draw(picture), ink)
    return Print(picture, setter.labels(), size / canvas.scale, setter.printed_lines())


def paper(rng: random.Random) -> tuple[Colour, Colour]:
    """Ground and ink with enough contrast; a few are light on dark."""
    while True:
        ground = jitter(rng, rng.choice(LIGHT), 6)
        if rng.random() < 0.15:
            ground = (rng.randint(120, 255), rng.randint(120, 255), rng.randint(120, 255))
        ink = jitter(rng, rng.choice(INKS), 10)
        if distance(ground, ink) > 300:
            return (ink, ground) if rng.random() < 0.07 else (ground, ink)


class _Setter:
    """Positions of all characters of one print."""

    def __init__(
        self,
        rng: random.Random,
        canvas: Canvas,
        face: Face,
        lines: list[Line],
        *,
        size: int,
        pitch: float,
    ) -> None:
        self.canvas, self.face, self.size = canvas, face, size
        self.font = fonts.load(face.file, size)
        self.step = size * pitch
        widths = [fonts.width(face.file, line.whole) * size for line in lines]
        self.block = max(widths)
        if face.layout == "two columns":
            self.block = max(self.block, canvas.width * rng.uniform(0.75, 0.95))
        free = max(canvas.width - self.block - 0.2 * size, 0)
        self.left = 0.1 * size + rng.uniform(0, free)
        high = self.step * (len(lines) - 1) + size * 1.2
        self.top = rng.uniform(0, max(canvas.height - high, 0)) - 0.05 * size
        self.lines = [
            (line, width, self.top + i * self.step)
            for i, (line, width) in enumerate(zip(lines, widths, strict=True))
        ]

    def runs(self) -> list[Run]:
        """Texts with the place where each begins."""
        return [run for line, width, y in self.lines for run in self._runs_of(line, width, y)]

    def _runs_of(self, line: Line, width: float, y: float) -> list[Run]:
        if self.face.layout == "two columns" and line.value:
            value = fonts.width(self.face.file, line.value) * self.size
            return [
                (line.text, self.left, y),
                (line.value, self.left + self.block - value, y),
            ]
        spare = {"centred": 0.5, "right": 1.0}.get(self.face.layout, 0.0)
        return [(line.whole, self.left + spare * (self.block - width), y)]

    def printed_lines(self) -> list[PrintedLine]:
        """Where the words of every line are."""
        return [
            PrintedLine(
                tuple(word for run in self._runs_of(*line) for word in self._words(*run)),
                len(line[0].value.split()),
            )
            for line in self.lines
        ]

    def _words(self, text: str, x: float, y: float) -> Iterator[Word]:
        for found in re.finditer(WORD, text):
            word, start = found[0], found.start()
            left, top, right, bottom = self.font.getbbox(word)
            at = x + self.font.getlength(text[:start])
            yield Word(word, Box(at + left, y + top, at + right, y + bottom))

    def draw(self, pen: ImageDraw.ImageDraw, ink: Colour) -> None:
        """Prints every run, and the rule under a heading."""
        for text, x, y in self.runs():
            pen.text((x, y), text, font=self.font, fill=ink)
        if self.face.layout == "underlined":
            _, width, y = self.lines[0]
            below = y + self.size * 1.16
            thick = max(1, round(self.size / 14))
            pen.line((self.left, below, self.left + width, below), fill=ink, width=thick)

    def labels(self) -> NDArray[np.int64]:
        """Characters of each cell in reading order; class 0 fills the rest."""
        grid = self.canvas.grid
        labels = np.zeros((grid.cells, SLOTS), np.int64)
        used = [0] * grid.cells
        for text, left, y in self.runs():
            x = left
            for character in text:
                step = fonts.advance(self.face.file, character) * self.size
                cell = self.canvas.cell_of(x + step / 2, y + 0.62 * self.size)
                x += step
                if character != " " and used[cell] < SLOTS:
                    labels[cell, used[cell]] = CLASS_OF.get(character, 0)
                    used[cell] += 1
        return labels
