"""The calls of tools that an answer holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qwenvl_kit.errors import MessageError
from qwenvl_kit.messages import Message
from qwenvl_kit.results import Reply
from qwenvl_kit.tool_parts import ToolCall
from qwenvl_kit.tool_rendering import offered_tools
from qwenvl_kit.tools.parsing import parse_calls


def with_calls(reply: Reply, messages: Sequence[Message]) -> Reply:
    """The reply with the calls in its text, if the conversation offered tools."""
    tools = offered_tools(messages)
    if not tools:
        return reply
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
    written = parse_calls(reply.text, schemas)
    if not written.calls and not written.warnings:
        return reply
    calls, warnings = list[ToolCall](), [*reply.warnings, *written.warnings]
    for call in written.calls:
        try:
            calls.append(ToolCall(call.name, call.arguments))
        except MessageError as error:  # not a number, or half a character
            warnings.append(str(error))
    return replace(
        reply,
        text=written.text,
        raw_text=reply.text,
        tool_calls=tuple(calls),
        warnings=tuple(warnings),
    )
