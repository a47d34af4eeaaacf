"""The loop of a model that calls tools: ask, call, tell what came of it, until it answers.

A call that is not understood is not made and does not end the loop: the model is told why, and may
write it again. What may be a call and may be an answer is told to it once; if it says the same
again, that is its answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qwenvl_kit.errors import ToolError, ToolLimitError
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart, Message, Part, TextPart
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.messages.tool_parts import ToolCall
from qwenvl_kit.results import Reply
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
        calls: the calls that were made, in their order.
        warnings: those of all its replies: calls that could not be read and were not made, and what
            was assumed of others.
    """

    reply: Reply
    messages: tuple[Message, ...]
    calls: tuple[MadeCall, ...]
    warnings: tuple[str, ...] = ()

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
    said, made, warnings = tuple(messages), list[MadeCall](), dict[str, None]()
    heard: Reply | None = None
    for rounds_left in reversed(range(max_rounds)):
        reply = ask(said)
        warnings |= dict.fromkeys(reply.warnings)
        said = (*said, as_message(reply))
        if _is_answer(reply, heard if rounds_left else reply):
            return ToolRun(reply, said, tuple(made), tuple(warnings))
        for call in reply.tool_calls:
            made.append(_make(call, by_name))
            said = (*said, Message("tool", made[-1].result))
        said = (*said, *_told_of_unread(reply))
        heard = reply
    raise _limit_error(max_rounds, ToolRun(reply, said, tuple(made), tuple(warnings)))


def as_message(reply: Reply) -> Message:
    """A reply as the assistant's message, by which a model that goes on knows what it did.

    Its thoughts are part of it: a chat template that shows them within a turn needs them, and one
    that does not leaves them out. A call that was not understood stands there as it was written.
    """
    thought = (ThinkingPart(reply.thinking),) if reply.thinking else ()
    unread = (call.text for call in reply.unread_calls if call.is_marked)
    text = "\n".join(filter(None, (reply.text, *unread)))
    said = (TextPart(text),) if text or not (reply.tool_calls or thought) else ()
    return Message("assistant", (*thought, *said, *reply.tool_calls))


def _is_answer(reply: Reply, before: Reply | None) -> bool:
    """Whether nothing is called; what only looks like a call is an answer if it is said twice."""
    if reply.tool_calls or any(call.is_marked for call in reply.unread_calls):
        return False
    return not reply.unread_calls or (before is not None and before.text == reply.text)


def _told_of_unread(reply: Reply) -> Iterator[Message]:
    """What the model is told of calls that were not made."""
    for call in reply.unread_calls:
        told = f"Error: this call was not understood and not made, as {call.reason}."
        if call.is_marked:
            told += " Write the whole call again, in the form that you were told."
        else:
            told += " If it is your answer, say it again; if it is a call, write it in that form."
        yield Message("tool", (TextPart(_shortened(told)),))


def _limit_error(max_rounds: int, run: ToolRun) -> ToolLimitError:
    unread = run.reply.unread_calls[:1]
    why = f", the last of them not understood, as {unread[0].reason}" if unread else ""
    error = ToolLimitError(
        f"the model still calls tools after {max_rounds} rounds{why}",
        hint="run_tools(max_rounds=...), or a tool that tells when it is done"
        + (", or Sampling(max_new_tokens=...) if its calls are cut off" if unread else ""),
    )
    error.run = run
    return error


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
