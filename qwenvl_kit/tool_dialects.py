"""Calls of tools from and to the dicts of OpenAI's chat API, which Qwen's guides use as well."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from qwenvl_kit.errors import MessageError, located
from qwenvl_kit.messages import Message, SaidPart
from qwenvl_kit.tool_parts import ToolCall


def parse_tool_calls(value: Any) -> tuple[ToolCall, ...]:
    """The calls of an assistant's message.

    Raises:
        MessageError: they are of another form; says where.
    """
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise MessageError(
            f"tool_calls of type {type(value).__name__} were given", expected="a list of dicts"
        )
    calls = []
    for index, item in enumerate(value):
        with located(f"tool_calls[{index}]"):
            calls.append(_parse_call(item))
    return tuple(calls)


def _parse_call(item: Any) -> ToolCall:
    function = item.get("function", item) if isinstance(item, Mapping) else None
    if not isinstance(function, Mapping):
        raise MessageError(
            f"a {type(item).__name__} was given",
            expected='{"function": {"name": ..., "arguments": ...}}',
        )
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError) as error:
            raise MessageError(
                f"arguments that are no JSON were given ({error})", expected="a JSON object"
            ) from error
    call_id = item.get("id")
    return ToolCall(function.get("name"), arguments, None if call_id is None else str(call_id))  # type: ignore[arg-type]


def calls_to_dicts(message: Message, *, as_text: bool) -> dict[str, Any]:
    """The calls of a message as the `tool_calls` of its dict; empty if it has none.

    Args:
        message: any.
        as_text: whether arguments are JSON in a string, as OpenAI's API wants them, or a dict, as
            chat templates do.
    """
    calls = []
    for part in message.parts:
        if isinstance(part, ToolCall):
            arguments: Any = dict(part.arguments)
            if as_text:
                arguments = json.dumps(arguments, ensure_ascii=False)
            call = {
                "type": "function",
                "function": {"name": part.name, "arguments": arguments},
            }
            calls.append(call if part.id is None else {"id": part.id, **call})
    return {"tool_calls": calls} if calls else {}


def said_parts(message: Message) -> list[SaidPart]:
    """The parts of a message that stand in its dict's content."""
    said = get_args(SaidPart)
    return [part for part in message.parts if isinstance(part, said)]
