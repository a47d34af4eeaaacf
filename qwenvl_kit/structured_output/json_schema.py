"""JSON schemas: made from fields, or changed at every level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def without_keyword(schema: Any, keyword: str, kind: type) -> Any:
    """The schema without a keyword, at every level where its value has the given type.

    A field may have the same name as the keyword. Its value is then a schema, and stays.
    """
    if isinstance(schema, list):
        return [without_keyword(item, keyword, kind) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: without_keyword(value, keyword, kind)
        for key, value in schema.items()
        if not (key == keyword and isinstance(value, kind))
    }


def object_schema(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object that has exactly these fields."""
    return {
        "type": "object",
        "properties": dict(fields),
        "required": list(fields),
        "additionalProperties": False,
    }
