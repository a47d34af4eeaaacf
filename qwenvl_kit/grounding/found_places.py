"""All places in a reply to a free question: boxes, points, outlines and boxes in 3D space."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.errors import MessageError
from qwenvl_kit.families import Family
from qwenvl_kit.grounding.boxes import Box, Box3D, PointMark, Polygon
from qwenvl_kit.grounding.coordinates import PlaceMapper
from qwenvl_kit.grounding.place_parser import parse_places
from qwenvl_kit.results import Reply


@dataclass(frozen=True)
class FoundPlaces:
    """The places of one reply, each kind in the order of the answer.

    Attributes:
        boxes: boxes in pixels of the upright original.
        points: points in pixels of the upright original.
        polygons: outlines in pixels of the upright original.
        boxes_3d: boxes in the 3D space in front of the camera, in metres.
        warnings: messages about places that could not be read or had to be corrected.
    """

    boxes: tuple[Box, ...]
    points: tuple[PointMark, ...]
    polygons: tuple[Polygon, ...]
    boxes_3d: tuple[Box3D, ...]
    warnings: tuple[str, ...]


def read_places(
    reply: Reply, family: Family, *, image_index: int = 0, default_label: str = ""
) -> FoundPlaces:
    """Read all places from the reply to a question that you wrote yourself.

    Example:
        reply = chat.ask("Outline the road signs as JSON with poly_2d and label.", "street.jpg")
        found = read_places(reply, chat.family)

    Args:
        reply: the reply.
        family: the family that wrote it; `chat.family`.
        image_index: the index of the picture among those of the request, from 0 on.
        default_label: the label of places that have none.

    Raises:
        MessageError: the request had no such picture.
    """
    images = reply.plan.images
    if not 0 <= image_index < len(images):
        raise MessageError(
            f"image_index={image_index!r} was given",
            expected=f"the number of one of the {len(images)} pictures of the request, from 0",
            where="read_places",
        )
    mapper = PlaceMapper(images[image_index], family, reply, default_label)
    written = parse_places(reply.text)
    boxes, points = mapper.boxes(written.boxes), mapper.points(written.points)
    polygons, boxes_3d = mapper.polygons(written.polygons), mapper.boxes_3d(written.boxes_3d)
    warnings = (*written.warnings, *mapper.warnings)
    return FoundPlaces(tuple(boxes), tuple(points), tuple(polygons), tuple(boxes_3d), warnings)
