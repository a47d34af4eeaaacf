"""Tool calls in JSON: `{"name": ..., "arguments": {...}}`, as Qwen3-VL writes them.

Other models, and the dicts of OpenAI's API, use other words for the same: `parameters`,
`{"function": {...}}`, arguments as JSON in a string, a list of calls. These are read, too. A call
with an unknown key is not read: it must not run a tool with default arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from qwenvl_kit.tools.arguments import Parameters
from qwenvl_kit.tools.literals import UnreadError, read_literal, read_whole
from qwenvl_kit.tools.raw_calls import Block, WrittenCall

_BETWEEN = re.compile(r"[\s,;]*")
_SURPLUS = re.compile(r"[\s}\])]*")
_FENCE = re.compile(r"\s*```(?:json|python)?[ \t]*(?=\s)|\s*```")
_BESIDE = frozenset(("id", "call_id", "tool_call_id", "index"))
"""Keys that identify a call and do not change it."""

_ENDS = ("</tool_call>", "```")


def read_json_calls(text: str, at: int, schemas: Mapping[str, Mapping[str, Any]]) -> Block:
    """Read the calls that begin at a position, one after another or in a list.

    Raises:
        UnreadError: one of them cannot be read; then none of them must be made.
    """
    calls: list[WrittenCall] = []
    notes: dict[str, None] = {}
    at = _after(_FENCE, text, at)
    while text.startswith(("{", "["), at := _after(_BETWEEN, text, at)):
        if text.startswith("{{", at):  # some templates double the braces of their example
            notes["its first '{' opens nothing"] = None
            at += 1
        found = read_literal(text, at, _ENDS)
        for call in _calls_of(found.value, schemas, found.stop):
            calls.append(call)
            parameters = Parameters(schemas.get(call.name, {}))
            unknown = filter(parameters.is_unknown, call.arguments)
            notes |= dict.fromkeys(f"the tool has no parameter {name!r}" for name in unknown)
        notes |= dict.fromkeys(found.notes)
        at = _after(_SURPLUS, text, found.stop)
        if text[found.stop : at].strip():
            notes[f"{text[found.stop : at].strip()[:20]!r} closes nothing"] = None
    return Block(tuple(calls), _after(_FENCE, text, at), tuple(notes))


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return at if found is None else found.end()


def _calls_of(value: Any, schemas: Mapping[str, Any], at: int) -> Iterator[WrittenCall]:
    """The calls in one JSON value."""
    items = value if isinstance(value, list) else [value]
    if not items:
        raise UnreadError("it has no name", at)
    for item in items:
        try:
            yield _call_of(item, schemas)
        except UnreadError as error:
            raise UnreadError(str(error), at) from None


def _call_of(item: Any, schemas: Mapping[str, Any]) -> WrittenCall:
    given = _named(item)
    name = given.pop("name", None)
    if not isinstance(name, str) or not name:
        raise UnreadError("it has no name", 0)
    unknown = [key for key in given if key not in ("arguments", "parameters")]
    if unknown:
        raise UnreadError(
            f"it has {', '.join(map(repr, unknown))[:80]} in addition to name and arguments", 0
        )
    parameters = Parameters(schemas.get(name, {}))
    if not given and parameters.properties:
        raise UnreadError("it has no arguments", 0)
    if len(given) == 2 and given["arguments"] != given["parameters"]:
        raise UnreadError("it has both arguments and parameters", 0)
    arguments = _arguments_of(next(iter(given.values()), {}))
    return WrittenCall(name, {key: parameters.converted(key, arguments[key]) for key in arguments})


def _named(item: Any) -> dict[str, Any]:
    """The fields of a call, without the objects that it is wrapped in."""
    if not isinstance(item, Mapping):
        raise UnreadError("it is no object with a name and arguments", 0)
    given = {key: value for key, value in item.items() if key not in _BESIDE}
    if given.get("type") in ("function", "tool_call", "tool_use", None):
        given.pop("type", None)
    if given.keys() == {"function"} and isinstance(given["function"], Mapping):
        return _named(given["function"])
    empty = [key for key, value in given.items() if value is None and key != "arguments"]
    return {key: value for key, value in given.items() if key not in empty}


def _arguments_of(value: Any) -> Mapping[str, Any]:
    """The arguments as an object; None and an empty string stand for no arguments."""
    if isinstance(value, str) and value.strip():  # some write JSON inside JSON
        value = read_whole(value)
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        raise UnreadError("its arguments are no object", 0)
    return value
