"""The picture of points and edges in space: a camera without distortion, and what is cut off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qwenvl_kit.geometry import Point, Size
from qwenvl_kit.grounding.space.intrinsics import CameraIntrinsics
from qwenvl_kit.grounding.space.rotation import EDGES, SpacePoint

NEAR_M = 0.01
"""The distance in metres at which edges that come towards the camera are cut off. A point at 0 has
no place in the picture."""


@dataclass(frozen=True)
class Segment:
    """A straight line in a picture, in pixels of the upright original."""

    start: Point
    stop: Point


def project_point(at: Sequence[float], camera: CameraIntrinsics) -> Point | None:
    """Return the place of a point of space in the picture; None if it is not before the camera.

    x_px = fx x / z + cx, y_px = fy y / z + cy: the pinhole camera of `cv2.projectPoints` without
    distortion, and of the cookbook `3d_grounding.ipynb` of Qwen3-VL.
    """
    x, y, z = at
    if not z >= NEAR_M:
        return None
    return Point(camera.fx_px * x / z + camera.cx_px, camera.fy_px * y / z + camera.cy_px)


def project_edges(
    corners: Sequence[SpacePoint], camera: CameraIntrinsics, size: Size | None = None
) -> tuple[Segment, ...]:
    """Return the edges of a box in the picture, without the parts behind the camera.

    Args:
        corners: the 8 corners of a box, in the order of `Box3D.corners`.
        camera: the camera.
        size: the size of the picture; parts outside it are cut off, too. None keeps them.
    """
    found = []
    for start, stop in EDGES:
        segment = _before_camera(corners[start], corners[stop], camera)
        if segment is not None and size is not None:
            segment = inside_picture(segment, size)
        if segment is not None:
            found.append(segment)
    return tuple(found)


def inside_picture(segment: Segment, size: Size) -> Segment | None:
    """Return the part of a line that lies in the picture; None if there is none.

    Lines are cut by the algorithm of Liang and Barsky (1984).
    """
    x, y = segment.start.x_px, segment.start.y_px
    across, down = segment.stop.x_px - x, segment.stop.y_px - y
    low, high = 0.0, 1.0
    walls = ((-across, x), (across, size.width_px - x), (-down, y), (down, size.height_px - y))
    for speed, room in walls:
        if speed == 0:
            if room < 0:
                return None
        elif speed < 0:
            low = max(low, room / speed)
        else:
            high = min(high, room / speed)
    if low > high:
        return None
    return Segment(
        Point(x + low * across, y + low * down), Point(x + high * across, y + high * down)
    )


def _before_camera(start: SpacePoint, stop: SpacePoint, camera: CameraIntrinsics) -> Segment | None:
    """The picture of an edge, cut where it comes nearer than `NEAR_M`."""
    if start.z_m > stop.z_m:
        start, stop = stop, start
    if not stop.z_m >= NEAR_M:
        return None
    if start.z_m < NEAR_M:
        share = (NEAR_M - start.z_m) / (stop.z_m - start.z_m)
        x, y = (low + share * (high - low) for low, high in zip(start[:2], stop[:2]))
        start = SpacePoint(x, y, NEAR_M)
    first, last = project_point(start, camera), project_point(stop, camera)
    return None if first is None or last is None else Segment(first, last)
