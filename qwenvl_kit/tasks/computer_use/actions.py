"""Actions on a screen, of a computer or a phone. Places are in pixels of the screenshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, Union

from qwenvl_kit.geometry import Point

MouseButton: TypeAlias = Literal["left", "right", "middle"]
PhoneButton: TypeAlias = Literal["Back", "Home", "Menu", "Enter"]
"""A button of a phone's system: `Menu` opens the list of running apps, `Enter` confirms a text."""


@dataclass(frozen=True)
class Click:
    """A click with the mouse; on a phone, a tap.

    Attributes:
        at: the place; None for the place where the pointer is.
        button: the mouse button; "left" on a phone.
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
    """Keys to press together, such as `("ctrl", "c")`, by the names that the model uses.

    On a phone it is one key of `adb shell input keyevent`, such as `("volume_up",)`.
    """

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
class LongPress:
    """A finger that stays on a place of a touchscreen.

    Attributes:
        at: the place.
        seconds: the time.
    """

    at: Point
    seconds: float


@dataclass(frozen=True)
class Swipe:
    """A finger that moves over a touchscreen, from one place to another."""

    start: Point
    stop: Point


@dataclass(frozen=True)
class SystemButton:
    """A button of a phone's system to press."""

    button: PhoneButton


@dataclass(frozen=True)
class OpenApp:
    """An app to open, by its name."""

    name: str


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


ComputerAction: TypeAlias = Union[Click, MoveTo, DragTo, TypeText, PressKeys, Scroll, Wait, Done]
PhoneAction: TypeAlias = Union[
    Click, LongPress, Swipe, TypeText, PressKeys, SystemButton, OpenApp, Wait, Done
]
Action: TypeAlias = Union[ComputerAction, PhoneAction]
