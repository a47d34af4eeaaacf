"""Boxes, points and outlines in pixels of the upright original picture; boxes in 3D space."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from qwenvl_kit.display.text import percent, rounded
from qwenvl_kit.geometry import Point, Region, Size
from qwenvl_kit.grounding.space.intrinsics import Intrinsics, as_intrinsics
from qwenvl_kit.grounding.space.projection import Segment, project_edges, project_point
from qwenvl_kit.grounding.space.rotation import SpacePoint, corners_of, rotation_matrix


class Attributes(Mapping[str, Any]):
    """The other fields of a place in an answer, by name, as the model wrote them; read-only.

    A `MappingProxyType` would do the same, but cannot be sent to another process.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._items = dict(items)

    def __getitem__(self, name: str) -> Any:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)


@dataclass(frozen=True)
class Box:
    """A box around something in a picture.

    Attributes:
        label: the name of the thing, in the model's words; the words of the question if the model
            gives none.
        x1_px, y1_px: the upper left corner, measured from the upper left corner of the picture.
        x2_px, y2_px: the lower right corner.
        confidence: the geometric mean of the probabilities of the tokens of these numbers, in [0,
            1]; None without scores.
        attributes: other fields that the model wrote, by name: a colour, a name in two languages.
    """

    label: str
    x1_px: float
    y1_px: float
    x2_px: float
    y2_px: float
    confidence: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=Attributes, hash=False)

    def __repr__(self) -> str:
        return _repr("Box", self, sides_of(self))

    @property
    def centre(self) -> Point:
        """The point in the middle of the box."""
        return Point((self.x1_px + self.x2_px) / 2, (self.y1_px + self.y2_px) / 2)

    @property
    def area_pixels(self) -> float:
        """The area in square pixels."""
        return (self.x2_px - self.x1_px) * (self.y2_px - self.y1_px)

    @property
    def region(self) -> Region:
        """All pixels that the box touches, in the form that `ImagePart(crop=...)` takes."""
        x1, y1 = math.floor(self.x1_px), math.floor(self.y1_px)
        return Region(
            x1, y1, max(x1 + 1, math.ceil(self.x2_px)), max(y1 + 1, math.ceil(self.y2_px))
        )

    def overlap(self, other: Box) -> float:
        """The intersection over union (IoU) with another box, in [0, 1]."""
        across = min(self.x2_px, other.x2_px) - max(self.x1_px, other.x1_px)
        down = min(self.y2_px, other.y2_px) - max(self.y1_px, other.y1_px)
        shared = max(0.0, across) * max(0.0, down)
        union = self.area_pixels + other.area_pixels - shared
        return shared / union if union else 0.0


@dataclass(frozen=True)
class PointMark:
    """A point on something in a picture; label, confidence and attributes are those of `Box`.

    Attributes:
        x_px, y_px: the point, measured from the upper left corner of the picture.
    """

    label: str
    x_px: float
    y_px: float
    confidence: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=Attributes, hash=False)

    def __repr__(self) -> str:
        return _repr("PointMark", self, centre_of(self))


@dataclass(frozen=True)
class Polygon:
    """An outline of something in a picture; the other attributes are those of `Box`.

    Attributes:
        corners: three or more, in the model's order, in pixels of the upright original.
    """

    label: str
    corners: tuple[Point, ...]
    confidence: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=Attributes, hash=False)

    def __repr__(self) -> str:
        shown = (f"({rounded(at.x_px)}, {rounded(at.y_px)})" for at in self.corners)
        return _repr("Polygon", self, ", ".join(shown))

    @property
    def area_pixels(self) -> float:
        """The area in square pixels (shoelace formula); parts that cross count against others."""
        xs, ys = [at.x_px for at in self.corners], [at.y_px for at in self.corners]
        following = zip(xs[1:] + xs[:1], ys[1:] + ys[:1])
        twice = sum(x * below - right * y for x, y, (right, below) in zip(xs, ys, following))
        return abs(twice) / 2

    @property
    def box(self) -> Box:
        """The smallest box around the outline."""
        xs, ys = [at.x_px for at in self.corners], [at.y_px for at in self.corners]
        sides = (min(xs), min(ys), max(xs), max(ys))
        return Box(self.label, *sides, self.confidence, self.attributes)


