"""The corners of a box in space: pure arithmetic on numbers.

Axes, order of rotation and order of corners are those of `convert_3dbbox` in the cookbook
`3d_grounding.ipynb` of Qwen3-VL.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

Matrix: TypeAlias = tuple[tuple[float, float, float], ...]
"""Three rows of three numbers."""

SIGNS = tuple((x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1))
"""The side of the middle on which each of the 8 corners lies, along x, y and z, before the box is
turned."""

EDGES = (
    *((0, 1), (2, 3), (4, 5), (6, 7)),
    *((0, 2), (1, 3), (4, 6), (5, 7)),
    *((0, 4), (1, 5), (2, 6), (3, 7)),
)
"""The pairs of corners that an edge joins: the edges along z, then y, then x."""


class SpacePoint(NamedTuple):
    """A point in the space in front of the camera, in metres.

    Attributes:
        x_m: to the right of the camera.
        y_m: below it.
        z_m: in front of it.
    """

    x_m: float
    y_m: float
    z_m: float


def rotation_matrix(x_degrees: float, y_degrees: float, z_degrees: float) -> Matrix:
    """Return the matrix that turns around the x axis first, then y, then z.

    It is Rz Ry Rx, for columns, with the positive turn from x to y, from y to z and from z to x:
    `scipy.spatial.transform.Rotation.from_euler("xyz", ..., degrees=True)`.
    """
    (cos_x, sin_x), (cos_y, sin_y), (cos_z, sin_z) = map(_turn, (x_degrees, y_degrees, z_degrees))
    return (
        (
            cos_z * cos_y,
            cos_z * sin_y * sin_x - sin_z * cos_x,
            cos_z * sin_y * cos_x + sin_z * sin_x,
        ),
        (
            sin_z * cos_y,
            sin_z * sin_y * sin_x + cos_z * cos_x,
            sin_z * sin_y * cos_x - cos_z * sin_x,
        ),
        (-sin_y, cos_y * sin_x, cos_y * cos_x),
    )


def corners_of(
    middle: Sequence[float], sizes: Sequence[float], turn: Matrix
) -> tuple[SpacePoint, ...]:
    """Return the 8 corners of a box, in the order of `SIGNS`.

    Args:
        middle: x, y and z of its middle, in metres.
        sizes: its sides along x, y and z before it is turned, in metres.
        turn: its rotation.
    """
    halves = [tuple(sign * size / 2 for sign, size in zip(signs, sizes)) for signs in SIGNS]
    return tuple(SpacePoint(*_moved(half, middle, turn)) for half in halves)


def _turn(degrees: float) -> tuple[float, float]:
    radians = math.radians(degrees)
    return math.cos(radians), math.sin(radians)


def _moved(half: Sequence[float], middle: Sequence[float], turn: Matrix) -> list[float]:
    return [
        at + sum(share * side for share, side in zip(row, half)) for at, row in zip(middle, turn)
    ]
