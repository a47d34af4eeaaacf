"""Labels on a picture, none of which lies upon another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import numpy

    Mask: TypeAlias = numpy.ndarray[tuple[int, int], numpy.dtype[numpy.bool_]]

_NEAR = 10
"""The first so many corners touch the area."""

_STEPS = 24
"""The most places that are tried in each direction, where a label has no room beside its place."""


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
        is_far: True if the label does not touch its place, and needs a line to it.
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
        self._taken: Mask = numpy.zeros((height_px, width_px), dtype=numpy.bool_)

    def place(self, area: Area, width_px: int, height_px: int) -> Corner | None:
        """Take room for a label beside an area of the picture.

        Args:
            area: the thing that is labelled.
            width_px: the width of the label.
            height_px: its height.

        Returns:
            The corner of the label, as near to the area as there is room; None if there is none.
        """
        if width_px > self._width or height_px > self._height:
            return None
        for at, (x, y) in enumerate(self._corners(area, width_px, height_px)):
            left = round(max(0, min(x, self._width - width_px)))
            top = round(max(0, min(y, self._height - height_px)))
            rows, columns = slice(top, top + height_px), slice(left, left + width_px)
            if not self._taken[rows, columns].any():
                self._taken[rows, columns] = True
                return Corner(left, top, is_far=at >= _NEAR)
        return None

    def _corners(self, area: Area, width: int, height: int) -> Iterator[tuple[float, float]]:
        """The corners to try: beside the area, inside, then ever farther away."""
        right = area.x2_px - width
        yield from (
            *((area.x1_px, area.y1_px - height), (right, area.y1_px - height)),
            *((area.x1_px, area.y1_px), (right, area.y1_px)),
            *((area.x1_px, area.y2_px), (right, area.y2_px)),
            *((area.x2_px, area.y1_px), (area.x1_px - width, area.y1_px)),
            *((area.x1_px, area.y2_px - height), (right, area.y2_px - height)),
        )
        yield from _around(area, width, height)
        yield from _everywhere(area, self._width, self._height, (width, height))


def _around(area: Area, width: int, height: int) -> Iterator[tuple[float, float]]:
    """Corners on a grid around the upper left corner of an area, near ones first."""
    steps = [
        (column, row)
        for column in range(-_STEPS // 4, _STEPS // 4 + 1)
        for row in range(-_STEPS, _STEPS + 1)
    ]
    steps.sort(key=lambda step: (step[0] * width) ** 2 + (step[1] * height) ** 2)
    for column, row in steps:
        yield area.x1_px + column * width / 2, area.y1_px + row * height


def _everywhere(
    area: Area, width: int, height: int, label: tuple[int, int]
) -> Iterator[tuple[float, float]]:
    """All rows of the picture, near ones first, each from the left to the right."""
    step = max(1, label[0] // 4)
    rows = sorted(range(0, height, label[1]), key=lambda row: abs(row - area.y1_px))
    for row in rows:
        yield from ((column, row) for column in range(0, width, step))
