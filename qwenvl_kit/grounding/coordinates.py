"""The mapping of coordinates from a family's units to pixels of the upright original."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from qwenvl_kit.families import Family
from qwenvl_kit.geometry import Point
from qwenvl_kit.grounding.boxes import Attributes, Box, Box3D, PointMark, Polygon
from qwenvl_kit.grounding.written_places import WrittenPlace
from qwenvl_kit.plans import ImagePlan
from qwenvl_kit.results import Reply

PARTS = 1000
"""The number of parts of a picture's side in relative coordinates (model cards of Qwen2-VL,
Qwen3-VL and Qwen3.5)."""

HALF_TURN_DEGREES = 180.0
"""The unit of the angles of a box in 3D space (cookbook `3d_grounding.ipynb` of Qwen3-VL)."""

_FAR_OUTSIDE = 0.02
"""The share of a picture's side by which a place may lie outside without a warning."""


class PlaceMapper:
    """Maps places to the pixels of the picture that they are about.

    Args:
        plan: the plan of the picture, with its original and resized size.
        family: the family whose coordinates they are.
        reply: the reply that they were read from.
        default_label: the label of places that have none.
    """

    def __init__(self, plan: ImagePlan, family: Family, reply: Reply, default_label: str) -> None:
        self._map = plan.pixel_map
        self._family = family
        self._reply = reply
        self._default_label = default_label
        shown = plan.original if plan.crop is None else plan.crop.size
        left, top = (0, 0) if plan.crop is None else (plan.crop.x1_px, plan.crop.y1_px)
        self._low = Point(left, top)
        self._high = Point(left + shown.width_px, top + shown.height_px)
        self.warnings: list[str] = []

    def boxes(self, written: Iterable[WrittenPlace]) -> list[Box]:
        """The places as boxes; those that are no boxes or lie outside the picture give warnings.

        An outline gives the box around it.
        """
        found = []
        for place in self._without_fractions(written):
            if len(place.numbers) == 2:
                self._warn("a point where a box was asked for")
                continue
            x1, y1, x2, y2 = self._sides(place)
            if x1 > x2 or y1 > y2:
                self._warn("corners in the wrong order")
            low = self._clamped(self._original(min(x1, x2), min(y1, y2)))
            high = self._clamped(self._original(max(x1, x2), max(y1, y2)))
            if low.x_px < high.x_px and low.y_px < high.y_px:
                sides = (low.x_px, low.y_px, high.x_px, high.y_px)
                found.append(Box(self._label(place), *sides, *self._rest(place)))
            else:
                self._warn("a box outside the picture")
        return found

    def points(self, written: Iterable[WrittenPlace]) -> list[PointMark]:
        """All places as points; a box or an outline gives the point in its middle."""
        found = []
        for place in self._without_fractions(written):
            xs, ys = place.numbers[::2], place.numbers[1::2]
            if len(xs) > 1:
                kind = "a box" if len(xs) == 2 else "an outline"
                self._warn(f"{kind} where a point was asked for; its middle is given")
            at = self._clamped(self._original(sum(xs) / len(xs), sum(ys) / len(ys)))
            found.append(PointMark(self._label(place), at.x_px, at.y_px, *self._rest(place)))
        return found

    def polygons(self, written: Iterable[WrittenPlace]) -> list[Polygon]:
        """All places as outlines; corners outside the picture are moved to its edge."""
        found = []
        for place in self._without_fractions(written):
            pairs = zip(place.numbers[::2], place.numbers[1::2])
            corners = tuple(self._clamped(self._original(x, y)) for x, y in pairs)
            found.append(Polygon(self._label(place), corners, *self._rest(place)))
        return found

    def boxes_3d(self, written: Iterable[WrittenPlace]) -> list[Box3D]:
        """Boxes in 3D space, whose numbers do not depend on the picture's pixels."""
        found = []
        for place in written:
            x, y, z, width, height, depth, *turns = place.numbers
            first, second, third = (turn * HALF_TURN_DEGREES for turn in turns)
            numbers = (x, y, z, width, height, depth, first, second, third)
            found.append(Box3D(self._label(place), *numbers, *self._rest(place)))
        return found

    def _without_fractions(self, written: Iterable[WrittenPlace]) -> Iterator[WrittenPlace]:
        """The places without those whose numbers are fractions of 1, which no family writes."""
        for place in written:
            is_within = all(0 <= number <= 1 for number in place.numbers)
            if is_within and not all(number.is_integer() for number in place.numbers):
                self._warn(f"numbers that look like fractions of 1, not {self._unit}; left out")
            else:
                yield place

    @property
    def _unit(self) -> str:
        return "thousandths" if self._family.coordinates == "thousandths" else "pixels"

    def _sides(self, place: WrittenPlace) -> tuple[float, float, float, float]:
        if len(place.numbers) == 4:
            x1, y1, x2, y2 = place.numbers
            return x1, y1, x2, y2
        self._warn("an outline where a box was asked for; the box around it is given")
        xs, ys = place.numbers[::2], place.numbers[1::2]
        return min(xs), min(ys), max(xs), max(ys)

    def _original(self, x: float, y: float) -> Point:
        if self._family.coordinates == "thousandths":
            x *= self._map.resized.width_px / PARTS
            y *= self._map.resized.height_px / PARTS
        return self._map.to_original(Point(x, y))

    def _clamped(self, place: Point) -> Point:
        low, high = self._low, self._high
        inside = Point(
            min(max(place.x_px, low.x_px), high.x_px), min(max(place.y_px, low.y_px), high.y_px)
        )
        far = abs(place.x_px - inside.x_px) > _FAR_OUTSIDE * (high.x_px - low.x_px) or abs(
            place.y_px - inside.y_px
        ) > _FAR_OUTSIDE * (high.y_px - low.y_px)
        if far:
            self._warn("coordinates beyond the picture")
        return inside

    def _label(self, place: WrittenPlace) -> str:
        return place.label or self._default_label

    def _rest(self, place: WrittenPlace) -> tuple[float | None, Attributes]:
        """The confidence of a place's numbers, and its other fields."""
        confidence = self._reply.confidence_between(place.start, place.stop)
        return confidence, Attributes(place.attributes)

    def _warn(self, warning: str) -> None:
        if warning not in self.warnings:
            self.warnings.append(warning)
