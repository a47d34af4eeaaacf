"""Places as they are written in an answer, before they are mapped to a picture."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ENDS_INSIDE = "the answer ends inside a place"


@dataclass(frozen=True)
class WrittenField:
    """A field of an object in an answer: its value, and the position of that in the text."""

    value: Any
    start: int
    stop: int


@dataclass(frozen=True)
class WrittenPlace:
    """A place as it is written in an answer.

    Attributes:
        label: the name of the thing; empty if the answer gives none.
        numbers: x and y of a point; x1, y1, x2, y2 of a box; x and y of each corner of a polygon;
            the nine numbers of a box in 3D space.
        start, stop: the position of the numbers in the text.
        attributes: the other fields in the answer, by name.
        fields: all fields of its object but the coordinates, with the label, by name.
    """

    label: str
    numbers: tuple[float, ...]
    start: int
    stop: int
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    fields: Mapping[str, WrittenField] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class WrittenPlaces:
    """All places of an answer, in its order.

    Attributes:
        places: boxes and points.
        warnings: messages about places that are malformed or could not be read.
        polygons: outlines of three or more corners.
        boxes_3d: boxes in 3D space.
    """

    places: tuple[WrittenPlace, ...]
    warnings: tuple[str, ...]
    polygons: tuple[WrittenPlace, ...] = ()
    boxes_3d: tuple[WrittenPlace, ...] = ()

    @property
    def boxes(self) -> tuple[WrittenPlace, ...]:
        """The places with four numbers."""
        return tuple(place for place in self.places if len(place.numbers) == 4)

    @property
    def points(self) -> tuple[WrittenPlace, ...]:
        """The places with two numbers."""
        return tuple(place for place in self.places if len(place.numbers) == 2)


class Spans:
    """Spans of a text that do not overlap. `at in spans` is True if a position is inside one.

    Args:
        spans: start and end of each, in rising order.
    """

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._starts = [start for start, _ in spans]
        self._stops = [stop for _, stop in spans]

    def __contains__(self, at: int) -> bool:
        index = bisect.bisect_right(self._starts, at) - 1
        return index >= 0 and at < self._stops[index]
