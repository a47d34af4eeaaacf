"""Calls of tools in an answer, in whichever form a family writes them.

Qwen3-VL writes `{"name": ..., "arguments": {...}}` between `<tool_call>` and `</tool_call>`, and so
do models that are told to; Qwen3.5 writes
`<function=NAME><parameter=KEY>value</parameter></function>`
there. Sources: their chat templates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)
_FUNCTION = re.compile(r"\s*<function=([^>\s]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(
    r"<parameter=([^>\s]+)>\n?(.*?)\n?(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL
)


@dataclass(frozen=True)
class WrittenCall:
    """A call as it is written: the tool's name, and its arguments as JSON has them."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class WrittenCalls:
    """All calls of an answer, what it says beside them, and what could not be read, in words."""

    text: str
    calls: tuple[WrittenCall, ...]
    warnings: tuple[str, ...]


def parse_calls(text: str, schemas: Mapping[str, Mapping[str, Any]]) -> WrittenCalls:
    """The calls that an answer holds; never raises.

    Args:
        text: the answer.
        schemas: the parameters of each tool, as JSON schema; by them a value that is written as
            plain text is read as a number or an object where one is wanted.
    """
    calls: list[WrittenCall] = []
    warnings: list[str] = []
    for found in _CALL.finditer(text):
        for item in _calls_in(found[1], schemas):
            if isinstance(item, str):
                warnings.append(item)
            else:
                calls.append(item)
        if not found[0].endswith("</tool_call>"):
            warnings.append("a call is not closed")
    rest = _CALL.sub("", text).strip()
    return WrittenCalls(rest, tuple(calls), tuple(dict.fromkeys(warnings)))


def _calls_in(body: str, schemas: Mapping[str, Mapping[str, Any]]) -> Iterator[WrittenCall | str]:
    functions = list(_FUNCTION.finditer(body))
    if functions:
        for name, inside in (found.groups() for found in functions):
            properties = schemas.get(name, {}).get("properties", {})
            yield WrittenCall(
                name,
                {
                    key: _value(value, properties.get(key, {}))
                    for key, value in _PARAMETER.findall(inside)
                },
            )
        return
    try:
        content = json.loads(body, strict=False)
    except (ValueError, RecursionError):
        yield f"a call is no JSON: {body.strip()[:80]!r}"
        return
    arguments = content.get("arguments", {}) if isinstance(content, dict) else None
    if isinstance(arguments, str):  # some write JSON inside JSON
        try:
            arguments = json.loads(arguments, strict=False)
        except (ValueError, RecursionError):
            arguments = None
    if not isinstance(arguments, dict) or not isinstance(content.get("name"), str):
        yield f"a call has no name or no arguments: {body.strip()[:80]!r}"
        return
    yield WrittenCall(content["name"], arguments)


def _value(text: str, schema: Any) -> Any:
    """A value that is written as plain text: as it is where text is wanted, otherwise as JSON."""
    if isinstance(schema, Mapping) and _wants_text(schema):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _wants_text(schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    several = [kinds] if isinstance(kinds, str) else list(kinds or [])
    several += [part.get("type") for part in schema.get("anyOf", ()) if isinstance(part, Mapping)]
    return "string" in several and not {"object", "array"} & set(filter(None, several))
