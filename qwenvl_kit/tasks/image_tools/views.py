"""Views of a picture: parts of it and turned copies, each with the map back to its pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwenvl_kit.geometry import Point, Size

if TYPE_CHECKING:
    import PIL.Image

MIN_SIDE_PX = 32
"""The shortest side of a part: Qwen-Agent widens smaller ones, too (`maybe_resize_bbox`)."""

_MAX_ASPECT = 100
"""The longest side over the shortest of a part that is shown; models refuse more than 200."""

_ROUNDING_PX = 1e-6
"""A side that is so little beyond a pixel is there by the rounding of products."""

_RIGHT_ANGLE = 90
_RIGHT_TURNS = ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))
"""Cosine and sine of 0, 90, 180 and 270 degrees."""


@dataclass(frozen=True)
class Affine:
    """A map of the plane: (x, y) to (a x + b y + c, d x + e y + f)."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 1.0
    f: float = 0.0

    def __call__(self, at: Point) -> Point:
        """Map a point."""
        x, y = at.x_px, at.y_px
        return Point(self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f)

    def after(self, first: Affine) -> Affine:
        """The map that does `first`, then this one."""
        zero = self(Point(first.c, first.f))
        return Affine(
            self.a * first.a + self.b * first.d,
            self.a * first.b + self.b * first.e,
            zero.x_px,
            self.d * first.a + self.e * first.d,
            self.d * first.b + self.e * first.e,
            zero.y_px,
        )

    def box(self, sides: Sides) -> Sides:
        """The sides of the smallest upright box around a box that is mapped."""
        x1, y1, x2, y2 = sides
        return around(map(self, (Point(x1, y1), Point(x2, y1), Point(x1, y2), Point(x2, y2))))


Sides = tuple[float, float, float, float]
"""Left, top, right and lower side in pixels."""


def around(points: Iterable[Point]) -> Sides:
    """The sides of the smallest box around points."""
    corners = [*points]
    xs, ys = [at.x_px for at in corners], [at.y_px for at in corners]
    return min(xs), min(ys), max(xs), max(ys)


def clipped(sides: Sides, bounds: Sides) -> Sides:
    """A box without what lies outside the bounds; it may be empty."""
    (x1, y1, x2, y2), (left, top, right, bottom) = sides, bounds
    return max(x1, left), max(y1, top), min(x2, right), min(y2, bottom)


@dataclass(frozen=True)
class View:
    """A picture as it can be shown, with one pixel for each pixel of the original.

    Attributes:
        image: its pixels.
        bounds: the part of them that is shown.
        picture_index: the given picture that it is a view of.
        to_original: maps its pixels to those of that picture.
        original_bounds: the part of that picture that was given.
    """

    image: PIL.Image.Image
    bounds: Sides
    picture_index: int
    to_original: Affine
    original_bounds: Sides

    @classmethod
    def of(cls, image: PIL.Image.Image, bounds: Sides | None, picture_index: int) -> View:
        """The view of a whole picture, or of the part of it that was given."""
        shown = (0.0, 0.0, float(image.width), float(image.height)) if bounds is None else bounds
        return cls(image, shown, picture_index, Affine(), shown)

    def original_box(self, sides: Sides) -> Sides:
        """The box in the original around a box of this view, within what was given."""
        return clipped(self.to_original.box(sides), self.original_bounds)

    def part(self, sides: Sides) -> View:
        """A part of this view, cut from its pixels; a very small or thin one is widened.

        Args:
            sides: a box in pixels of this view that is not empty.
        """
        x1, y1, x2, y2 = _widened(clipped(sides, self.bounds), self.bounds)
        image = self.image.crop((x1, y1, x2, y2))
        shift = Affine(c=float(x1), f=float(y1))
        bounds = (0.0, 0.0, float(image.width), float(image.height))
        to_original = self.to_original.after(shift)
        return View(image, bounds, self.picture_index, to_original, self.original_bounds)

    def turned_size(self, angle_degrees: float) -> Size:
        """The size of this view if it is turned."""
        x1, y1, x2, y2 = map(round, self.bounds)
        return _turned_size(x2 - x1, y2 - y1, *_direction(angle_degrees))

    def turned(self, angle_degrees: float) -> View:
        """This view turned counter-clockwise, with white in the corners; nothing is cut off.

        A right angle moves pixels and changes none.
        """
        x1, y1, x2, y2 = map(round, self.bounds)
        shown = self.image.crop((x1, y1, x2, y2))
        image, back = _turned(shown, angle_degrees)
        bounds = (0.0, 0.0, float(image.width), float(image.height))
        to_original = self.to_original.after(Affine(c=float(x1), f=float(y1))).after(back)
        return View(image, bounds, self.picture_index, to_original, self.original_bounds)


