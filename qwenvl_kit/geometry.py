"""Sizes, points and regions of pictures, and the map from resized pixels to the original."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

from qwenvl_kit.errors import BudgetError


@dataclass(frozen=True)
class Size:
    """Height and width of a picture in pixels."""

    height_px: int
    width_px: int

    @property
    def area_pixels(self) -> int:
        """Height times width."""
        return self.height_px * self.width_px

    def __str__(self) -> str:
        return f"{self.width_px} x {self.height_px} px"


@dataclass(frozen=True)
class Point:
    """A point in a picture, in pixels from its left and its top edge.

    Pixel (i, j) covers the square from i to i + 1 and from j to j + 1: its middle is at i + 0.5,
    and the right edge of the picture is at its width.
    """

    x_px: float
    y_px: float


@dataclass(frozen=True)
class Region:
    """A rectangle of whole pixels: from `x1_px` up to `x2_px`, from `y1_px` up to `y2_px`.

    The origin is the top left corner. As in NumPy's slices and Pillow's `crop`, the pixels at x2
    and y2 are outside.

    Raises:
        BudgetError: a side is negative or not a whole number, or the region is empty.
    """

    x1_px: int
    y1_px: int
    x2_px: int
    y2_px: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, Integral) or isinstance(value, bool) or value < 0:
                raise BudgetError(
                    f"{name}={value!r} was given", expected="a whole number of at least 0"
                )
        if self.x1_px >= self.x2_px or self.y1_px >= self.y2_px:
            raise BudgetError(
                f"the region {self} holds no pixels", expected="x1_px < x2_px and y1_px < y2_px"
            )

    @property
    def size(self) -> Size:
        """Height and width of the region."""
        return Size(height_px=self.y2_px - self.y1_px, width_px=self.x2_px - self.x1_px)


_ORIENTATIONS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}
"""The steps from upright to stored pixels by EXIF orientation (EXIF 2.32, tag 274), each True or
False: swap rows and columns, mirror left to right, flip top to bottom. The swap comes last."""


@dataclass(frozen=True, kw_only=True)
class PixelMap:
    """The exact map from pixels of a resized picture to pixels of the original.

    A picture is turned upright by its EXIF orientation, cropped if a region was asked for, padded
    on the right and below if it is too narrow for the model, and resized.

    Attributes:
        original: size of the upright picture.
        crop: the region that was cut out, in upright pixels; None for the whole picture.
        padded: size before resizing: that of the region, plus the margin if it was padded.
        resized: size at which the model sees it.
        orientation: EXIF orientation by which it was turned, 1 to 8 (EXIF 2.32, tag 274).
    """

    original: Size
    resized: Size
    padded: Size
    crop: Region | None = None
    orientation: int = 1

    @property
    def is_padded(self) -> bool:
        """True if the model also sees a margin that the original does not have."""
        return self.padded != (self.original if self.crop is None else self.crop.size)

    def to_original(self, place: Point) -> Point:
        """Map a point of the resized picture to the upright original, as viewers show it."""
        left, top = (0, 0) if self.crop is None else (self.crop.x1_px, self.crop.y1_px)
        return Point(
            x_px=left + place.x_px * self.padded.width_px / self.resized.width_px,
            y_px=top + place.y_px * self.padded.height_px / self.resized.height_px,
        )

    def to_resized(self, place: Point) -> Point:
        """Map a point of the upright original to the resized picture; inverts `to_original`."""
        left, top = (0, 0) if self.crop is None else (self.crop.x1_px, self.crop.y1_px)
        return Point(
            x_px=(place.x_px - left) * self.resized.width_px / self.padded.width_px,
            y_px=(place.y_px - top) * self.resized.height_px / self.padded.height_px,
        )

    def to_stored(self, place: Point) -> Point:
        """Map a point of the resized picture to the pixels of the file, before EXIF turns them."""
        upright = self.to_original(place)
        is_turned, is_mirrored, is_flipped = _ORIENTATIONS[self.orientation]
        x = self.original.width_px - upright.x_px if is_mirrored else upright.x_px
        y = self.original.height_px - upright.y_px if is_flipped else upright.y_px
        return Point(x_px=y, y_px=x) if is_turned else Point(x_px=x, y_px=y)
