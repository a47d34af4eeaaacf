"""Tools in a conversation: what is offered, and what the model calls."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.errors import MessageError


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model wants called: part of an assistant's message.

    Attributes:
        name: of the tool.
        arguments: by name, as JSON has them.
        id: by which a server knows the call; None where there is none.

    Raises:
        MessageError: the name is no text, or the arguments are nothing that JSON can hold.
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
                f"the arguments of {self.name!r} are nothing that JSON can hold ({error})",
                expected="texts, numbers, lists and dicts",
            ) from error

    def __hash__(self) -> int:
        return hash((self.name, json.dumps(dict(self.arguments), sort_keys=True), self.id))


@dataclass(frozen=True)
class UnreadCall:
    """What was meant as a call of a tool, or may have been, and is not understood.

    Attributes:
        text: as the model wrote it.
        reason: what of it is not understood.
        is_marked: whether it stands in the tags of a call; what does not may be an answer.
    """

    text: str
    reason: str
    is_marked: bool = True


@dataclass(frozen=True)
class ToolOffer:
    """The tools that the model may call: part of a system message.

    Attributes:
        tools: each as JSON, in the form of OpenAI's API.

    Raises:
        MessageError: one of them is no object of JSON, or holds text that is no Unicode.
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
                    f"a tool is a {type(said).__name__} of JSON",
                    expected='an object: {"type": "function", "function": {...}}',
                )
