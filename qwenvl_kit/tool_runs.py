"""The loop of a model that calls tools: ask, call, tell what came of it, until it answers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qwenvl_kit.document_parts import DocumentPart
from qwenvl_kit.errors import ToolError, ToolLimitError
from qwenvl_kit.messages import ImagePart, Message, Part, TextPart
from qwenvl_kit.results import Reply
from qwenvl_kit.tool_parts import ToolCall
from qwenvl_kit.tools.functions import Tool

_MAX_RESULT_CHARACTERS = 20_000
"""Of a result that is told to the model; what is beyond is cut off, and it is told that it is."""


@dataclass(frozen=True)
class MadeCall:
    """A call that was made.

    Attributes:
        call: what the model wanted.
        result: what was told to it.
        error: what the tool raised, or why it was not called; None if all went well.
        seconds: how long it took.
    """

    call: ToolCall
    result: tuple[Part, ...]
    error: Exception | None
    seconds: float


@dataclass(frozen=True)
class ToolRun:
    """A conversation in which tools were called.

    Attributes:
        reply: the last answer, in which none was called.
        messages: the whole conversation, the last answer included.
        calls: the calls, in their order.
    """

    reply: Reply
    messages: tuple[Message, ...]
    calls: tuple[MadeCall, ...]

    def __str__(self) -> str:
        return self.reply.text


class Asks(Protocol):
    """What a run needs of a chat: an answer to a conversation that offers tools."""

    def __call__(self, messages: Sequence[Message]) -> Reply:
        """See `VisionChat.ask`."""


def run_tools(
    ask: Asks, messages: Sequence[Message], tools: Sequence[Tool], max_rounds: int
) -> ToolRun:
    """Ask, and make the calls that the model wants, until it wants none.

    Raises:
        ToolLimitError: it still wants some after so many rounds; it has the `run` so far.
    """
    by_name = {tool.name: tool for tool in tools}
    said, made = tuple(messages), list[MadeCall]()
    for _ in range(max_rounds):
        reply = ask(said)
        said = (*said, _as_message(reply))
        if not reply.tool_calls:
            return ToolRun(reply, said, tuple(made))
        for call in reply.tool_calls:
            made.append(_make(call, by_name))
            said = (*said, Message("tool", made[-1].result))
    error = ToolLimitError(
        f"the model still calls tools after {max_rounds} rounds",
        hint="run_tools(max_rounds=...), or a tool that tells when it is done",
    )
    error.run = ToolRun(reply, said, tuple(made))
    raise error


def _as_message(reply: Reply) -> Message:
    said = (TextPart(reply.text),) if reply.text or not reply.tool_calls else ()
    return Message("assistant", (*said, *reply.tool_calls))


def _make(call: ToolCall, tools: Mapping[str, Tool]) -> MadeCall:
    """Make a call; whatever goes wrong is told to the model, which may do better."""
    started, error = time.perf_counter(), None
    try:
        if call.name not in tools:
            raise ToolError(
                f"there is no tool {call.name!r}", expected=f"one of {', '.join(tools)}"
            )
        result = _told(tools[call.name].call(call.arguments))
    except Exception as raised:
        error = raised
        result = (TextPart(_shortened(f"Error: {type(raised).__name__}: {raised}")),)
    return MadeCall(call, result, error, time.perf_counter() - started)


def _told(result: Any) -> tuple[Part, ...]:
    """What a function returned, as parts of a message; what JSON cannot hold is an error."""
    if isinstance(result, (list, tuple)) and any(map(_is_picture, result)):
        return tuple(part for item in result for part in _told(item))
    if isinstance(result, (TextPart, ImagePart, DocumentPart)):
        return (result,)
    if _is_picture(result):
        return (ImagePart(result),)
    if isinstance(result, str):
        return (TextPart(_shortened(result)),)
    from pydantic_core import to_json

    return (TextPart(_shortened(to_json(result).decode())),)


def _is_picture(value: Any) -> bool:
    is_pillow = type(value).__module__.startswith("PIL.")
    return isinstance(value, (ImagePart, DocumentPart)) or is_pillow


def _shortened(text: str) -> str:
    if len(text) <= _MAX_RESULT_CHARACTERS:
        return text
    return f"{text[:_MAX_RESULT_CHARACTERS]}\n[cut off: {len(text)} characters in all]"
