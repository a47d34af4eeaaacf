"""Boxes in space that were found in a picture, with the camera that puts them on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Box, Box3D, sizes_of
from qwenvl_kit.grounding.coordinates import HALF_TURN_DEGREES
from qwenvl_kit.grounding.places import Places
from qwenvl_kit.grounding.sketches import Drawable, Sketch, Stroke
from qwenvl_kit.grounding.space.intrinsics import CameraIntrinsics
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.results import Reply


class Boxes3D(Places[Box3D]):
    """Boxes in the space before the camera; see `Places` for its attributes and `draw()`.

    It draws the edges of each box, as far as they are before the camera and in the picture.

    Args:
        places: the boxes, in metres and degrees.
        camera: the camera by which they are drawn; `camera.source` tells where it comes from.
        reply: the reply that they were read from.
        warnings: sentences about what was not understood in it, or changed.
        image_size: the size of the upright original.
        source: the picture.
        policy: the media policy by which it is opened again, to draw.
    """

    def __init__(
        self,
        places: Sequence[Box3D],
        *,
        camera: CameraIntrinsics,
        reply: Reply,
        warnings: Sequence[str],
        image_size: Size,
        source: Any,
        policy: MediaPolicy,
    ) -> None:
        super().__init__(
            places,
            reply=reply,
            warnings=warnings,
            image_size=image_size,
            source=source,
            policy=policy,
        )
        self.camera = camera

    def to_boxes(self) -> tuple[Box | None, ...]:
        """Return the box around each in pixels of the upright original; None if it is not seen."""
        return tuple(box.to_box(self.camera, self.image_size) for box in self)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the boxes as dicts of plain values, for JSON.

        `bbox_3d` has the nine numbers in the form of the model: metres, and angles as fractions of
        a half turn. `corners_m` has the 8 corners, `corners_px` their places in the picture, or
        null.
        """
        return [self._to_dict(box) for box in self]

    def _to_dict(self, box: Box3D) -> dict[str, Any]:
        places = box.project(self.camera)
        return {
            "label": box.label,
            "bbox_3d": list(numbers_of(box)),
            "corners_m": [list(corner) for corner in box.corners],
            "corners_px": [None if at is None else [at.x_px, at.y_px] for at in places],
            "confidence": box.confidence,
            "attributes": dict(box.attributes),
        }

    def _sketches(self) -> list[Drawable]:
        return [sketch_in_space(box, self.camera, self.image_size) for box in self]

    reads_flat = False
    _headings = ("middle in m", "size in m", "turned in degrees")

    def _cells(self, place: Box3D) -> tuple[str, ...]:
        middle = ", ".join(f"{side:.3g}" for side in (place.x_m, place.y_m, place.z_m))
        turns = (place.x_degrees, place.y_degrees, place.z_degrees)
        return middle, sizes_of(place), ", ".join(f"{turn:.3g}" for turn in turns)

    def _facts(self) -> tuple[str, ...]:
        across, down = self.camera.field_of_view_degrees(self.image_size)
        return (f"camera: {self.camera.source}, {across:.0f} x {down:.0f} degrees",)


def sketch_in_space(box: Box3D, camera: CameraIntrinsics, size: Size) -> Sketch:
    """Return the edges of a box, as far as they lie in the picture; none if it is not seen."""
    edges = box.edges(camera, size)
    strokes = tuple(Stroke("line", (edge.start, edge.stop)) for edge in edges)
    return Sketch(box.label, box.confidence, strokes)


def numbers_of(box: Box3D) -> tuple[float, ...]:
    """Return the nine numbers of a box as a model writes them: angles in half turns."""
    turns = (box.x_degrees, box.y_degrees, box.z_degrees)
    return (
        *(box.x_m, box.y_m, box.z_m),
        *(box.x_size_m, box.y_size_m, box.z_size_m),
        *(turn / HALF_TURN_DEGREES for turn in turns),
    )
