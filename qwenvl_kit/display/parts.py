"""The forms of pictures and films in a message: pixels in memory are shown, no file is opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qwenvl_kit.display.blocks import facts, preformatted
from qwenvl_kit.display.pictures import SHOWN_PX, THUMBNAIL_PX, Shown, strip
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import clock, count

MOST_FRAMES = 12
"""The most frames of a strip; of more, evenly chosen ones."""


def part_html(part: Any) -> str:
    """Return a picture or film of a message as HTML.

    Pillow pictures are shown, those of a film as a strip with their times. A file is told in words:
    to open it needs a media policy, and to choose its frames a model. `chat.plan(...)` has both.
    """
    pictures = _pictures(part)
    most_px = SHOWN_PX // 2 if len(pictures) == 1 else THUMBNAIL_PX
    hint = "" if pictures else "chat.plan(question, part).show() shows what a model sees of it"
    number = count(len(part.source), "frame") if isinstance(part.source, (list, tuple)) else ""
    return framed(strip(pictures, most_px), preformatted(repr(part)), facts(number, hint))


def _pictures(part: Any) -> list[Shown]:
    source = part.source
    if not isinstance(source, (list, tuple)):
        image = _upright(source)
        return [] if image is None else [Shown(image, "")]
    chosen = _spread(len(source))
    images = [_upright(source[at]) for at in chosen]
    times = [_time(part, at) for at in chosen]
    return [Shown(image, time) for image, time in zip(images, times) if image is not None]


def _spread(number: int) -> Sequence[int]:
    """The indices of frames, from the first to the last."""
    if number <= MOST_FRAMES:
        return range(number)
    return [round(at * (number - 1) / (MOST_FRAMES - 1)) for at in range(MOST_FRAMES)]


def _time(part: Any, index: int) -> str:
    times = getattr(part, "timestamps_seconds", None)
    if times is not None:
        return clock(times[index]) if index < len(times) else ""
    rate = getattr(part, "fps", None)
    return clock(index / rate) if rate else ""


def _upright(source: Any) -> Any:
    """A Pillow picture whose pixels are in memory, as viewers show it; None for anything else."""
    from PIL import Image, ImageOps

    is_read = type(source) is Image.Image  # others have a file, whose pixels may not be read yet
    return ImageOps.exif_transpose(source) if is_read else None
