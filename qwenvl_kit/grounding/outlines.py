"""Outlines and paths that were found in a picture, with the reply that they were read from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from qwenvl_kit.grounding.boxes import PointMark, Polygon, sides_of
from qwenvl_kit.grounding.places import Boxes, Places
from qwenvl_kit.grounding.sketches import Drawable, sketch_of_path

if TYPE_CHECKING:
    import numpy
    import numpy.typing
    import supervision


class Polygons(Places[Polygon]):
    """Outlines that a model found in a picture; see `Places` for its attributes and `draw()`."""

    reads_flat = False
    _headings = ("corners", "around it in px")

    def _cells(self, place: Polygon) -> tuple[str, ...]:
        return str(len(place.corners)), sides_of(place.box)

    def to_coco(self, *, image_id: int = 1, file_name: str = "") -> dict[str, Any]:
        """Return the outlines as a data set in the format of COCO, of one picture.

        `segmentation` is a list with one list of x and y of all corners, `area` that of the
        outline. The other fields are those of `Boxes.to_coco`.

        Args:
            image_id: the number of the picture.
            file_name: its name.
        """
        whole = self._boxes().to_coco(image_id=image_id, file_name=file_name)
        for written, outline in zip(whole["annotations"], self):
            corners = [side for at in outline.corners for side in (at.x_px, at.y_px)]
            written.update(segmentation=[corners], area=outline.area_pixels)
        return whole

    def to_masks(self) -> numpy.typing.NDArray[numpy.bool_]:
        """Return a mask for each outline, of the shape (n, H, W): True for the pixels inside.

        A pixel is inside if its middle is, by the even-odd rule: parts that two loops cross twice
        are outside.
        """
        import numpy

        shape = (self.image_size.height_px, self.image_size.width_px)
        masks = numpy.zeros((len(self), *shape), dtype=numpy.bool_)
        for mask, outline in zip(masks, self):
            _fill(mask, outline)
        return masks

    def to_supervision(self) -> supervision.Detections:
        """Return the outlines as `supervision.Detections`, with `mask` and the box around each.

        Raises:
            MissingPackageError: supervision is not installed.
        """
        found = self._boxes().to_supervision()
        found.mask = self.to_masks()
        return found

    def _boxes(self) -> Boxes:
        """The boxes around the outlines."""
        return Boxes(
            [outline.box for outline in self],
            reply=self.reply,
            warnings=self.warnings,
            image_size=self.image_size,
            source=self._source,
            policy=self._policy,
        )


def _fill(mask: numpy.typing.NDArray[numpy.bool_], outline: Polygon) -> None:
    """Set the pixels inside, in a mask (H, W): those with an odd number of edges on their left."""
    import numpy

    rows, columns = (numpy.arange(side) + 0.5 for side in mask.shape)
    corners = outline.corners
    for start, stop in zip(corners, (*corners[1:], corners[0])):
        is_met = (start.y_px <= rows) != (stop.y_px <= rows)
        if is_met.any():
            slope = (stop.x_px - start.x_px) / (stop.y_px - start.y_px)
            met_at = start.x_px + (rows[is_met] - start.y_px) * slope
            mask[is_met] ^= columns >= met_at[:, None]


class Path(Places[PointMark]):
    """The points of a path in their order; see `Places` for its attributes.

    It draws the path as a line with a dot on each point and a head at the last one.
    """

    @property
    def length_px(self) -> float:
        """The length of the path in pixels."""
        pairs = zip(self._places, self._places[1:])
        return math.fsum(math.hypot(a.x_px - b.x_px, a.y_px - b.y_px) for a, b in pairs)

    def to_lists(self) -> list[list[float]]:
        """Return x and y of each point, in pixels of the upright original, for JSON or NumPy."""
        return [[mark.x_px, mark.y_px] for mark in self]

    def _sketches(self) -> list[Drawable]:
        words = self._places[0].label if self._places else ""
        return [sketch_of_path(words, self._places)] if self._places else []
