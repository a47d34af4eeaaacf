"""Actions on a screen, made with mouse and keyboard. Places are in pixels of the screenshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, Union

from qwenvl_kit.geometry import Point

MouseButton: TypeAlias = Literal["left", "right", "middle"]


@dataclass(frozen=True)
class Click:
    """A click with the mouse.

    Attributes:
        at: the place; None for the place where the pointer is.
        button: the mouse button.
        times: 1 for a single click, 2 for a double click, 3 for a triple click.
    """

    at: Point | None
    button: MouseButton = "left"
    times: int = 1


@dataclass(frozen=True)
class MoveTo:
    """A move of the pointer, without a click."""

    at: Point


@dataclass(frozen=True)
class DragTo:
    """A drag with the left button, from the place of the pointer to `at`."""

    at: Point


@dataclass(frozen=True)
class TypeText:
    """A text to type at the cursor."""

    text: str


@dataclass(frozen=True)
class PressKeys:
    """Keys to press together, such as `("ctrl", "c")`, by the names that the model uses."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class Scroll:
    """A turn of the mouse wheel.

    Attributes:
        pixels: the distance; above 0 towards the top or the left.
        is_horizontal: True to scroll sideways.
        at: the place of the pointer; None if it stays where it is.
    """

    pixels: float
    is_horizontal: bool = False
    at: Point | None = None


@dataclass(frozen=True)
class Wait:
    """A pause, in which the screen may change."""

    seconds: float


@dataclass(frozen=True)
class Done:
    """The end of the work.

    Attributes:
        is_success: True if the goal was reached.
        answer: the answer, if the goal was a question.
    """

    is_success: bool
    answer: str | None = None


Action: TypeAlias = Union[Click, MoveTo, DragTo, TypeText, PressKeys, Scroll, Wait, Done]
