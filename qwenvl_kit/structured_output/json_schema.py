"""JSON schemas, made of fields and changed in all of their parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def without_keyword(schema: Any, keyword: str, kind: type) -> Any:
    """The schema without a keyword, wherever its value is of that kind.

    A field may have the keyword's name: its value is then a schema.
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
    """An object with these fields, all of them and no others."""
    return {
        "type": "object",
        "properties": dict(fields),
        "required": list(fields),
        "additionalProperties": False,
    }
