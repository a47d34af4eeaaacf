"""The lines of a place on its picture, before they are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, Union

from qwenvl_kit.display.labels import Area
from qwenvl_kit.geometry import Point
from qwenvl_kit.grounding.boxes import Box, PointMark, Polygon

Shape: TypeAlias = Literal["rectangle", "dot", "line", "arrow"]
"""The shape of a stroke: a rectangle by two corners, a dot around its point, or a line through all
points, with a head at its end if it is an arrow."""


@dataclass(frozen=True)
class Stroke:
    """A shape that is drawn with one pen.

    Attributes:
        shape: the kind of shape.
        points: its points, in pixels of the upright original.
    """

    shape: Shape
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Sketch:
    """A place as it is drawn: its strokes and its label.

    Attributes:
        label: the words beside it; places with the same words have the same colour.
        confidence: the confidence beside it, in [0, 1]; None for none.
        strokes: the shapes; a sketch without any is not drawn, and has no label.
    """

    label: str
    confidence: float | None
    strokes: tuple[Stroke, ...]

    def area(self, line_px: int) -> Area:
        """The rectangle that its strokes take, for lines of a width."""
        around = 2.5 * line_px if any(each.shape == "dot" for each in self.strokes) else 0.0
        points = [at for stroke in self.strokes for at in stroke.points]
        xs, ys = [at.x_px for at in points], [at.y_px for at in points]
        return Area(min(xs) - around, min(ys) - around, max(xs) + around, max(ys) + around)


Drawable: TypeAlias = Union[Box, PointMark, Polygon, Sketch]
"""A place that is drawn as it is, or the sketch of one."""


def sketch_of(place: Drawable) -> Sketch:
    """Return a box as a rectangle, a point as a dot, and an outline as a line around."""
    return (
        place
        if isinstance(place, Sketch)
        else Sketch(place.label, place.confidence, (_stroke_of(place),))
    )


def sketch_of_path(label: str, marks: Sequence[PointMark]) -> Sketch:
    """Return points as a path with a dot on each and a head at the last one."""
    points = tuple(Point(mark.x_px, mark.y_px) for mark in marks)
    if len(points) < 2:
        return Sketch(label, None, _dots(points))
    return Sketch(label, None, (Stroke("arrow", points), *_dots(points[:-1])))


def _stroke_of(place: Box | PointMark | Polygon) -> Stroke:
    if isinstance(place, Box):
        corners = (Point(place.x1_px, place.y1_px), Point(place.x2_px, place.y2_px))
        return Stroke("rectangle", corners)
    if isinstance(place, PointMark):
        return Stroke("dot", (Point(place.x_px, place.y_px),))
    return Stroke("line", (*place.corners, *place.corners[:1]))


def _dots(points: Iterable[Point]) -> tuple[Stroke, ...]:
    return tuple(Stroke("dot", (at,)) for at in points)
