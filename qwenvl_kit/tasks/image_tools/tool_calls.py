"""Calls of the image tools, each checked; what is wrong with one is told to the model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.errors import AnswerError
from qwenvl_kit.geometry import Point
from qwenvl_kit.grounding.coordinates import PARTS
from qwenvl_kit.messages.tool_parts import ToolCall
from qwenvl_kit.plans import ImagePlan
from qwenvl_kit.tasks.image_tools.offers import ROTATE, ZOOM
from qwenvl_kit.tasks.image_tools.views import Sides, View, clipped

_BEYOND = 0.02
"""The share of a side by which a box may reach beyond a picture, as in answers with boxes."""

_MAX_DEGREES = 3600.0
_MOST_GROWTH = 2.1
"""The most pixels of a turned picture, for each of the given one; a square has twice as many."""

_ROOMY_PIXELS = 2**24
"""The pixels that any turned picture may have, such as that of a thin strip."""

_SHOWN = 120
"""The most characters of a label, and of a value in an error; the reply has all of them."""


@dataclass(frozen=True)
class ImageCall:
    """A call that can be made.

    Attributes:
        tool: the name of the tool.
        label: the model's name for the part; empty if it gives none.
        view_index: the index of the picture that is looked at.
        sides: the part to zoom into, in pixels of that view; None for a rotation.
        angle_degrees: the angle to turn by, counter-clockwise; None for a zoom.
        numbers: the numbers of the box, as the model wrote them.
        warnings: messages about what was assumed.
    """

    tool: str
    label: str
    view_index: int
    sides: Sides | None
    angle_degrees: float | None
    numbers: tuple[float, ...]
    warnings: tuple[str, ...]

    def view(self, of: View) -> View:
        """The view that the call asks for."""
        if self.sides is not None:
            return of.part(self.sides)
        return of.turned(self.angle_degrees or 0.0)


def index_in(call: ToolCall, num_given: int, num_views: int) -> tuple[int, tuple[str, ...]]:
    """Return the index of the picture that a call is about, and warnings.

    Qwen3-VL counts the pictures that a user gave (QwenLM/Qwen3-VL issue 1667), and Qwen-Agent the
    shown parts after them. Qwen3.5 leaves the index out (QwenLM/Qwen-Agent issue 879), which is
    clear where one picture was given.

    Raises:
        AnswerError: there is no such picture, or it is not clear which one is meant.
    """
    value: Any = call.arguments.get("img_idx")
    if value is None and num_given == 1:
        return 0, ("img_idx is missing; the given picture is taken",)
    is_whole = isinstance(value, float) and value.is_integer()
    if isinstance(value, bool) or not (isinstance(value, int) or is_whole):
        raise _wrong("img_idx", value, f"a whole number from 0 to {num_views - 1}")
    if not 0 <= value < num_views:
        raise _wrong("img_idx", value, f"a number from 0 to {num_views - 1}: there are no more")
    return int(value), ()


def read_call(
    call: ToolCall, view_index: int, view: View, plan: ImagePlan, warnings: Sequence[str]
) -> ImageCall:
    """Return a call, with its box in pixels of the view.

    Args:
        call: the call that the model wrote.
        view_index: the index of the picture that it is about.
        view: that picture.
        plan: the plan by which the model saw that picture.
        warnings: messages so far.

    Raises:
        AnswerError: an argument is missing, of another type, or makes no sense.
    """
    label = call.arguments.get("label")
    label = label if isinstance(label, str) else ""
    label = label if len(label) <= _SHOWN else f"{label[:_SHOWN]}..."
    if call.name == ROTATE:
        angle = _number("angle", call.arguments.get("angle"))
        if abs(angle) > _MAX_DEGREES:
            raise _wrong("angle", angle, "degrees, from -360 to 360")
        _check_turned(view, angle)
        return ImageCall(ROTATE, label, view_index, None, angle, (), tuple(warnings))
    numbers = _numbers(call.arguments)
    sides, notes = _sides(numbers, view, plan)
    return ImageCall(ZOOM, label, view_index, sides, None, numbers, (*warnings, *notes))


def _check_turned(view: View, angle_degrees: float) -> None:
    """Refuse a turn whose white corners make a picture too large; each turn adds more of them."""
    size = view.turned_size(angle_degrees)
    left, top, right, bottom = view.original_bounds
    most = max(_MOST_GROWTH * (right - left) * (bottom - top), _ROOMY_PIXELS)
    if size.width_px * size.height_px > most:
        raise AnswerError(
            f"turned by {angle_degrees:g} degrees, the image has {size.width_px} x "
            f"{size.height_px} pixels",
            expected="a turn of the given image, or of a smaller part of it",
        )


def _numbers(arguments: Mapping[str, Any]) -> tuple[float, ...]:
    value = arguments.get("bbox_2d")
    if not isinstance(value, list) or len(value) != 4:
        raise _wrong("bbox_2d", value, "four numbers: [x1, y1, x2, y2]")
    return tuple(_number("bbox_2d", number) for number in value)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(name, value, "numbers, not texts" if isinstance(value, str) else "numbers")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong(name, value, "finite numbers")
    return number


def _sides(
    numbers: tuple[float, ...], view: View, plan: ImagePlan
) -> tuple[Sides, tuple[str, ...]]:
    """The box in pixels of the view."""
    x1, y1, x2, y2 = numbers
    unit = f"thousandths of the image's sides, from 0 to {PARTS}"
    if all(0 <= number <= 1 for number in numbers) and max(numbers) > 0:
        raise _wrong("bbox_2d", [*numbers], f"{unit}, not fractions of 1")
    low, high = -_BEYOND * PARTS, (1 + _BEYOND) * PARTS
    if min(numbers) < low or max(numbers) > high:
        raise _wrong("bbox_2d", [*numbers], f"{unit}, not pixels")
    if x1 >= x2 or y1 >= y2:
        raise _wrong("bbox_2d", [*numbers], "x1 below x2 and y1 below y2")
    corners = (_to_view(x1, y1, plan), _to_view(x2, y2, plan))
    sides = (corners[0].x_px, corners[0].y_px, corners[1].x_px, corners[1].y_px)
    inside = clipped(sides, view.bounds)
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise _wrong("bbox_2d", [*numbers], "a box inside the image")
    is_beyond = min(numbers) < 0 or max(numbers) > PARTS
    return inside, (("a box reached beyond the picture",) if is_beyond else ())


def _to_view(x: float, y: float, plan: ImagePlan) -> Point:
    seen = plan.resized
    at = Point(x * seen.width_px / PARTS, y * seen.height_px / PARTS)
    return plan.pixel_map.to_original(at)


def _wrong(name: str, value: object, expected: str) -> AnswerError:
    if value is None:
        return AnswerError(f"{name} is missing", expected=expected)
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    return AnswerError(f"{name}={shown} was given", expected=expected)
