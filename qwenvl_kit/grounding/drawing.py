"""The drawing of boxes and points on their picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qwenvl_kit.grounding.boxes import Box, PointMark

if TYPE_CHECKING:
    import PIL.Image
    import PIL.ImageDraw

_COLOURS = ("#e6194b", "#4363d8", "#3cb44b", "#f58231", "#911eb4", "#008080", "#9a6324", "#f032e6")
"""Colours that most colour-blind people can distinguish, too (S. Trubetskoy's list of 20)."""

_LINE_SHARE = 1 / 300
_TEXT_SHARE = 1 / 40
"""Line width and text height, as shares of the picture's longer side."""


def draw_places(image: PIL.Image.Image, places: Sequence[Box | PointMark]) -> PIL.Image.Image:
    """Return a copy of the picture with each place and its label drawn on it.

    Args:
        image: the upright picture.
        places: places in its pixels. Places with the same label have the same colour.
    """
    from PIL import ImageDraw

    drawn = image.convert("RGB") if image.mode != "RGB" else image.copy()
    pen = ImageDraw.Draw(drawn)
    labels = list(dict.fromkeys(place.label for place in places))
    for place in places:
        colour = _COLOURS[labels.index(place.label) % len(_COLOURS)]
        _draw_place(pen, drawn.size, place, colour)
    return drawn


def _draw_place(
    pen: PIL.ImageDraw.ImageDraw, size: tuple[int, int], place: Box | PointMark, colour: str
) -> None:
    line = max(2, round(max(size) * _LINE_SHARE))
    if isinstance(place, Box):
        sides = (place.x1_px, place.y1_px, place.x2_px, place.y2_px)
        pen.rectangle(sides, outline=colour, width=line)
        _draw_label(pen, size, place, (place.x1_px, place.y1_px), colour)
    else:
        around = 2.5 * line
        dot = (place.x_px - around, place.y_px - around, place.x_px + around, place.y_px + around)
        pen.ellipse(dot, fill=colour, outline="white", width=max(1, line // 2))
        _draw_label(pen, size, place, (place.x_px + around, place.y_px), colour)


def _draw_label(
    pen: PIL.ImageDraw.ImageDraw,
    size: tuple[int, int],
    place: Box | PointMark,
    at: tuple[float, float],
    colour: str,
) -> None:
    """Draw a label above its place, or inside if there is no room; never outside the picture."""
    from PIL import ImageFont

    sure = "" if place.confidence is None else f" {place.confidence:.0%}"
    text = " ".join(f"{place.label}{sure}".split())
    font = ImageFont.load_default(max(11, round(max(size) * _TEXT_SHARE)))
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = right - left + 6, bottom - top + 6
    x = max(0.0, min(at[0], size[0] - width))
    y = at[1] - height if at[1] >= height else min(at[1], size[1] - height)
    pen.rectangle((x, y, x + width, y + height), fill=colour)
    pen.text((x + 3 - left, y + 3 - top), text, font=font, fill="white")
