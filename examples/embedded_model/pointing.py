"""Where the model should look: at what a box, a name or a printed word of its text is read from.

Left to the loss of the answers alone, the language model takes the place of one shape and the
width of another for long: it has to find the colour and the kind it is asked for in one cell. So
with the two names of a question about a relation, and with the letters of a long text. Here the
cells are known, so two heads of one layer are shown them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .drawing.boxes import Box
from .drawing.canvas import Canvas, Grid
from .drawing.palette import PAIRS
from .drawing.shapes import Shape, extent
from .drawing.typeset import Word
from .questions.places import PARTS
from .questions.tongue import Tongue

TENTHS = 10
"""The unit of places that hidden states are asked for: between 0 and 10, as they are."""
NO_LABEL = -100
COORDINATE = re.compile(r"\(\d+,\d+\)|[\[(]\d+(?:, \d+)+[\])]")
"""Coordinates in an answer, which are no printed numbers."""
LEAST_SHARE = 0.25
"""Of the cell that a box covers most, for a cell to count as one of its own."""


@dataclass(frozen=True)
class Glances:
    """Positions of names and before coordinates and letters, and what they are to look at.

    `cells` is [N, V] of 0 and 1, `corners` [N, 4] in tenths of the picture's sides, `labels` [N]
    the class of a cell that shows the shape, or -100.
    """

    rows: Tensor
    positions: Tensor
    cells: Tensor
    corners: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: str) -> Glances:
        """The same on a device."""
        return Glances(*(each.to(device) for each in vars(self).values()))


@dataclass(frozen=True)
class Comparisons:
    """Positions from which an answer begins, and where the names stand that it compares.

    `relations` says where the claimed relation stands; -1 where none is claimed.
    """

    rows: Tensor
    positions: Tensor
    firsts: Tensor
    seconds: Tensor
    relations: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def of(cls, found: Sequence[tuple[int, ...]]) -> Comparisons:
        """Of (row, position, first, second, relation) for each comparison."""
        return cls(*torch.tensor(found, dtype=torch.long).view(-1, 5).unbind(1))

    def to(self, device: str) -> Comparisons:
        """The same on a device."""
        return Comparisons(*(each.to(device) for each in vars(self).values()))


def comparison_loss(seen: Tensor, wanted: Comparisons) -> Tensor:
    """Minus the logarithm of what three heads give to the first name, the second, the relation.

    So what stands there comes together in one place, each in dimensions of its own, and to compare
    two places is to subtract.

    Args:
        seen: attention over all tokens, [N, heads, L].
        wanted: the N comparisons.
    """
    at = torch.arange(len(wanted))
    claimed = wanted.relations >= 0
    relations = seen[at, 2, wanted.relations.clamp(min=0)]
    shares = (seen[at, 0, wanted.firsts], seen[at, 1, wanted.seconds], relations[claimed])
    return -torch.cat(shares).clamp(min=1e-6).log().mean()


Corners = tuple[int, int, int, int]
"""Left, top, right, bottom, in thousandths of the picture's sides."""
Look = tuple[int, Corners, int]
"""A position of a row, the box that it is to look at, and the class of its cells."""


@dataclass(frozen=True)
class Shown:
    """What a picture shows under a name; the letters of a `printed` one share its width.

    `label` is the class of a cell that shows a shape.
    """

    name: str
    corners: Corners
    printed: bool = False
    label: int = NO_LABEL


@dataclass(frozen=True)
class Mention:
    """A name in a text, from character `start` to `end`, and what is shown under it."""

    start: int
    end: int
    shown: Shown

    def part(self, start: int, end: int) -> Corners:
        """The corners of what the characters from `start` to `end` of the text stand for."""
        left, top, right, bottom = self.shown.corners
        if not self.shown.printed:
            return self.shown.corners
        step = (right - left) / (self.end - self.start)
        first, last = (min(max(at, self.start), self.end) - self.start for at in (start, end))
        return round(left + first * step), top, round(left + last * step), bottom


def shown_shapes(canvas: Canvas, shapes: Sequence[Shape], tongues: Sequence[Tongue]) -> list[Shown]:
    """Shapes, each under its name, its kind and its colour in every language."""
    found = []
    for shape in shapes:
        corners = _corners(canvas, extent(shape))
        for tongue in tongues:
            names = tongue.named(shape), tongue.shape(shape.kind), tongue.colour(shape.colour)
            found += [Shown(name, corners, label=1 + PAIRS.index(shape.pair)) for name in names]
    return found


