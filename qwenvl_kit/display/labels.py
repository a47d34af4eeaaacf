"""Labels on a picture, none of which lies upon another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

_MOST_CELLS = 400
"""The most cells of a side of the picture: the room for labels is kept by cells, so that a large
picture with hundreds of labels takes no longer than a small one."""


@dataclass(frozen=True)
class Area:
    """A rectangle in pixels of the picture."""

    x1_px: float
    y1_px: float
    x2_px: float
    y2_px: float


@dataclass(frozen=True)
class Corner:
    """The upper left corner of a label.

    Attributes:
        x_px, y_px: whole pixels of the picture.
        is_far: True if the label may not touch its place, and needs a line to it.
    """

    x_px: int
    y_px: int
    is_far: bool


class LabelRoom:
    """The room for labels in a picture; each label that is placed takes its own.

    Args:
        width_px: the width of the picture.
        height_px: its height.
    """

    def __init__(self, width_px: int, height_px: int) -> None:
        import numpy

        self._width, self._height = width_px, height_px
        self._cell = max(1, math.ceil(max(width_px, height_px) / _MOST_CELLS))
        shape = (math.ceil(height_px / self._cell), math.ceil(width_px / self._cell))
        self._taken = numpy.zeros(shape, dtype=numpy.bool_)
        self._refused: list[tuple[int, int]] = []  # sizes for which there is no room any more

    def place(self, area: Area, width_px: int, height_px: int) -> Corner | None:
        """Take room for a label beside an area of the picture, or as near to it as there is room.

        Args:
            area: the thing that is labelled.
            width_px: the width of the label.
            height_px: its height.

        Returns:
            The corner of the label; None if there is no room in the whole picture.
        """
        if width_px > self._width or height_px > self._height:
            return None
        if any(width_px >= width and height_px >= height for width, height in self._refused):
            return None
        for x, y in _beside(area, width_px, height_px):
            left = round(max(0, min(x, self._width - width_px)))
            top = round(max(0, min(y, self._height - height_px)))
            cells = self._cells(left, top, width_px, height_px)
            if not self._taken[cells].any():
                self._taken[cells] = True
                return Corner(left, top, is_far=False)
        return self._nearest(area, width_px, height_px)

    def _cells(self, left: int, top: int, width: int, height: int) -> tuple[slice, slice]:
        """The cells that a label touches."""
        cell = self._cell
        rows = slice(top // cell, -(-(top + height) // cell))
        return rows, slice(left // cell, -(-(left + width) // cell))

    def _nearest(self, area: Area, width: int, height: int) -> Corner | None:
        """The free corner next to the one above the area, on the grid of cells."""
        import numpy

        across, down = -(-width // self._cell), -(-height // self._cell)
        num_taken = _window_sums(self._taken, down, across)
        rows = numpy.arange(num_taken.shape[0])[:, None] * self._cell
        columns = numpy.arange(num_taken.shape[1])[None, :] * self._cell
        is_inside = (rows + height <= self._height) & (columns + width <= self._width)
        away = (rows - (area.y1_px - height)) ** 2 + (columns - area.x1_px) ** 2
        away = numpy.where(is_inside & (num_taken == 0), away, numpy.inf)
        if not away.size or numpy.isinf(away.min()):
            self._refused.append((width, height))
            return None
        row, column = (int(at) for at in numpy.unravel_index(away.argmin(), away.shape))
        left, top = column * self._cell, row * self._cell
        self._taken[self._cells(left, top, width, height)] = True
        return Corner(left, top, is_far=True)


def _beside(area: Area, width: int, height: int) -> Iterator[tuple[float, float]]:
    """The corners of a label that touches its area: above, inside, below, at the sides."""
    right = area.x2_px - width
    yield from (
        *((area.x1_px, area.y1_px - height), (right, area.y1_px - height)),
        *((area.x1_px, area.y1_px), (right, area.y1_px)),
        *((area.x1_px, area.y2_px), (right, area.y2_px)),
        *((area.x2_px, area.y1_px), (area.x1_px - width, area.y1_px)),
        *((area.x1_px, area.y2_px - height), (right, area.y2_px - height)),
    )


def _window_sums(taken: numpy.ndarray[Any, Any], down: int, across: int) -> numpy.ndarray[Any, Any]:
    """The number of taken cells in each window of so many cells, by a summed-area table.

    Returns:
        One number for each place of the window's upper left cell; empty if it is too large.
    """
    import numpy

    table = numpy.zeros((taken.shape[0] + 1, taken.shape[1] + 1), dtype=numpy.int32)
    table[1:, 1:] = taken.cumsum(0, dtype=numpy.int32).cumsum(1)
    lower, upper = table[down:], table[: table.shape[0] - down]
    ends = lower[:, across:] - upper[:, across:]
    starts = lower[:, : table.shape[1] - across] - upper[:, : table.shape[1] - across]
    sums: numpy.ndarray[Any, Any] = ends - starts
    return sums
