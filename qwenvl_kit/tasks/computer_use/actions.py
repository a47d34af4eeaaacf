"""What can be done at a screen. Places are in pixels of the screenshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, Union

from qwenvl_kit.geometry import Point

MouseButton: TypeAlias = Literal["left", "right", "middle"]


@dataclass(frozen=True)
class Click:
    """Click.

    Attributes:
        at: where; None where the pointer is.
        button: of the mouse.
        times: 2 for a double click, 3 for a triple one.
    """

    at: Point | None
    button: MouseButton = "left"
    times: int = 1


@dataclass(frozen=True)
class MoveTo:
    """Move the pointer, without a click."""

    at: Point


@dataclass(frozen=True)
class DragTo:
    """Press the left button where the pointer is, move it, and let go."""

    at: Point


@dataclass(frozen=True)
class TypeText:
    """Type a text where the cursor is."""

    text: str


@dataclass(frozen=True)
class PressKeys:
    """Press keys together, such as `("ctrl", "c")`, in the model's names for them."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class Scroll:
    """Turn the wheel.

    Attributes:
        pixels: how far; above 0 towards the top or the left.
        is_horizontal: sideways.
        at: where the pointer is to be; None where it is.
    """

    pixels: float
    is_horizontal: bool = False
    at: Point | None = None


@dataclass(frozen=True)
class Wait:
    """Wait until the screen has changed."""

    seconds: float


@dataclass(frozen=True)
class Done:
    """Nothing is left to do.

    Attributes:
        is_success: whether the goal is reached.
        answer: what was asked for, if the goal was a question.
    """

    is_success: bool
    answer: str | None = None


Action: TypeAlias = Union[Click, MoveTo, DragTo, TypeText, PressKeys, Scroll, Wait, Done]
