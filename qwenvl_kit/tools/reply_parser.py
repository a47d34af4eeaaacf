"""The parser of a reply: the thoughts, the tool calls and the answer in a model's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qwenvl_kit.errors import MessageError
from qwenvl_kit.messages.message import Message
from qwenvl_kit.messages.thinking import split_thoughts
from qwenvl_kit.messages.tool_parts import ToolCall, UnreadCall
from qwenvl_kit.prompts.tool_template import offered_tools
from qwenvl_kit.results import Reply
from qwenvl_kit.tools.call_parser import call_in_open_thoughts, described, parse_calls


def parse_reply(
    reply: Reply, messages: Sequence[Message], *, begins_in_thought: bool = False
) -> Reply:
    """Return the reply with its thoughts, and its tool calls if tools were offered, separated.

    Args:
        reply: the reply, with all of the model's output as its text.
        messages: the conversation that it answers.
        begins_in_thought: True if the output begins inside of thoughts.
    """
    thoughts = split_thoughts(reply.text, begins_inside=begins_in_thought)
    warnings = [*reply.warnings]
    if not thoughts.is_closed:
        warnings.append("the answer ended among the model's thoughts")
    text, calls, unread = thoughts.answer, list[ToolCall](), list[UnreadCall]()
    if tools := offered_tools(messages):
        if not thoughts.is_closed:
            unread += call_in_open_thoughts(thoughts.thinking or "", _schemas_of(tools))
            warnings += map(described, unread)
        schemas = _schemas_of(tools)
        written = parse_calls(text, schemas)
        warnings += written.warnings
        unread += written.unread
        if written.calls or any(call.is_marked for call in unread):
            text = written.text
        for call in written.calls:
            try:
                calls.append(ToolCall(call.name, call.arguments))
            except MessageError as error:  # NaN, or half of a surrogate pair
                warnings.append(str(error))
                unread.append(UnreadCall(f"{call.name!r}(...)", str(error)))
        strange = dict.fromkeys(call.name for call in calls if call.name not in schemas)
        warnings += (f"a call of {name!r}, which is no tool that was offered" for name in strange)
    if text == reply.text and not warnings:
        return reply
    raw_text = reply.text if reply.raw_text is None else reply.raw_text
    return replace(
        reply,
        text=text,
        raw_text=None if raw_text == text else raw_text,
        thinking=thoughts.thinking,
        tool_calls=tuple(calls),
        unread_calls=tuple(unread),
        warnings=tuple(warnings),
    )


def _schemas_of(tools: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The parameters of each tool; an empty schema if the offer has none."""
    schemas = {tool["function"]["name"]: tool["function"].get("parameters") for tool in tools}
    return {name: given if isinstance(given, Mapping) else {} for name, given in schemas.items()}