@dataclass(frozen=True)
class Box3D:
    """A box in the 3D space in front of the camera; the other attributes are those of `Box`.

    The numbers are the model's own and do not depend on how the picture was resized. x goes to the
    right, y down, and z away from the camera, which is at 0 (cookbook `3d_grounding.ipynb` of
    Qwen3-VL).

    Attributes:
        x_m, y_m, z_m: the middle of the box, in metres.
        x_size_m, y_size_m, z_size_m: its sides before it is turned, in metres.
        x_degrees, y_degrees, z_degrees: its rotation around the x axis, then y, then z, in the
            direction of the cookbook's `rotate_xyz`. The model writes fractions of a half turn. The
            cookbook's prompts call the three "roll, pitch, yaw", its code "pitch, yaw, roll".
    """

    label: str
    x_m: float
    y_m: float
    z_m: float
    x_size_m: float
    y_size_m: float
    z_size_m: float
    x_degrees: float
    y_degrees: float
    z_degrees: float
    confidence: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=Attributes, hash=False)

    def __repr__(self) -> str:
        middle = ", ".join(f"{side:.3g}" for side in (self.x_m, self.y_m, self.z_m))
        return _repr("Box3D", self, f"at {middle} m, {sizes_of(self)} m", unit="")

    @property
    def distance_m(self) -> float:
        """The distance between the camera and the middle of the box."""
        return math.hypot(self.x_m, self.y_m, self.z_m)

    @property
    def volume_m3(self) -> float:
        """The volume in cubic metres."""
        return abs(self.x_size_m * self.y_size_m * self.z_size_m)

    @property
    def corners(self) -> tuple[SpacePoint, ...]:
        """The 8 corners in metres; `numpy.asarray(box.corners)` has the shape (8, 3).

        Their order is that of the cookbook's `convert_3dbbox`: the first is on the positive side
        along x, y and z of the box before it is turned, and the sign of z changes fastest.
        """
        middle, turns = (self.x_m, self.y_m, self.z_m), self._turns
        sizes = (self.x_size_m, self.y_size_m, self.z_size_m)
        return corners_of(middle, sizes, rotation_matrix(*turns))

    def project(self, intrinsics: Intrinsics) -> tuple[Point | None, ...]:
        """Return the 8 corners in pixels of the upright original, in the order of `corners`.

        Args:
            intrinsics: the camera: `CameraIntrinsics`, a 3 x 3 matrix, or a dict of fx, fy, cx and
                cy.

        Returns:
            A point for each corner; None for one that is not before the camera, and so has no place
            in the picture. Points may lie outside the picture.

        Raises:
            InputError: these are no intrinsics.
        """
        camera = as_intrinsics(intrinsics)
        return tuple(project_point(corner, camera) for corner in self.corners)

    def edges(self, intrinsics: Intrinsics, size: Size | None = None) -> tuple[Segment, ...]:
        """Return the edges in pixels of the upright original, as far as they can be seen.

        Edges that come towards the camera are cut a centimetre before it.

        Args:
            intrinsics: the camera, as for `project`.
            size: the size of the picture, at whose border edges are cut, too; None keeps them
                whole.

        Returns:
            At most 12 lines; none for a box behind the camera.

        Raises:
            InputError: these are no intrinsics.
        """
        return project_edges(self.corners, as_intrinsics(intrinsics), size)

    def to_box(self, intrinsics: Intrinsics, size: Size) -> Box | None:
        """Return the smallest box around what can be seen of it; None if nothing can.

        Args:
            intrinsics: the camera, as for `project`.
            size: the size of the upright original.

        Raises:
            InputError: these are no intrinsics.
        """
        edges = self.edges(intrinsics, size)
        if not edges:
            return None
        xs = [at.x_px for edge in edges for at in (edge.start, edge.stop)]
        ys = [at.y_px for edge in edges for at in (edge.start, edge.stop)]
        sides = (min(xs), min(ys), max(xs), max(ys))
        return Box(self.label, *sides, self.confidence, self.attributes)

    @property
    def _turns(self) -> tuple[float, float, float]:
        return self.x_degrees, self.y_degrees, self.z_degrees


def sides_of(box: Box | None) -> str:
    """Return the sides of a box in pixels, rounded to a tenth; empty if there is no box."""
    if box is None:
        return ""
    return ", ".join(rounded(side) for side in (box.x1_px, box.y1_px, box.x2_px, box.y2_px))


def sizes_of(box: Box3D) -> str:
    """Return the sides of a box in space, in metres, with three digits."""
    return " x ".join(f"{side:.3g}" for side in (box.x_size_m, box.y_size_m, box.z_size_m))


def centre_of(mark: PointMark) -> str:
    """Return a point in pixels, rounded to a tenth."""
    return f"{rounded(mark.x_px)}, {rounded(mark.y_px)}"


def _repr(
    name: str, place: Box | PointMark | Polygon | Box3D, numbers: str, unit: str = " px"
) -> str:
    """A place in one line, with rounded numbers."""
    sure = f", confidence={percent(place.confidence)}" if place.confidence is not None else ""
    more = f", attributes={place.attributes!r}" if place.attributes else ""
    return f"{name}({place.label!r}, {numbers}{unit}{sure}{more})"
