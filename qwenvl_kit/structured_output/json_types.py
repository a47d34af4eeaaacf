"""The types of JSON values, by the names that a schema has for them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

_KINDS: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "object": lambda value: isinstance(value, dict),
        "array": lambda value: isinstance(value, list),
        "string": lambda value: isinstance(value, str),
        "boolean": lambda value: isinstance(value, bool),
        "null": lambda value: value is None,
        "number": lambda value: type(value) in (int, float),
        "integer": lambda value: type(value) is int or (type(value) is float and value % 1 == 0),
    }
)


def read_json(text: str) -> Any:
    """Parse a text by the strict rules of JSON: all numbers are finite, and there is no NaN.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(text, parse_float=_finite, parse_constant=_finite)


def _finite(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"{written[:20]} is no JSON number")
    return number


def misfit(value: Any, schema: Any, where: str = "") -> str:
    """Describe the first place where a value does not match a schema; empty if it matches.

    Types, required fields and enums are compared; lengths, ranges and patterns are not.

    Args:
        value: the JSON value.
        schema: the schema, without references.
        where: the place of the value, for the message.
    """
    if not isinstance(schema, Mapping):
        return ""
    kinds = schema.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    if kinds and not any(_KINDS[kind](value) for kind in kinds if kind in _KINDS):
        return f"{where or 'it'} is no {' or '.join(kinds)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where or 'it'} is not one of the allowed values"
    for name in schema.get("required", ()) if isinstance(value, dict) else ():
        if name not in value:
            return f"{where or 'it'} has no {name!r}"
    choices = schema.get("anyOf", ())
    found = [misfit(value, choice, where) for choice in choices]
    if found and all(found):
        return found[0]
    return next(filter(None, (misfit(*inside) for inside in _inside(value, schema, where))), "")


def _inside(value: Any, schema: Mapping[str, Any], where: str) -> list[tuple[Any, Any, str]]:
    """The values inside a value, each with its schema and place."""
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        return [(value[name], fields[name], f"{where}.{name}") for name in value if name in fields]
    if isinstance(value, list):
        items = schema.get("items")
        return [(item, items, f"{where}[{at}]") for at, item in enumerate(value)]
    return []
