"""Tool calls from and to the dicts of OpenAI's chat API, which Qwen's guides use as well."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from qwenvl_kit.errors import MessageError, located
from qwenvl_kit.formats.keys import check_keys
from qwenvl_kit.messages.message import Message, SaidPart
from qwenvl_kit.messages.tool_parts import ToolCall

_ARGUMENTS = ("arguments", "args", "parameters", "input")
"""The names of the arguments in OpenAI's API, LangChain, some templates and Anthropic's API."""

_BESIDE = ("call_id", "cache_control", "extra_content", "id", "index", "status", "type")
"""Keys of a call that do not change it."""


def parse_tool_calls(value: Any) -> tuple[ToolCall, ...]:
    """The calls in an assistant's message.

    Raises:
        MessageError: they have another form, or an unknown key; the error says where.
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
    is_wrapped = isinstance(item, Mapping) and "function" in item
    function = item["function"] if is_wrapped else item
    if not isinstance(function, Mapping):
        raise MessageError(
            f"a {type(function).__name__} was given",
            expected='{"function": {"name": ..., "arguments": ...}}',
        )
    if is_wrapped:
        check_keys(item, required=("function",), optional=_BESIDE)
    check_keys(function, required=("name",), optional=(*_ARGUMENTS, *_BESIDE))
    return ToolCall(function["name"], _arguments_of(function), _id_of({**function, **item}))


def _arguments_of(function: Mapping[str, Any]) -> Any:
    """The arguments under any of their names; an empty dict if there are none."""
    given = {key: _read_arguments(function[key]) for key in _ARGUMENTS if key in function}
    filled = {key: value for key, value in given.items() if value != {}}
    first: Any = next(iter(filled.values()), {})
    if any(value != first for value in filled.values()):
        raise MessageError(f"{' and '.join(filled)} were given", expected="one of them")
    return first


def _read_arguments(arguments: Any) -> Any:
    """The arguments of a call; None, an empty string and the word `null` stand for none."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments.strip() or "{}")
        except (ValueError, RecursionError) as error:
            raise MessageError(
                f"arguments that are no JSON were given ({error})", expected="a JSON object"
            ) from error
    return {} if arguments is None else arguments


def _id_of(item: Mapping[str, Any]) -> str | None:
    """The id by which a result names its call; `call_id` in OpenAI's Responses API."""
    found = item["id"] if item.get("call_id") is None and "id" in item else item.get("call_id")
    return None if found is None else str(found)


def calls_to_dicts(message: Message, *, as_text: bool) -> dict[str, Any]:
    """The calls of a message as the `tool_calls` of its dict; empty if it has none.

    Args:
        message: any message.
        as_text: True to write the arguments as a JSON string, as OpenAI's API requires; False for a
            dict, as chat templates require.
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
    """The parts of a message that belong into the content of its dict."""
    said = get_args(SaidPart)
    return [part for part in message.parts if isinstance(part, said)]
