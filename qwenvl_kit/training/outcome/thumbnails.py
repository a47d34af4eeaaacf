"""Thumbnails: the first pictures and films of a request, small, for a report."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from qwenvl_kit.media.items import MediaItem, with_plan
from qwenvl_kit.media.loader import decode_media, open_media
from qwenvl_kit.plans import VideoPlan
from qwenvl_kit.requests import Request

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat

_MOST_PICTURES = 4
_SIDE_PX = 192


class Thumbnails(NamedTuple):
    """The first pictures of a request.

    Attributes:
        pictures: each as JPEG; a film is its middle frame.
        num_all: the number of all pictures and films of the request.
    """

    pictures: tuple[bytes, ...]
    num_all: int


def draw_thumbnails(chat: VisionChat, request: Request) -> Thumbnails:
    """Draw the first pictures of a request as its model sees them, small.

    Args:
        chat: the chat that plans them.
        request: the request.

    Raises:
        MediaError: a picture cannot be opened.
    """
    plan = chat.plan(request)
    items = open_media(request.conversation(), chat.policy).items
    planned = [_with_one_frame(item) for item in with_plan(items, plan)[:_MOST_PICTURES]]
    decoded = decode_media(planned, chat.policy)
    return Thumbnails(tuple(_jpeg(item.content) for item in decoded), len(items))


def _with_one_frame(item: MediaItem) -> MediaItem:
    """A film with its middle frame alone; a picture as it is."""
    plan = item.plan
    if not isinstance(plan, VideoPlan):
        return item
    middle = slice(len(plan.frame_indices) // 2, len(plan.frame_indices) // 2 + 1)
    frame = replace(
        plan,
        frame_indices=plan.frame_indices[middle],
        timestamps_seconds=plan.timestamps_seconds[middle],
    )
    return replace(item, plan=frame)


def _jpeg(content: Any) -> bytes:
    """A picture of Pillow, or the frames of a film as an array (frames, height, width, 3)."""
    import numpy
    import PIL.Image

    is_film = isinstance(content, numpy.ndarray)
    picture: PIL.Image.Image = PIL.Image.fromarray(content[0]) if is_film else content
    small = picture.convert("RGB")
    small.thumbnail((_SIDE_PX, _SIDE_PX))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=85)
    return file.getvalue()
