"""Thumbnails: the first pictures and films of a conversation, small, for a report."""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from qwenvl_kit.budget.measures import VideoMeasure
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.items import MediaItem, with_plan
from qwenvl_kit.media.loader import decode_media, open_media
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.message import ImagePart, Message
from qwenvl_kit.plans import ImagePlan, Plan, VideoPlan

_MOST_PICTURES = 4
_SIDE_PX = 192


class Thumbnails(NamedTuple):
    """The first pictures of a conversation.

    Attributes:
        pictures: each as JPEG; a film is its middle frame.
        num_all: the number of all pictures and films.
    """

    pictures: tuple[bytes, ...]
    num_all: int


def draw_thumbnails(
    messages: Sequence[Message], policy: MediaPolicy, plan: Plan | None = None
) -> Thumbnails:
    """Draw the first pictures of a conversation, small.

    Args:
        messages: the conversation.
        policy: the media policy.
        plan: the plan of the conversation, to show what its model sees; None for whole pictures.

    Raises:
        MediaError: a picture cannot be opened.
    """
    items = open_media(messages, policy).items
    planned = with_plan(items, plan) if plan is not None else map(_with_small_plan, items)
    shown = [_with_one_frame(item) for item in islice(planned, _MOST_PICTURES)]
    decoded = decode_media(shown, policy)
    return Thumbnails(tuple(_jpeg(item.content) for item in decoded), len(items))


def _with_small_plan(item: MediaItem) -> MediaItem:
    """An item that will be decoded whole, and small; a film by its frames."""
    part, measure = item.part, item.measure
    if isinstance(part, ImagePart):
        crop = part.crop
        resized = _small(measure.size if crop is None else crop.size)
        return replace(item, plan=ImagePlan(item.where, measure.size, resized, 0, crop))
    frame, seconds = _middle_frame(measure) if isinstance(measure, VideoMeasure) else (0, 0.0)
    plan = VideoPlan(item.where, measure.size, _small(measure.size), (frame,), (seconds,), 0)
    return replace(item, plan=plan)


def _middle_frame(measure: VideoMeasure) -> tuple[int, float]:
    """The frame in the middle of the part of a film that is shown, and its time."""
    times = measure.times_seconds
    if times is None or not len(times):
        return measure.num_frames // 2, 0.0
    start, end = measure.part.start_seconds or 0.0, measure.part.end_seconds
    middle = (start + min(times[-1], times[-1] if end is None else end)) / 2
    frame = min(bisect_left(times, middle), len(times) - 1)
    return frame, float(times[frame])


def _small(size: Size) -> Size:
    scale = min(1.0, _SIDE_PX / max(size.height_px, size.width_px))
    return Size(
        height_px=max(1, round(size.height_px * scale)),
        width_px=max(1, round(size.width_px * scale)),
    )


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
