"""Outlines: polygons around things, in the picture's own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.geometry import Point
from qwenvl_kit.grounding.boxes import Box, Polygon
from qwenvl_kit.grounding.outlines import Polygons
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.place_search import PlaceSearch, check_trained
from qwenvl_kit.tasks.prompts import Language, checked_words, chosen_prompt

PROMPTS = MappingProxyType(
    {
        "en": "Outline {what} in this image with polygons, and output their coordinates in JSON "
        'format, like {"poly_2d": [x1, y1, x2, y2, x3, y3, ...], "label": "..."}.',
        "zh": "用多边形勾勒图中的{what}，以JSON格式输出其坐标，形如"
        '{"poly_2d": [x1, y1, x2, y2, x3, y3, ...], "label": "..."}。',
    }
)
"""The prompts, in the words of this kit: no cookbook asks for outlines. Names such as `poly_2d` are
those of public answers of Qwen3-VL."""

_MAX_TOKENS = 2048
"""Room for about ten outlines of thirty corners."""

_LEAST_PIXELS = 0.5
"""The area below which an outline is a line or a point."""


def outline(
    chat: VisionChat,
    image: Media,
    what: str,
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Polygons:
    """Find things in a picture, and return polygons around them.

    Outlines of language models are coarse: for masks to the pixel, give the boxes of `locate` to a
    model of segmentation. Arguments and pixels are those of `locate`. A box in the answer gives the
    outline of its four corners, and a warning.

    Example:
        signs = outline(chat, "street.jpg", "all road signs")
        masks = signs.to_masks()

    Raises:
        UnsupportedFeatureError: the family writes no outlines: Qwen2-VL and Qwen2.5-VL.
        MessageError: `what` is empty, the language is not known, or the document has several pages.
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    check_trained(chat, "outline", "outlines", "locate, for boxes")
    words = checked_words(what, "the things to find, in words", "what")
    search = PlaceSearch(
        chat,
        image,
        chosen_prompt(PROMPTS, language, prompt, what=words),
        what=words,
        sampling=sampling,
        budget=budget,
        max_tokens=_MAX_TOKENS,
    )
    outlines = search.mapper.polygons(search.written.polygons)
    told = [f"{each.label}: an outline without an area" for each in outlines if _is_flat(each)]
    if not outlines:
        outlines = [_around(box) for box in search.mapper.boxes(search.written.boxes)]
        told += ["boxes where outlines were asked for; their corners are given"] * bool(outlines)
    told += _left_out(search, outlines)
    return search.result(Polygons, outlines, warnings=dict.fromkeys(told))


def _left_out(search: PlaceSearch, outlines: Sequence[Polygon]) -> list[str]:
    written = search.written
    told = []
    if written.points:
        told.append("points where outlines were asked for; left out")
    if written.boxes and written.polygons and outlines:
        told.append("boxes in addition to outlines; `read_places` gives them")
    if written.boxes_3d:
        told.append("a 3D box instead of an outline was left out")
    return told


def _around(box: Box) -> Polygon:
    left, top, right, bottom = box.x1_px, box.y1_px, box.x2_px, box.y2_px
    corners = (Point(left, top), Point(right, top), Point(right, bottom), Point(left, bottom))
    return Polygon(box.label, corners, box.confidence, box.attributes)


def _is_flat(outline: Polygon) -> bool:
    return outline.area_pixels < _LEAST_PIXELS
