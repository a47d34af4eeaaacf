"""Kinds of JSON values, as a schema names them."""

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
    """What a text stands for, by the rules of JSON: numbers that are finite, and no NaN.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is too deep.
    """
    return json.loads(text, parse_float=_finite, parse_constant=_finite)


def _finite(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"{written[:20]} is no number that JSON has")
    return number


def misfit(value: Any, schema: Any, where: str = "") -> str:
    """Where a value is not of the kind that a schema names, in words; empty if it is nowhere.

    Kinds, required fields and enums are compared; lengths, ranges and patterns are not.

    Args:
        value: what JSON holds.
        schema: without references.
        where: the place of the value.
    """
    if not isinstance(schema, Mapping):
        return ""
    kinds = schema.get("type", ())
    kinds = (kinds,) if isinstance(kinds, str) else kinds
    if kinds and not any(_KINDS[kind](value) for kind in kinds if kind in _KINDS):
        return f"{where or 'it'} is no {' or '.join(kinds)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where or 'it'} is none of those that may be"
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
