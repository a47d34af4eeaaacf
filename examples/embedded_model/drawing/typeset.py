"""Setting a few lines of print on a canvas, and labelling which characters each cell holds."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from . import fonts
from .boxes import Box, around
from .canvas import Canvas
from .palette import LIGHT, Colour, distance, jitter

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,:-/$#&'!?%+"
ACCENTED = "ÀÂÄÇÈÉÊËÎÏÑÓÔÖÙÛÜàâäçèéêëíîïñóôöùûúüßœáŒÁ"
CHINESE_MARKS = "：，。！？（）￥“”、"


def _chinese_characters() -> str:
    """Those of the lists beside this module, in a fixed order."""
    folder = Path(__file__).parent
    texts = [(folder / name).read_text(encoding="utf-8") for name in CHINESE_LISTS]
    return "".join(sorted({c for text in texts for c in text if "\u4e00" <= c <= "\u9fff"}))


CHINESE_LISTS = ("chinese.txt", "chinese_names.txt", "foods.csv")
CHARACTERS = " " + LETTERS + ACCENTED + CHINESE_MARKS + _chinese_characters()
CLASS_OF = {character: i for i, character in enumerate(CHARACTERS)}
SLOTS = 4
# What stands between two spaces, without the marks at its end.
WORD = r"[^\s：]*[^\s:.!?：。！？]|：|\S+"
SMALLEST_SEEN = 15.5
SMALLEST_CHINESE_SEEN = 18.0
LARGEST_SEEN = 46.0
LAYOUTS = ("left", "left", "left", "centred", "right")
HELD_OUT_LAYOUTS = ("two columns", "underlined")
INKS: tuple[Colour, ...] = (
    (10, 10, 10), (0, 0, 0), (15, 15, 15), (30, 30, 60), (90, 20, 20), (20, 70, 30), (20, 20, 130),
)  # fmt: skip


def labelled(label: str, value: str) -> str:
    """A label and its value: a Chinese colon brings its own space."""
    return f"{label}{value}" if label.endswith("：") else f"{label} {value}"


@dataclass(frozen=True)
class Line:
    """A printed line: a label and a value, or a text alone."""

    text: str
    value: str = ""
    heading: bool = False

    @property
    def whole(self) -> str:
        """Label and value on one line."""
        return labelled(self.text, self.value) if self.value else self.text


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
class SetText:
    """A text in one size at its place, in source pixels."""

    text: str
    x: float
    y: float
    file: str
    size: int

    @property
    def top(self) -> float:
        """Where its line begins: a Chinese font's lines begin above their characters."""
        return self.y - fonts.rise(self.file) * self.size

    def draw(self, pen: ImageDraw.ImageDraw, ink: Colour) -> None:
        """Prints it."""
        font = fonts.load(self.file, self.size)
        pen.text((self.x, self.top), self.text, font=font, fill=ink)

    def words(self) -> Iterator[Word]:
        """Its words and the boxes of their ink."""
        font = fonts.load(self.file, self.size)
        for found in re.finditer(WORD, self.text):
            word, start = found[0], found.start()
            left, top, right, bottom = font.getbbox(word)
            at = self.x + font.getlength(self.text[:start])
            yield Word(word, Box(at + left, self.top + top, at + right, self.top + bottom))

    def box(self) -> Box:
        """Around its ink."""
        left, top, right, bottom = fonts.load(self.file, self.size).getbbox(self.text)
        return Box(self.x + left, self.top + top, self.x + right, self.top + bottom)


def cell_characters(canvas: Canvas, texts: Sequence[SetText]) -> NDArray[np.int64]:
    """Characters of each cell in reading order; class 0 fills the rest."""
    grid = canvas.grid
    labels = np.zeros((grid.cells, SLOTS), np.int64)
    used = [0] * grid.cells
    for each in texts:
        x = each.x
        for character in each.text:
            step = fonts.advance(each.file, character) * each.size
            cell = canvas.cell_of(x + step / 2, each.y + 0.62 * each.size)
            x += step
            if character != " " and used[cell] < SLOTS:
                labels[cell, used[cell]] = CLASS_OF.get(character, 0)
                used[cell] += 1
    return labels


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
    *,
    accents: bool,
    small: bool,
    chinese: bool = False,
) -> Face:
    """A random font and layout from the pools asked for."""
    family = rng.choice(fonts.families(held_out_fonts, accents, small, chinese))
    layouts = HELD_OUT_LAYOUTS if held_out_layouts else LAYOUTS
    return Face(rng.choice(fonts.files(family)), rng.choice(layouts))


def largest_size(canvas: Canvas, lines: list[Line], file: str) -> float:
    """The size in source pixels at which the lines just fit."""
    ems = max(fonts.width(file, line.whole) for line in lines) + 0.3
    return min(canvas.width * 0.97 / ems, canvas.height * 0.95 / (1.18 * len(lines)))


def fits(canvas: Canvas, lines: list[Line], file: str) -> bool:
    """Whether the lines can be printed large enough to be read."""
    return largest_size(canvas, lines, file) / canvas.scale >= smallest(file)


def smallest(file: str) -> float:
    """The smallest size at which a font can be read once the picture is resized, in pixels."""
    return SMALLEST_CHINESE_SEEN if "#" in file else SMALLEST_SEEN


def typeset(rng: random.Random, canvas: Canvas, lines: list[Line], face: Face) -> Print:
    """Prints the lines; the size is mostly close to what fits, with a tail of small print."""
    largest = min(largest_size(canvas, lines, face.file), LARGEST_SEEN * canvas.scale)
    share = rng.uniform(0.4, 0.65) if rng.random() < 0.2 else rng.uniform(0.65, 1.0)
    size = min(max(largest * share, (smallest(face.file) + 0.5) * canvas.scale), largest)
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

    def texts(self) -> list[SetText]:
        """All texts at their places."""
        return [text for line, width, y in self.lines for text in self._texts_of(line, width, y)]

    def _texts_of(self, line: Line, width: float, y: float) -> list[SetText]:
        file, size = self.face.file, self.size
        if self.face.layout == "two columns" and line.value:
            value = fonts.width(file, line.value) * size
            right = self.left + self.block - value
            return [
                SetText(line.text, self.left, y, file, size),
                SetText(line.value, right, y, file, size),
            ]
        spare = {"centred": 0.5, "right": 1.0}.get(self.face.layout, 0.0)
        left = self.left + spare * (self.block - width)
        return [SetText(line.whole, left, y, file, size)]

    def printed_lines(self) -> list[PrintedLine]:
        """Where the words of every line are."""
        return [
            PrintedLine(
                tuple(word for text in self._texts_of(*line) for word in text.words()),
                len(line[0].value.split()),
            )
            for line in self.lines
        ]

    def draw(self, pen: ImageDraw.ImageDraw, ink: Colour) -> None:
        """Prints every text, and the rule under a heading."""
        for text in self.texts():
            text.draw(pen, ink)
        if self.face.layout == "underlined":
            _, width, y = self.lines[0]
            below = y + self.size * 1.16
            thick = max(1, round(self.size / 14))
            pen.line((self.left, below, self.left + width, below), fill=ink, width=thick)

    def labels(self) -> NDArray[np.int64]:
        """Characters of each cell in reading order; class 0 fills the rest."""
        return cell_characters(self.canvas, self.texts())
