"""The tool `computer_use`, with which the families were trained to work at a screen.

Names and meanings are those of the cookbooks of Qwen2.5-VL and Qwen3-VL (`computer_use.ipynb`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from qwenvl_kit.geometry import Size
from qwenvl_kit.messages.tool_parts import ToolOffer
from qwenvl_kit.tasks.computer_use.actions import (
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
from qwenvl_kit.tasks.computer_use.call_arguments import ActionKind, ActionNames, CallArguments

NAME = "computer_use"


def offer(display: Size) -> ToolOffer:
    """The offer of the tool, with the resolution that the model is told.

    Args:
        display: the units in which the model counts: 1000 x 1000 if it counts thousandths,
            otherwise the size at which it sees the screenshot.
    """
    meanings = "\n".join(f"* `{name}`: {kind.meaning}." for name, kind in ACTIONS.kinds.items())
    properties = {
        "action": {"type": "string", "enum": list(ACTIONS.kinds), "description": meanings},
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


def _click(meaning: str, button: MouseButton, times: int = 1) -> ActionKind:
    def read(given: CallArguments) -> Click:
        given.tell_unread("keys", "text")  # keys to hold, in other tools
        return Click(given.optional_place(), button, times)

    return ActionKind(meaning, read)


_ACTIONS: Mapping[str, ActionKind] = MappingProxyType(
    {
        "key": ActionKind(
            "press `keys` together, then let them go", lambda given: PressKeys(given.keys())
        ),
        "type": ActionKind(
            "type `text` where the cursor is", lambda given: TypeText(given.text("text"))
        ),
        "mouse_move": ActionKind(
            "move the pointer to `coordinate`", lambda given: MoveTo(given.place())
        ),
        "left_click": _click("click with the left button at `coordinate`", "left"),
        "left_click_drag": ActionKind(
            "drag with the left button from the pointer to `coordinate`",
            lambda given: DragTo(given.only_place()),
        ),
        "right_click": _click("click with the right button at `coordinate`", "right"),
        "middle_click": _click("click with the middle button at `coordinate`", "middle"),
        "double_click": _click("click twice with the left button at `coordinate`", "left", 2),
        "triple_click": _click("click three times with the left button at `coordinate`", "left", 3),
        "scroll": ActionKind(
            "turn the wheel by `pixels`: up above 0, down below",
            lambda given: Scroll(given.number("pixels"), False, given.optional_place()),
        ),
        "hscroll": ActionKind(
            "turn the wheel sideways by `pixels`: left above 0, right below",
            lambda given: Scroll(given.number("pixels"), True, given.optional_place()),
        ),
        "wait": ActionKind(
            "wait for `time` seconds until the screen has changed",
            lambda given: Wait(given.seconds()),
        ),
        "terminate": ActionKind(
            "end the task and say in `status` whether it succeeded",
            lambda given: Done(given.is_success()),
        ),
        "answer": ActionKind(
            "answer the question of the task with `text`",
            lambda given: Done(True, given.text("text")),
        ),
    }
)

_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "click": "left_click",
        "drag": "left_click_drag",
        "move": "mouse_move",
        "hotkey": "key",
        "press": "key",
    }
)
"""The names of these actions in other tools for screens (OSWorld, UI-TARS)."""

ACTIONS = ActionNames(NAME, _ACTIONS, _ALIASES)