def shown_words(canvas: Canvas, words: Sequence[Word]) -> list[Shown]:
    """Printed words, in reading order; marks alone are none."""
    return [
        Shown(word.text, _corners(canvas, word.box), printed=True)
        for word in words
        if any(letter.isalnum() for letter in word.text)
    ]


def _corners(canvas: Canvas, box: Box) -> Corners:
    wide, high = PARTS / canvas.width, PARTS / canvas.height
    (left, right), (top, bottom) = (
        _within(low * scale, end * scale)
        for low, end, scale in ((box.left, box.right, wide), (box.top, box.bottom, high))
    )
    return left, top, right, bottom


def _within(low: float, high: float) -> tuple[int, int]:
    """From and to, inside the picture, and never nothing."""
    first = min(max(round(low), 0), PARTS - 1)
    return first, min(max(round(high), first + 1), PARTS)


def mentions(text: str, shown: Sequence[Shown]) -> Iterator[Mention]:
    """The names that stand in a text as often as in the picture: they are the same, in order.

    Long names come first, and what is part of one is not looked for again: a red circle and a
    blue circle are two things, and each is mentioned once.
    """
    there: dict[str, list[Shown]] = {}
    for each in shown:
        there.setdefault(each.name.casefold(), []).append(each)
    free = text.casefold()
    if len(free) != len(text):
        return
    for place in COORDINATE.finditer(free):
        free = free[: place.start()] + "\0" * len(place[0]) + free[place.end() :]
    for name in sorted(there, key=len, reverse=True):
        places = list(re.finditer(_apart(name), free))
        if not places or len(places) != len(there[name]):
            continue
        for place, each in zip(places, there[name], strict=True):
            yield Mention(*place.span(), each)
            free = free[: place.start()] + "\0" * len(name) + free[place.end() :]


def _apart(name: str) -> str:
    """The pattern of a name that is no part of another.

    Chinese needs no space around it, and a number within a number is another: 14 in 14.50.
    """
    before, after = _edge(name[0], r"(?<![{}])"), _edge(name[-1], r"(?![{}])")
    if name[0].isdigit():
        before += r"(?<!\d[.,/:-])"
    if name[-1].isdigit():
        after += r"(?![.,/:-]\d)"
    return before + re.escape(name) + after


def _edge(letter: str, pattern: str) -> str:
    """No further letter of a word, where a word has an edge."""
    return "" if "\u4e00" <= letter <= "\u9fff" else pattern.format(r"^\W\u4e00-\u9fff")


def covered(box: Sequence[int], grid: Grid) -> NDArray[np.bool_]:
    """Which cells of `grid` a box in thousandths of the picture's sides covers, row by row."""
    x1, y1, x2, y2 = box
    across = _shares(x1, x2, grid.columns)
    down = _shares(y1, y2, grid.rows)
    share = np.outer(down, across).reshape(-1)
    covers: NDArray[np.bool_] = share >= LEAST_SHARE * share.max()
    return covers


def _shares(low: int, high: int, count: int) -> NDArray[np.float64]:
    """How much of each of `count` equal parts lies between two thousandths."""
    starts = np.arange(count) * PARTS / count
    inside = np.minimum(starts + PARTS / count, high) - np.maximum(starts, low)
    shares: NDArray[np.float64] = np.maximum(inside, 0) * count / PARTS
    return shares


def glances_of(found: Sequence[tuple[int, int, Corners, int]], grid: Grid) -> Glances:
    """Of (row, position, box, label) for each coordinate or name."""
    rows, positions, boxes, labels = zip(*found, strict=True) if found else ((), (), (), ())
    cells = [covered(box, grid) for box in boxes]
    return Glances(
        torch.tensor(rows, dtype=torch.long),
        torch.tensor(positions, dtype=torch.long),
        torch.from_numpy(np.stack(cells) if cells else np.zeros((0, grid.cells), np.bool_)),
        torch.tensor(boxes).view(-1, 4) * TENTHS / PARTS,
        torch.tensor(labels, dtype=torch.long),
    )


def glance_loss(seen: Tensor, wanted: Glances) -> Tensor:
    """Minus the logarithm of the share of attention that lies on the right cells.

    Args:
        seen: attention over visual tokens, [N, heads, V]; what a head gives to text is missing.
        wanted: the N positions and their cells.
    """
    share = (seen * wanted.cells.unsqueeze(1)).sum(-1)
    return -share.clamp(min=1e-6).log().mean()
