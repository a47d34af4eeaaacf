"""Tools in a conversation: the tools that are offered, and the calls that the model makes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.errors import MessageError


@dataclass(frozen=True)
class ToolCall:
    """A tool call that the model makes: part of an assistant message.

    Attributes:
        name: name of the tool.
        arguments: its arguments by name, with values that JSON can hold.
        id: the id of the call on a server; None if it has none.

    Raises:
        MessageError: the name is not a string or is empty, or JSON cannot hold the arguments.
    """

    name: str
    arguments: Mapping[str, Any]
    id: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise MessageError(f"name={self.name!r} was given", expected="the name of a tool")
        if not isinstance(self.arguments, Mapping):
            raise MessageError(
                f"arguments of type {type(self.arguments).__name__} were given", expected="a dict"
            )
        try:
            said = (self.name, dict(self.arguments))
            json.dumps(said, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise MessageError(
                f"the arguments of {self.name!r} cannot be written as JSON ({error})",
                expected="strings, numbers, lists and dicts",
            ) from error

    def __hash__(self) -> int:
        return hash((self.name, json.dumps(dict(self.arguments), sort_keys=True), self.id))


@dataclass(frozen=True)
class UnreadCall:
    """A tool call, or something that looks like one, that cannot be parsed.

    Attributes:
        text: the text, as the model wrote it.
        reason: the fault that prevents parsing, in words.
        is_marked: True if it stands in the tags of a tool call; without them it may be an answer.
    """

    text: str
    reason: str
    is_marked: bool = True


@dataclass(frozen=True)
class ToolOffer:
    """The tools that the model may call: part of a system message.

    Attributes:
        tools: the description of each tool as JSON, in the form of OpenAI's API.

    Raises:
        MessageError: one of them is not a JSON object, or holds text that is not valid Unicode.
    """

    tools: tuple[str, ...]

    def __post_init__(self) -> None:
        for tool in self.tools:
            try:
                said = json.loads(tool)
                json.dumps(said, ensure_ascii=False).encode()
            except (TypeError, ValueError, RecursionError) as error:
                raise MessageError(
                    f"a tool cannot be read ({error})", expected="JSON, as json.dumps writes it"
                ) from error
            if not isinstance(said, dict):
                raise MessageError(
                    f"the JSON of a tool is a {type(said).__name__}",
                    expected='an object: {"type": "function", "function": {...}}',
                )
