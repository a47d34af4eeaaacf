"""The places in an answer about several pictures and parts of them, in pixels of the originals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.coordinates import PlaceMapper
from qwenvl_kit.grounding.place_parser import WrittenPlace, parse_places
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.image_tools.given_pictures import GivenViews

_MARKS = re.compile(r"bbox|<\|box_start\|>|<box>", re.IGNORECASE)
"""The signs of boxes. Without them, numbers in prose are no places: the answer is any text."""


@dataclass(frozen=True)
class FoundPlaces:
    """The boxes of an answer, each with the index of its picture, and warnings."""

    boxes: tuple[tuple[int, Box], ...]
    warnings: tuple[str, ...]


def find_places(reply: Reply, chat: VisionChat, views: GivenViews, num_given: int) -> FoundPlaces:
    """Return the boxes of an answer, in pixels of the given pictures.

    A box with `img_idx` beside it is about that picture, or about the part that was shown under
    that index; any other is about the first picture.

    Args:
        reply: the answer, whose plan has all pictures that were shown.
        chat: the model that answered.
        views: the pictures in the order in which they were shown.
        num_given: the number of those that were given; the others were made.
    """
    if not _MARKS.search(reply.text):
        return FoundPlaces((), ())
    written = parse_places(reply.text)
    found, warnings = list[tuple[int, Box]](), dict.fromkeys(written.warnings)
    num_shown = min(len(views), len(reply.plan.images))
    for place in written.boxes:
        index = _index_of(place, num_shown)
        if index is None:
            warnings["a box names a picture that is not there; left out"] = None
            continue
        mapper = PlaceMapper(reply.plan.images[index], chat.family, reply, "")
        for box in mapper.boxes([place]):
            found.append((index, box) if index < num_given else _of_part(box, index, views))
        warnings |= dict.fromkeys(mapper.warnings)
    if num_shown > 1 and any("img_idx" not in place.attributes for place in written.boxes):
        warnings["boxes without img_idx are read as boxes in the first picture"] = None
    return FoundPlaces(tuple(found), tuple(warnings))


def _index_of(place: WrittenPlace, num_views: int) -> int | None:
    index = place.attributes.get("img_idx", 0)
    is_index = type(index) is int and 0 <= index < num_views
    return index if is_index else None


def _of_part(box: Box, index: int, views: GivenViews) -> tuple[int, Box]:
    """A box in a part that was shown, in pixels of the picture that it is a part of."""
    view = views[index]
    x1, y1, x2, y2 = view.original_box((box.x1_px, box.y1_px, box.x2_px, box.y2_px))
    return view.picture_index, replace(box, x1_px=x1, y1_px=y1, x2_px=x2, y2_px=y2)


def confidence_in(reply: Reply, numbers: Sequence[float]) -> float | None:
    """The confidence in the numbers of a call, where they can be found in its text."""
    text = reply.text if reply.raw_text is None else reply.raw_text
    for place in parse_places(text).places:
        if place.numbers == tuple(numbers):
            shift = reply.text_offset
            return reply.confidence_between(place.start - shift, place.stop - shift)
    return None
