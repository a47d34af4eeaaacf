"""The colours of heat maps, and how they lie over a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qwenvl_kit.geometry import Point

if TYPE_CHECKING:
    import numpy
    import PIL.Image

_COLOURS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
"""Colours at 0, 0.25, 0.5, 0.75 and 1: matplotlib's "inferno" (CC0), whose lightness rises evenly,
so that it can be read in grey and by colour-blind people."""

_MOST, _FROM = 0.75, 0.15
"""The opacity at a heat of 1, and the heat up to which the picture stays as it is."""

_GREY_SHARE = 0.55
"""The share of its colours that the picture under a heat map loses: they could look like heat."""


def overlay(
    image: PIL.Image.Image, heat: numpy.ndarray[Any, Any], peak: Point | None
) -> PIL.Image.Image:
    """Return a picture with heat over it.

    Args:
        image: the picture.
        heat: (height, width) in [0, 1].
        peak: the place of a ring; None for none.
    """
    import numpy
    import PIL.Image

    plain = numpy.asarray(image.convert("RGB"), numpy.float32)
    grey = plain.mean(-1, keepdims=True)
    under = plain + (grey - plain) * _GREY_SHARE
    opacity = (heat.clip(_FROM, 1) - _FROM)[..., None] / (1 - _FROM) * _MOST
    mixed = under * (1 - opacity) + _coloured(heat) * opacity
    drawn = PIL.Image.fromarray(mixed.round().astype(numpy.uint8))
    if peak is not None:
        _draw_ring(drawn, peak)
    return drawn


def _coloured(heat: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
    import numpy

    steps = numpy.linspace(0, 1, len(_COLOURS))
    channels = zip(*_COLOURS)
    return numpy.stack([numpy.interp(heat, steps, channel) for channel in channels], -1)


def _draw_ring(image: PIL.Image.Image, peak: Point) -> None:
    from PIL import ImageDraw

    radius = max(4.0, max(image.size) / 60)
    width = max(2, round(radius / 3))
    pen = ImageDraw.Draw(image)
    for around, colour in ((radius + width / 2, "black"), (radius, "white")):
        box = (peak.x_px - around, peak.y_px - around, peak.x_px + around, peak.y_px + around)
        pen.ellipse(box, outline=colour, width=width)
