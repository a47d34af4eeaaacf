"""Calls of tools in Qwen's form: of functions, of the zoom tool, of a screen."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import PIL.Image

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.messages.message import TextPart
from qwenvl_kit.messages.tool_parts import ToolOffer
from qwenvl_kit.prompts.tool_template import DEFAULT_SYSTEM, TOOLS
from qwenvl_kit.tasks import next_action
from qwenvl_kit.tasks.image_tools.offers import ZOOM, offer

from ..drawing.canvas import Canvas
from ..drawing.screens import Screen
from .answers import Question
from .places import PARTS, STEP, WHERE_TO_LOOK, grounded
from .tongue import Tongue


def _function(name: str, about: str, properties: Mapping[str, tuple[str, str]]) -> str:
    described = {
        key: {"type": kind, "description": text} for key, (kind, text) in properties.items()
    }
    parameters = {"type": "object", "properties": described, "required": list(properties)}
    function = {"name": name, "description": about, "parameters": parameters}
    return json.dumps({"type": "function", "function": function}, ensure_ascii=False)


FUNCTIONS: Mapping[str, str] = MappingProxyType(
    {
        "convert": _function(
            "convert",
            "Convert an amount in EUR.",
            {"amount": ("number", "in EUR."), "into": ("string", "a currency.")},
        ),
        "add_expense": _function(
            "add_expense",
            "Write down what was paid.",
            {"total": ("number", "the amount."), "date": ("string", "the day.")},
        ),
        "find_customer": _function(
            "find_customer", "Find a customer.", {"name": ("string", "the name of the customer.")}
        ),
        ZOOM: offer(["zoom"]).tools[0],
    }
)
"""Functions for documents, and the zoom tool of Qwen-Agent (`image_zoom_in_qwen3vl.py`)."""
CURRENCIES = {
    "USD": (
        "dollars", "美元"), "CNY": ("yuan", "人民币"), "JPY": ("yen", "日元"), "GBP": ("pounds",
        "英镑",
    ),
}  # fmt: skip
LOOK = MappingProxyType({"en": "Use tools to answer.", "zh": "使用工具来回答。"})
PARTS_SHOWN = MappingProxyType(
    {
        "en": "The first image is the whole picture. The others are parts of it, enlarged.\n"
        "{question}",
        "zh": "第一张图是完整的图片，其余是它的局部放大图。\n{question}",
    }
)
"""What `zoom_answer` asks with a picture and its part."""
ASKED = {
    "convert": {
        "en": ("What is the total in {what}?", "How much is the total in {what}?"),
        "zh": ("总计是多少{what}？", "合计是多少{what}？"),
    },
    "add_expense": {
        "en": ("Write this down.", "Add this expense."),
        "zh": ("请记下这笔支出。", "记一下这笔账。"),
    },
    "find_customer": {
        "en": ("Who is this customer?", "Find this customer."),
        "zh": ("查一下这位客户。", "这位客户是谁？"),
    },
}
CLICK = {
    "en": ("Click {}.", "Press {}.", "Click the button {}.", "Open {}.", "Go to {}."),
    "zh": ("点击{}。", "按{}。", "点击按钮{}。", "打开{}。"),
}
BUTTON = {"en": 'the button "{}"', "zh": "按钮“{}”"}


def offered(system: str, *functions: str) -> str:
    """The system message that offers functions."""
    return f"{system or DEFAULT_SYSTEM}\n\n{TOOLS.format(tools=chr(10).join(functions))}"


def call(name: str, arguments: Mapping[str, Any]) -> str:
    """A call as the model is to write it."""
    written = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"<tool_call>\n{written}\n</tool_call>"


def function_call(
    rng: random.Random, values: Mapping[str, str], tongue: Tongue
) -> tuple[str, str, str] | None:
    """A function of those that a document's values allow: its name, the question, the call."""
    possible = [
        name
        for name, needed in (
            ("convert", ("total",)),
            ("add_expense", ("total", "date")),
            ("find_customer", ("name",)),
        )
        if all(role in values for role in needed)
    ]
    if not possible:
        return None
    name = rng.choice(possible)
    question = rng.choice(ASKED[name][tongue.code])
    if name == "convert":
        currency = rng.choice(list(CURRENCIES))
        question = question.format(what=CURRENCIES[currency][tongue.code == "zh"])
        return name, question, call(name, {"amount": float(values["total"]), "into": currency})
    if name == "add_expense":
        arguments = {"total": float(values["total"]), "date": values["date"]}
        return name, question, call(name, arguments)
    return name, question, call(name, {"name": values["name"]})


