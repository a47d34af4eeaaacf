"""The drawing of places on their picture."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from qwenvl_kit.display.fonts import font_for
from qwenvl_kit.display.labels import Area, Corner, LabelRoom
from qwenvl_kit.display.text import count, percent, shortened
from qwenvl_kit.errors import QwenVLKitWarning
from qwenvl_kit.geometry import Point
from qwenvl_kit.grounding.sketches import Drawable, Sketch, Stroke, sketch_of
from qwenvl_kit.safe_text import escaped

if TYPE_CHECKING:
    import PIL.Image
    import PIL.ImageDraw
    from PIL.ImageFont import FreeTypeFont

_COLOURS = ("#e6194b", "#4363d8", "#3cb44b", "#f58231", "#911eb4", "#008080", "#9a6324", "#f032e6")
"""Colours that most colour-blind people can distinguish, too (S. Trubetskoy's list of 20)."""

_LINE_SHARE = 1 / 300
_TEXT_SHARE = 1 / 40
"""Line width and text height, as shares of the picture's longer side."""

_SMALLEST_TEXT_PX = 9
_SHRINKS = (1.0, 0.75, 0.55)
"""The sizes of text that are tried, as shares of the usual one, until a label finds room."""

_MARGIN_PX = 3
_MOST_CHARACTERS = 40


@dataclass(frozen=True)
class _Label:
    """A label that has found its room.

    Attributes:
        text: its words.
        font: their font.
        corner: the upper left corner of its background.
        size: width and height of its background, in pixels.
        origin: the point of the background's corner at which the text is drawn.
    """

    text: str
    font: FreeTypeFont
    corner: Corner
    size: tuple[int, int]
    origin: tuple[float, float]


def draw_places(
    image: PIL.Image.Image, places: Sequence[Drawable], font: str | None = None
) -> PIL.Image.Image:
    """Return a copy of the picture with each place and its label drawn on it.

    No label lies upon another. A label that finds no room, even in small letters, is left out, and
    a warning tells how many there are.

    Args:
        image: the upright picture.
        places: places in its pixels, or sketches of them. Places with the same label have the same
            colour.
        font: the path of a font file; None takes Pillow's own, or a font of this machine that has
            the characters of a label.
    """
    drawing = drawing_of(image, places, font)
    if drawing.num_lost:
        verb = "was" if drawing.num_lost == 1 else "were"
        told = f"{count(drawing.num_lost, 'label')} of {len(places)} found no room in the picture"
        warnings.warn(f"{told} and {verb} left out", QwenVLKitWarning, stacklevel=3)
    return drawing.image


class Drawing(NamedTuple):
    """A picture with places, and the number of labels that found no room."""

    image: PIL.Image.Image
    num_lost: int


def drawing_of(
    image: PIL.Image.Image, places: Sequence[Drawable], font: str | None = None
) -> Drawing:
    """Return what `draw_places` does, with the number of lost labels in place of a warning."""
    from PIL import ImageDraw

    drawn = image.convert("RGB") if image.mode != "RGB" else image.copy()
    pen, line = ImageDraw.Draw(drawn), _line(drawn.size)
    sketches = [sketch_of(place) for place in places]
    names = list(dict.fromkeys(sketch.label for sketch in sketches))
    colours = [_COLOURS[names.index(sketch.label) % len(_COLOURS)] for sketch in sketches]
    for sketch, colour in zip(sketches, colours):
        for stroke in sketch.strokes:
            _draw_stroke(pen, line, stroke, colour)
    room, lost = LabelRoom(*drawn.size), 0
    for sketch, colour in zip(sketches, colours):
        text = _words(sketch) if sketch.strokes else ""
        label = _placed(room, sketch.area(line), text, drawn.size, font) if text else None
        lost += label is None and bool(text)
        if label is not None:
            _draw_label(pen, label, sketch.area(line), colour)
    return Drawing(drawn, lost)


def _line(size: tuple[int, int]) -> int:
    return max(2, round(max(size) * _LINE_SHARE))


def _words(sketch: Sketch) -> str:
    label = shortened(escaped(" ".join(sketch.label.split())), _MOST_CHARACTERS)
    return f"{label} {percent(sketch.confidence)}".strip()


def _draw_stroke(pen: PIL.ImageDraw.ImageDraw, line: int, stroke: Stroke, colour: str) -> None:
    points = [(at.x_px, at.y_px) for at in stroke.points]
    if stroke.shape == "rectangle":
        (x1, x2), (y1, y2) = (sorted(sides) for sides in zip(*points))
        pen.rectangle((x1, y1, x2, y2), outline=colour, width=line)
    elif stroke.shape == "dot":
        ((x, y),), around = points, 2.5 * line
        sides = (x - around, y - around, x + around, y + around)
        pen.ellipse(sides, fill=colour, outline="white", width=max(1, line // 2))
    else:
        pen.line(points, fill=colour, width=line, joint="curve")
        if stroke.shape == "arrow":
            pen.polygon(_head(stroke.points, 6.0 * line), fill=colour)


def _head(points: Sequence[Point], length: float) -> list[tuple[float, float]]:
    """The corners of the head of an arrow at the last of its points."""
    end = points[-1]
    before = next((at for at in reversed(points) if at != end), end)
    angle = math.atan2(end.y_px - before.y_px, end.x_px - before.x_px)
    sides = (angle + turn for turn in (math.pi * 0.86, -math.pi * 0.86))
    wings = [
        (end.x_px + length * math.cos(side), end.y_px + length * math.sin(side)) for side in sides
    ]
    return [(end.x_px, end.y_px), *wings]


def _placed(
    room: LabelRoom, area: Area, text: str, size: tuple[int, int], path: str | None
) -> _Label | None:
    """A label in the room that it has found; None if there is none even for small letters."""
    for font in _fonts(text, size, path):
        left, top, right, bottom = font.getbbox(text)
        width = round(right - left) + 2 * _MARGIN_PX
        height = round(bottom - top) + 2 * _MARGIN_PX
        corner = room.place(area, width, height)
        if corner is not None:
            origin = (_MARGIN_PX - left, _MARGIN_PX - top)
            return _Label(text, font, corner, (width, height), origin)
    return None


def _fonts(text: str, size: tuple[int, int], path: str | None) -> Iterator[FreeTypeFont]:
    usual = max(11, round(max(size) * _TEXT_SHARE))
    sizes = dict.fromkeys(max(_SMALLEST_TEXT_PX, round(usual * share)) for share in _SHRINKS)
    return (font_for(text, px, path) for px in sizes)


def _draw_label(pen: PIL.ImageDraw.ImageDraw, label: _Label, area: Area, colour: str) -> None:
    """Draw a label, and a line to its place if it does not touch it."""
    x, y = label.corner.x_px, label.corner.y_px
    width, height = label.size
    if label.corner.is_far:
        end = (min(max(x, area.x1_px), area.x2_px), min(max(y, area.y1_px), area.y2_px))
        pen.line((x + width / 2, y + height / 2, *end), fill=colour, width=1)
    pen.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
    ink = "black" if _is_light(colour) else "white"
    pen.text((x + label.origin[0], y + label.origin[1]), label.text, font=label.font, fill=ink)


def _is_light(colour: str) -> bool:
    """True if black is easier to read on a colour than white (WCAG 2.2, relative luminance)."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    return bool(linear > 0.18)