def _widened(sides: Sides, bounds: Sides) -> tuple[int, int, int, int]:
    """Whole pixels around a box, so many that it can be shown, within the bounds."""
    x1, y1, x2, y2 = sides
    wide = max(MIN_SIDE_PX, math.ceil((y2 - y1) / _MAX_ASPECT))
    high = max(MIN_SIDE_PX, math.ceil((x2 - x1) / _MAX_ASPECT))
    left, right = _span(x1, x2, wide, bounds[0], bounds[2])
    top, bottom = _span(y1, y2, high, bounds[1], bounds[3])
    return left, top, right, bottom


def _span(low: float, high: float, least: int, first: float, last: float) -> tuple[int, int]:
    """A stretch of at least so many whole pixels around another, as far as there are so many."""
    start, stop = math.floor(low + _ROUNDING_PX), math.ceil(high - _ROUNDING_PX)
    missing = least - (stop - start)
    if missing > 0:
        start -= missing // 2
        stop = start + least
    begin, end = math.ceil(first), math.floor(last)
    if start < begin:
        start, stop = begin, max(stop, begin + least)
    if stop > end:
        start, stop = min(start, end - least), end
    return max(start, begin), stop


def _direction(angle_degrees: float) -> tuple[float, float]:
    """Cosine and sine of an angle.

    Those of right angles are exact: nothing is resampled, and boxes come back to the pixel.
    """
    quarters, rest = divmod(round(angle_degrees, 6) % 360, _RIGHT_ANGLE)
    angle = math.radians(angle_degrees % 360)
    return (math.cos(angle), math.sin(angle)) if rest else _RIGHT_TURNS[int(quarters) % 4]


def _turned_size(width_px: int, height_px: int, cosine: float, sine: float) -> Size:
    across, down = abs(cosine), abs(sine)
    return Size(
        width_px=math.ceil(width_px * across + height_px * down - _ROUNDING_PX),
        height_px=math.ceil(width_px * down + height_px * across - _ROUNDING_PX),
    )


def _turned(image: PIL.Image.Image, angle_degrees: float) -> tuple[PIL.Image.Image, Affine]:
    """A picture turned counter-clockwise, and the map back to its pixels."""
    from PIL import Image

    cosine, sine = _direction(angle_degrees)
    size = _turned_size(image.width, image.height, cosine, sine)
    width, height = size.width_px, size.height_px
    centre = Point(width / 2, height / 2)
    turn = Affine(a=cosine, b=-sine, d=sine, e=cosine)
    moved = turn(centre)
    back = Affine(
        *(turn.a, turn.b, image.width / 2 - moved.x_px),
        *(turn.d, turn.e, image.height / 2 - moved.y_px),
    )
    if (cosine, sine) in _RIGHT_TURNS:
        transpose = Image.Transpose
        methods = (None, transpose.ROTATE_90, transpose.ROTATE_180, transpose.ROTATE_270)
        method = methods[_RIGHT_TURNS.index((cosine, sine))]
        return (image.copy() if method is None else image.transpose(method)), back
    data = (back.a, back.b, back.c, back.d, back.e, back.f)
    turned = image.transform(
        (width, height),
        Image.Transform.AFFINE,
        data,
        resample=Image.Resampling.BICUBIC,
        fillcolor="white",
    )
    return turned, back
