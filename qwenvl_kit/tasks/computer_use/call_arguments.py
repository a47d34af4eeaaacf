"""The arguments of one call of an action, each checked for its type."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.errors import AnswerError
from qwenvl_kit.geometry import Point
from qwenvl_kit.messages.tool_parts import ToolCall
from qwenvl_kit.tasks.computer_use.actions import Action

MAX_WAIT_SECONDS = 60.0
"""The longest wait; a model that asks for more is likely to be wrong."""

_ASSUMED_SECONDS = 1.0
"""The time of a pause or a long press whose call has none."""

_NUMBER = r"[-+]?\d{1,9}(?:\.\d{0,9})?"
_PLACE = re.compile(rf"\s*[\[(]?\s*({_NUMBER})\s*[,\s]\s*({_NUMBER})\s*[\])]?\s*")
_SUCCESS = frozenset({"success", "successful", "succeeded", "complete", "completed"})
_FAILURE = frozenset({"failure", "fail", "failed", "infeasible"})


class CallArguments:
    """Reads the arguments of a call, and notes what had to be assumed.

    Args:
        action: the name of the action, for errors.
        given: the arguments by name.
        to_screenshot: maps the numbers of a place from the model's units to pixels.
    """

    def __init__(
        self,
        action: str,
        given: Mapping[str, Any],
        to_screenshot: Callable[[Sequence[float]], Point],
    ) -> None:
        self._action = action
        self._given = given
        self._to_screenshot = to_screenshot
        self.warnings: list[str] = []

    def text(self, name: str) -> str:
        """An argument that is a text."""
        value = self._given.get(name)
        if not isinstance(value, str):
            raise self._bad(name, "a text")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """An argument that is one of a few words; their case does not matter."""
        said = self.text(name).strip().casefold()
        for choice in choices:
            if choice.casefold() == said:
                return choice
        raise self._bad(name, f"one of {', '.join(choices)}")

    def number(self, name: str) -> float:
        """An argument that is a number."""
        return self._number(name, self._given.get(name))

    def seconds(self) -> float:
        """The time of a pause or a long press, within what is sensible."""
        if self._given.get("time") is None:
            self.warnings.append(f"{self._action} came without time; 1 second is assumed")
            return _ASSUMED_SECONDS
        asked = self.number("time")
        seconds = min(max(asked, 0.0), MAX_WAIT_SECONDS)
        if seconds != asked:
            self.warnings.append(f"{self._action} for {asked:g} s is read as {seconds:g} s")
        return seconds

    def keys(self) -> tuple[str, ...]:
        """The names of keys, as a list or with "+" between them."""
        value = self._given.get("keys")
        if value is None and isinstance(self._given.get("text"), str):
            value = self._given["text"]
            self.warnings.append(f"{self._action} came with its keys as text")
        written = [value] if isinstance(value, str) else value
        if not isinstance(written, list) or not all(isinstance(key, str) for key in written):
            raise self._bad("keys", "a list of names of keys")
        keys = tuple(key for item in written for key in _split_keys(item))
        if not keys:
            raise self._bad("keys", "a list of names of keys")
        return keys

    def is_success(self) -> bool:
        """True if the status says that the goal was reached."""
        status = self.text("status").strip().casefold()
        if status not in _SUCCESS | _FAILURE:
            self.warnings.append(f"the status {status[:40]!r} is read as failure")
        return status in _SUCCESS

    def optional_place(self) -> Point | None:
        """A place, or None if the call has none."""
        return None if self._given.get("coordinate") is None else self.place()

    def place(self, name: str = "coordinate") -> Point:
        """A place, in pixels of the screenshot."""
        return self._to_screenshot(self._numbers(name))

    def only_place(self) -> Point:
        """The place of a call that has one; of two it is not clear where a movement begins."""
        expected = "one place, to which the pointer is dragged"
        if self._given.get("coordinate2") is not None:
            raise self._bad("coordinate2", expected)
        numbers = self._numbers("coordinate")
        if len(numbers) > 2:
            raise self._bad("coordinate", expected)
        return self._to_screenshot(numbers)

    def tell_unread(self, *names: str) -> None:
        """Warn of arguments that an action leaves out, such as keys that are held for a click."""
        for name in names:
            value = self._given.get(name)
            if value not in (None, "", []):
                self.warnings.append(f"{self._action} came with {name}={value!r:.60}; left out")

    def ends(self) -> tuple[Point, Point]:
        """The two ends of a movement, of which both may stand in the first argument."""
        numbers = self._numbers("coordinate")
        if self._given.get("coordinate2") is None and len(numbers) == 4:
            self.warnings.append(f"{self._action} came with both ends in coordinate")
            return self._to_screenshot(numbers[:2]), self._to_screenshot(numbers[2:])
        return self._to_screenshot(numbers), self.place("coordinate2")

    def _numbers(self, name: str) -> list[float]:
        value = self._given.get(name)
        if isinstance(value, str) and (found := _PLACE.fullmatch(value[:200])):
            self.warnings.append(f"{name} was written as text")
            value = [float(found[1]), float(found[2])]
        elif isinstance(value, dict) and {"x", "y"} <= set(value):
            self.warnings.append(f"{name} was written as an object")
            value = [value["x"], value["y"]]
        elif isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
            value = value[0]
        if not isinstance(value, list) or len(value) not in (2, 4):
            raise self._bad(name, "[x, y]")
        return [self._number(name, number) for number in value]

    def _number(self, name: str, value: object) -> float:
        if isinstance(value, str) and re.fullmatch(_NUMBER, value.strip()[:40]):
            self.warnings.append(f"a number of {name} was written as text")
            return float(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._bad(name, "a number")
        if not abs(value) <= sys.float_info.max:
            raise self._bad(name, "a finite number")
        return float(value)

    def _bad(self, name: str, expected: str) -> AnswerError:
        shown = repr(self._given.get(name))
        shown = shown if len(shown) <= 200 else f"{shown[:200]}..."
        return AnswerError(f"{self._action} came with {name}={shown}", expected=expected)


@dataclass(frozen=True)
class ActionKind:
    """One action of a tool.

    Attributes:
        meaning: its description for the model.
        read: reads the arguments of a call as the action.
    """

    meaning: str
    read: Callable[[CallArguments], Action]


@dataclass(frozen=True)
class ActionNames:
    """The actions of one tool, by the names that a model may write.

    Attributes:
        tool: the name of the tool.
        kinds: the actions.
        aliases: the names of other tools for the same actions.
    """

    tool: str
    kinds: Mapping[str, ActionKind]
    aliases: Mapping[str, str]

    def read(
        self, call: ToolCall, to_screenshot: Callable[[Sequence[float]], Point]
    ) -> tuple[Action, list[str]]:
        """Return the action that a call stands for, and warnings.

        Args:
            call: the call that the model wrote.
            to_screenshot: maps the numbers of a place from the model's units to pixels.

        Raises:
            AnswerError: the call is of another tool, or an argument is missing or of another type.
        """
        name, warnings = self._named(call)
        if name is None:
            arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
            shown = arguments if len(arguments) <= 500 else f"{arguments[:500]}..."
            raise AnswerError(
                f"the model called {call.name}({shown})",
                expected=f"{self.tool} with an action of {', '.join(self.kinds)}",
            )
        given = CallArguments(name, call.arguments, to_screenshot)
        action = self.kinds[name].read(given)
        return action, [*warnings, *given.warnings]

    def _named(self, call: ToolCall) -> tuple[str | None, list[str]]:
        """The action's own name, and a warning if the model wrote it in another way."""
        written = call.arguments.get("action")
        if call.name == self.tool and isinstance(written, str):
            name, warnings = written, list[str]()
        elif written is None and call.name != self.tool:
            name = call.name
            warnings = [f"the call names the action {name[:40]!r} in place of {self.tool}"]
        else:
            return None, []
        known = self.aliases.get(name.strip().casefold(), name.strip().casefold())
        if known not in self.kinds:
            return None, []
        if known != name:
            warnings.append(f"the action {name[:40]!r} is read as {known}")
        return known, warnings


def _split_keys(written: str) -> list[str]:
    """The keys of `ctrl+shift+t` or `ctrl++`; a plus sign alone is a key, and so is a blank."""
    if written == " " or written.endswith("+ "):
        return [*_split_keys(written[:-1].rstrip("+")), "space"]
    text = written.strip()
    is_plus = text == "+" or text.endswith("++")
    keys = [key.strip() for key in text.split("+")]
    return [key for key in keys if key] + ["+"] * is_plus
