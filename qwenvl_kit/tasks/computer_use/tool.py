"""The tool `computer_use`, with which the families were trained to work at a screen.

Names and meanings are those of the cookbooks of Qwen2.5-VL and Qwen3-VL (`computer_use.ipynb`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.errors import AnswerError
from qwenvl_kit.geometry import Point, Size
from qwenvl_kit.messages.tool_parts import ToolCall, ToolOffer
from qwenvl_kit.tasks.computer_use.actions import (
    Action,
    Click,
    Done,
    DragTo,
    MouseButton,
    MoveTo,
    PressKeys,
    Scroll,
    TypeText,
    Wait,
)

NAME = "computer_use"
MAX_WAIT_SECONDS = 60.0
"""The longest wait; a model that asks for more is likely to be wrong."""


def offer(display: Size) -> ToolOffer:
    """The offer of the tool, with the resolution that the model is told.

    Args:
        display: the units in which the model counts: 1000 x 1000 if it counts thousandths,
            otherwise the size at which it sees the screenshot.
    """
    meanings = "\n".join(f"* `{name}`: {kind.meaning}." for name, kind in _ACTIONS.items())
    properties = {
        "action": {"type": "string", "enum": list(_ACTIONS), "description": meanings},
        "keys": {"type": "array", "items": {"type": "string"}, "description": "For `key`."},
        "text": {"type": "string", "description": "For `type` and `answer`."},
        "coordinate": {
            "type": "array",
            "items": {"type": "number"},
            "description": "(x, y): from the left edge and from the top edge of the screen.",
        },
        "pixels": {"type": "number", "description": "For `scroll` and `hscroll`."},
        "time": {"type": "number", "description": "For `wait`, in seconds."},
        "status": {
            "type": "string",
            "enum": ["success", "failure"],
            "description": "For `terminate`.",
        },
    }
    function = {
        "name": NAME,
        "description": "Use the mouse and the keyboard of a computer.\n"
        f"* The screen's resolution is {display.width_px}x{display.height_px}.\n"
        "* Click on the middle of buttons, links and icons, not on their edges.\n"
        "* What was clicked may take time: if the screen has not changed, wait.",
        "parameters": {"type": "object", "properties": properties, "required": ["action"]},
    }
    tool = {"type": "function", "function": function}
    return ToolOffer((json.dumps(tool, ensure_ascii=False),))


def action_of(call: ToolCall, to_screenshot: Callable[[Sequence[float]], Point]) -> Action:
    """The action that a call of the tool stands for.

    Args:
        call: the call that the model wrote.
        to_screenshot: maps the numbers of a place from the model's units to pixels.

    Raises:
        AnswerError: the call is of another tool, or an argument is missing or of another type.
    """
    given = _Arguments(call, to_screenshot)
    name = given.text("action") if call.name == NAME else ""
    if name in _ACTIONS:
        return _ACTIONS[name].read(given)
    raise AnswerError(
        f"the model called {call.name}({json.dumps(dict(call.arguments), ensure_ascii=False)})",
        expected=f"{NAME} with an action of {', '.join(_ACTIONS)}",
    )


class _Arguments:
    """The arguments of one call, each checked for its type."""

    def __init__(self, call: ToolCall, to_screenshot: Callable[[Sequence[float]], Point]) -> None:
        self._given = call.arguments
        self._to_screenshot = to_screenshot

    def text(self, name: str) -> str:
        value = self._given.get(name)
        if not isinstance(value, str):
            raise self._bad(name, "a text")
        return value

    def number(self, name: str) -> float:
        return self._number(name, self._given.get(name))

    def keys(self) -> tuple[str, ...]:
        value = self._given.get("keys")
        keys = value.split("+") if isinstance(value, str) else value
        if not isinstance(keys, list) or not keys or not all(isinstance(k, str) for k in keys):
            raise self._bad("keys", "a list of names of keys")
        return tuple(keys)

    def optional_place(self) -> Point | None:
        return None if self._given.get("coordinate") is None else self.place()

    def place(self) -> Point:
        value = self._given.get("coordinate")
        if not isinstance(value, list) or len(value) not in (2, 4):
            raise self._bad("coordinate", "[x, y]")
        return self._to_screenshot([self._number("coordinate", number) for number in value])

    def _number(self, name: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._bad(name, "a number")
        if not abs(value) <= sys.float_info.max:
            raise self._bad(name, "a finite number")
        return float(value)

    def _bad(self, name: str, expected: str) -> AnswerError:
        return AnswerError(
            f"{self._given.get('action')} came with {name}={self._given.get(name)!r}",
            expected=expected,
        )


@dataclass(frozen=True)
class _Kind:
    """One action of the tool: its description for the model, and the reader of its calls."""

    meaning: str
    read: Callable[[_Arguments], Action]


def _click(meaning: str, button: MouseButton, times: int = 1) -> _Kind:
    return _Kind(meaning, lambda given: Click(given.optional_place(), button, times))


_ACTIONS: Mapping[str, _Kind] = MappingProxyType(
    {
        "key": _Kind(
            "press `keys` together, then let them go", lambda given: PressKeys(given.keys())
        ),
        "type": _Kind(
            "type `text` where the cursor is", lambda given: TypeText(given.text("text"))
        ),
        "mouse_move": _Kind(
            "move the pointer to `coordinate`", lambda given: MoveTo(given.place())
        ),
        "left_click": _click("click with the left button at `coordinate`", "left"),
        "left_click_drag": _Kind(
            "drag with the left button from the pointer to `coordinate`",
            lambda given: DragTo(given.place()),
        ),
        "right_click": _click("click with the right button at `coordinate`", "right"),
        "middle_click": _click("click with the middle button at `coordinate`", "middle"),
        "double_click": _click("click twice with the left button at `coordinate`", "left", 2),
        "triple_click": _click("click three times with the left button at `coordinate`", "left", 3),
        "scroll": _Kind(
            "turn the wheel by `pixels`: up above 0, down below",
            lambda given: Scroll(given.number("pixels"), False, given.optional_place()),
        ),
        "hscroll": _Kind(
            "turn the wheel sideways by `pixels`: left above 0, right below",
            lambda given: Scroll(given.number("pixels"), True, given.optional_place()),
        ),
        "wait": _Kind(
            "wait for `time` seconds until the screen has changed",
            lambda given: Wait(min(max(given.number("time"), 0.0), MAX_WAIT_SECONDS)),
        ),
        "terminate": _Kind(
            "end the task and say in `status` whether it succeeded",
            lambda given: Done(given.text("status") == "success"),
        ),
        "answer": _Kind(
            "answer the question of the task with `text`",
            lambda given: Done(True, given.text("text")),
        ),
    }
)