@lru_cache(maxsize=64)
def asked_action(goal: str, earlier: tuple[str, ...], code: str) -> tuple[str, str]:
    """The system message and the words of the user that `next_action` sends.

    They are taken from the package itself, so that they are those of its version.
    """
    answer = call("computer_use", {"action": "left_click", "coordinate": [500, 500]})
    backend = ScriptedBackend([f"Action: Click.\n{answer}"], family="qwen2_vl")
    picture = PIL.Image.new("RGB", (280, 280))
    language: Any = code
    next_action(VisionChat(backend), picture, goal, earlier=list(earlier), language=language)
    system, user = backend.requests[0].messages
    text = "".join(part.text for part in system.parts if isinstance(part, TextPart))
    tools = [tool for part in system.parts if isinstance(part, ToolOffer) for tool in part.tools]
    shown = [json.dumps(json.loads(tool), ensure_ascii=False) for tool in tools]
    return offered(text, *shown), user.text


def every_text() -> list[str]:
    """What is asked, for the vocabulary."""
    said = [text for each in ASKED.values() for texts in each.values() for text in texts]
    said += [text for texts in (*CLICK.values(), *CURRENCIES.values()) for text in texts]
    for code in ("en", "zh"):
        said += [*asked_action("Click.", ("Click.",), code), BUTTON[code], LOOK[code]]
        said += [PARTS_SHOWN[code], WHERE_TO_LOOK[code]]
    return said


def screen_question(
    rng: random.Random, screen: Screen, canvas: Canvas, tongue: Tongue
) -> tuple[str, Question]:
    """The system message, and the next action at a screen: a click, or that all is done."""
    button = rng.choice(screen.buttons)
    goal = rng.choice(CLICK[tongue.code]).format(button.label)
    is_done = rng.random() < 0.2
    done = f"Click {button.label}." if tongue.code == "en" else f"点击{button.label}。"
    system, text = asked_action(goal, (done,) if is_done else (), tongue.code)
    if is_done:
        said = "The task is done." if tongue.code == "en" else "任务已完成。"
        answer = call("computer_use", {"action": "terminate", "status": "success"})
    else:
        said = done
        answer = call(
            "computer_use", {"action": "left_click", "coordinate": _middle(button.box, canvas)}
        )
    # The package asks for the action in words, too, or it does not.
    words = f"Action: {said}\n" if "Action:" in system else ""
    return system, Question("next_action", text, words + answer)


def _middle(box: Any, canvas: Canvas) -> list[int]:
    x, y = (box.left + box.right) / 2 / canvas.width, (box.top + box.bottom) / 2 / canvas.height
    return [min(max(round(at * PARTS / STEP), 0), PARTS // STEP) * STEP for at in (x, y)]


def button_questions(
    rng: random.Random, screen: Screen, canvas: Canvas, tongue: Tongue
) -> list[Question]:
    """Where buttons are, and what a screen says."""
    button = rng.choice(screen.buttons)
    what = BUTTON[tongue.code].format(button.label)
    question = tongue.ask(rng, "locate", what=what)
    text = "\n".join([screen.title, *(each.label for each in screen.buttons)])
    return [
        Question("locate_button", question, grounded(canvas, [(button.label, button.box)])),
        Question("read", tongue.ask(rng, "read"), text),
    ]
