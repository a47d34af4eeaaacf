"""Places as they stand in an answer, before they are mapped to a picture."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ENDS_INSIDE = "the answer ends inside a place"


@dataclass(frozen=True)
class WrittenPlace:
    """A place as it is written.

    Attributes:
        label: what it is of; empty if the answer does not say.
        numbers: x and y of a point; x1, y1, x2, y2 of a box; x and y of each corner of a polygon;
            the nine numbers of a box in space.
        start, stop: where the numbers stand in the text.
        attributes: what else the answer says of it, by name.
    """

    label: str
    numbers: tuple[float, ...]
    start: int
    stop: int
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class WrittenPlaces:
    """All places of an answer, in its order.

    Attributes:
        places: boxes and points.
        warnings: what was not sound, or could not be read, in words.
        polygons: outlines, of three corners or more.
        boxes_3d: boxes in space.
    """

    places: tuple[WrittenPlace, ...]
    warnings: tuple[str, ...]
    polygons: tuple[WrittenPlace, ...] = ()
    boxes_3d: tuple[WrittenPlace, ...] = ()

    @property
    def boxes(self) -> tuple[WrittenPlace, ...]:
        """Those of four numbers."""
        return tuple(place for place in self.places if len(place.numbers) == 4)

    @property
    def points(self) -> tuple[WrittenPlace, ...]:
        """Those of two numbers."""
        return tuple(place for place in self.places if len(place.numbers) == 2)


class Spans:
    """Parts of a text that do not overlap.

    Args:
        spans: where each begins and ends, in their order.
    """

    def __init__(self, spans: Sequence[tuple[int, int]]) -> None:
        self._starts = [start for start, _ in spans]
        self._stops = [stop for _, stop in spans]

    def __contains__(self, at: int) -> bool:
        index = bisect.bisect_right(self._starts, at) - 1
        return index >= 0 and at < self._stops[index]
