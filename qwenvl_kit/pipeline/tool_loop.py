"""The tool loop: ask, make the calls, send their results, until the model answers.

A call that cannot be read is not made, and does not end the loop: the model is told why, and may
write it again. If a text may be a call or an answer, the model is asked once; if it writes the same
again, it is the answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from qwenvl_kit.errors import InputError, MessageError, ToolError, ToolLimitError
from qwenvl_kit.formats.dicts import as_messages
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart, Message, Part, TextPart
from qwenvl_kit.messages.order import is_continued
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.messages.tool_parts import ToolCall
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Reply
from qwenvl_kit.tools.functions import Tool, as_tools

_MAX_RESULT_CHARACTERS = 20_000
"""Characters of a result that the model gets; the rest is cut off, and the model is told."""


@dataclass(frozen=True)
class MadeCall:
    """A call that was made.

    Attributes:
        call: the call that the model wrote.
        result: the result that the model got.
        error: the error of the tool, or the reason why it was not called; None if there was none.
        seconds: the time of the call.
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
        warnings: the warnings of all its replies: calls that could not be read and were not made,
            and assumptions about others.
    """

    reply: Reply
    messages: tuple[Message, ...]
    calls: tuple[MadeCall, ...]
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.reply.text


class Asks(Protocol):
    """The part of a chat that a run needs."""

    def __call__(self, prompt: Request) -> Reply:
        """See `VisionChat.ask`."""


def run_tools(ask: Asks, request: Request, max_rounds: int) -> ToolRun:
    """Ask, make the calls of the answer, and ask again, until the answer has no calls.

    Args:
        ask: `VisionChat.ask`.
        request: the first request, with its tools.
        max_rounds: the most times that the model is asked.

    Raises:
        InputError: max_rounds is not a whole number above 0.
        MessageError: the last message is an answer that was begun.
        ToolError: a function cannot be a tool.
        ToolLimitError: the model still calls tools after so many rounds; the error has the `run`.
    """
    if type(max_rounds) is not int or max_rounds < 1:
        raise InputError(f"max_rounds={max_rounds!r} was given", expected="a whole number above 0")
    tools = as_tools(request.tools)
    said = as_messages(request.messages)
    if is_continued(said):
        raise MessageError(
            "the last message is an answer that was begun",
            expected="a user's message, which tools help to answer",
            hint="ask, which goes on with it",
        )
    if not tools:
        raise ToolError("no tools were given", expected="tools=[...], or a Request with tools")
    by_name = {tool.name: tool for tool in tools}
    made, warnings = list[MadeCall](), dict[str, None]()
    previous: Reply | None = None
    for rounds_left in reversed(range(max_rounds)):
        reply = ask(replace(request, messages=said, tools=tools))
        warnings |= dict.fromkeys(reply.warnings)
        said = (*said, as_message(reply))
        if _is_answer(reply, previous if rounds_left else reply):
            return ToolRun(reply, said, tuple(made), tuple(warnings))
        for call in reply.tool_calls:
            made.append(_make(call, by_name))
            said = (*said, Message("tool", made[-1].result))
        said = (*said, *_told_of_unread(reply))
        previous = reply
    raise _limit_error(max_rounds, ToolRun(reply, said, tuple(made), tuple(warnings)))


def as_message(reply: Reply) -> Message:
    """A reply as the assistant's message, so that the model sees in the next round what it did.

    The thoughts are part of it: some chat templates show them within a turn, the others leave them
    out. A call that could not be read stands there as it was written.
    """
    thought = (ThinkingPart(reply.thinking),) if reply.thinking else ()
    unread = (call.text for call in reply.unread_calls if call.is_marked)
    text = "\n".join(filter(None, (reply.text, *unread)))
    said = (TextPart(text),) if text or not (reply.tool_calls or thought) else ()
    return Message("assistant", (*thought, *said, *reply.tool_calls))


def _is_answer(reply: Reply, before: Reply | None) -> bool:
    """True if the reply calls nothing; a text that only looks like a call must be said twice."""
    if reply.tool_calls or any(call.is_marked for call in reply.unread_calls):
        return False
    return not reply.unread_calls or (before is not None and before.text == reply.text)


def _told_of_unread(reply: Reply) -> Iterator[Message]:
    """The messages that tell the model of calls that were not made."""
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
    """Make a call; the model gets an error as its result, and may correct the call."""
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
    """The return value of a function as parts of a message; it must have a form in JSON."""
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
