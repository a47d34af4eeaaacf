"""The tool `mobile_use`, with which Qwen2.5-VL, Qwen3-VL and Qwen3.5 were trained to use a phone.

Its description is the prompt of the cookbook `mobile_agent.ipynb` of Qwen3-VL (Apache-2.0), word
for word, as the models were trained on these words. The actions `key` and `open` are those that the
same cookbook has for Qwen2.5-VL: they are read and not offered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from qwenvl_kit.geometry import Size
from qwenvl_kit.messages.tool_parts import ToolOffer
from qwenvl_kit.tasks.computer_use.actions import (
    Click,
    Done,
    LongPress,
    OpenApp,
    PhoneButton,
    PressKeys,
    Swipe,
    SystemButton,
    TypeText,
    Wait,
)
from qwenvl_kit.tasks.computer_use.call_arguments import ActionKind, ActionNames, CallArguments

NAME = "mobile_use"

_BUTTONS = ("Back", "Home", "Menu", "Enter")
_NOT_OFFERED = ("key", "open")


def offer(display: Size) -> ToolOffer:
    """The offer of the tool, with the resolution that the model is told.

    Args:
        display: the units in which the model counts: 999 x 999 if it counts parts of the screen,
            otherwise the size at which it sees the screenshot.
    """
    offered = {name: kind for name, kind in _ACTIONS.items() if name not in _NOT_OFFERED}
    meanings = "\n".join(f"* `{name}`: {kind.meaning}" for name, kind in offered.items())
    place = (
        "(x, y): The x (pixels from the left edge) and y (pixels from the top edge) coordinates to "
        "move the mouse to. Required only by "
    )
    properties = {
        "action": {
            "description": f"The action to perform. The available actions are:\n{meanings}",
            "enum": list(offered),
            "type": "string",
        },
        "coordinate": {
            "description": f"{place}`action=click`, `action=long_press`, and `action=swipe`.",
            "type": "array",
        },
        "coordinate2": {"description": f"{place}`action=swipe`.", "type": "array"},
        "text": {
            "description": "Required only by `action=type` and `action=answer`.",
            "type": "string",
        },
        "time": {
            "description": "The seconds to wait. Required only by `action=long_press` and "
            "`action=wait`.",
            "type": "number",
        },
        "button": {
            "description": "Back means returning to the previous interface, Home means returning "
            "to the desktop, Menu means opening the application background menu, and Enter means "
            "pressing the enter. Required only by `action=system_button`",
            "enum": list(_BUTTONS),
            "type": "string",
        },
        "status": {
            "description": "The status of the task. Required only by `action=terminate`.",
            "type": "string",
            "enum": ["success", "failure"],
        },
    }
    function = {
        "name": NAME,
        "description": "Use a touchscreen to interact with a mobile device, and take screenshots.\n"
        "* This is an interface to a mobile device with touchscreen. You can perform actions like "
        "clicking, typing, swiping, etc.\n"
        "* Some applications may take time to start or process actions, so you may need to wait "
        "and take successive screenshots to see the results of your actions.\n"
        f"* The screen's resolution is {display.width_px}x{display.height_px}.\n"
        "* Make sure to click any buttons, links, icons, etc with the cursor tip in the center of "
        "the element. Don't click boxes on their edges unless asked.",
        "parameters": {"properties": properties, "required": ["action"], "type": "object"},
    }
    return ToolOffer((json.dumps({"type": "function", "function": function}),))


def _button(given: CallArguments) -> SystemButton:
    return SystemButton(cast(PhoneButton, given.choice("button", _BUTTONS)))


_ACTIONS: Mapping[str, ActionKind] = MappingProxyType(
    {
        "key": ActionKind(
            "Perform a key event on the mobile device.",
            lambda given: PressKeys((given.text("text"),)),
        ),
        "click": ActionKind(
            "Click the point on the screen with coordinate (x, y).",
            lambda given: Click(given.place()),
        ),
        "long_press": ActionKind(
            "Press the point on the screen with coordinate (x, y) for specified seconds.",
            lambda given: LongPress(given.place(), given.seconds()),
        ),
        "swipe": ActionKind(
            "Swipe from the starting point with coordinate (x, y) to the end point with "
            "coordinates2 (x2, y2).",
            lambda given: Swipe(*given.ends()),
        ),
        "type": ActionKind(
            "Input the specified text into the activated input box.",
            lambda given: TypeText(given.text("text")),
        ),
        "answer": ActionKind("Output the answer.", lambda given: Done(True, given.text("text"))),
        "system_button": ActionKind("Press the system button.", _button),
        "open": ActionKind("Open an app on the device.", lambda given: OpenApp(given.text("text"))),
        "wait": ActionKind(
            "Wait specified seconds for the change to happen.",
            lambda given: Wait(given.seconds()),
        ),
        "terminate": ActionKind(
            "Terminate the current task and report its completion status.",
            lambda given: Done(given.is_success()),
        ),
    }
)

_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "tap": "click",
        "left_click": "click",
        "longpress": "long_press",
        "scroll": "swipe",
        "drag": "swipe",
        "input_text": "type",
        "open_app": "open",
    }
)
"""The names of these actions in other tools for phones (AndroidWorld, Mobile-Agent, UI-TARS)."""

ACTIONS = ActionNames(NAME, _ACTIONS, _ALIASES)
