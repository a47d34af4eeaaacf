"""The description of a JSON schema in words, as short as possible, for a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from qwenvl_kit.errors import MessageError


@dataclass(frozen=True)
class Wording:
    """The words of one language for the types of fields."""

    text: str
    number: str
    whole_number: str
    boolean: str
    objects: str
    one_object: str
    list_of: str
    one_of: str
    or_: str
    nothing: str
    separator: str


WORDINGS = MappingProxyType(
    {
        "en": Wording(
            "text", "number", "whole number", "true or false", "list of objects:", "object:",
            "list of {}", "one of {}", " or ", "null", ", ",
        ),
        "zh": Wording(
            "文本", "数字", "整数", "true 或 false", "对象列表：", "对象：",
            "{}列表", "{}之一", "或", "null", "、",
        ),
    }
)  # fmt: skip


def describe_fields(schema: Mapping[str, Any], language: str = "en") -> str:
    """Describe each field in one line: its name, its type, and its description.

    For a receipt with items:

        - total: number or null, with tax
        - items: list of objects:
          - name: text

    Raises:
        MessageError: the language is not supported.
    """
    if language not in tuple(WORDINGS):
        raise MessageError(
            f"language={language!r} was given",
            expected=f"one of {', '.join(map(repr, WORDINGS))}",
            hint="one of these, and prompt=... in the language that you want",
        )
    return "\n".join(_lines(schema, WORDINGS[language], ""))


def _lines(schema: Mapping[str, Any], words: Wording, indent: str) -> Iterator[str]:
    for name, part in dict(schema.get("properties", {})).items():
        kind, inner = _kind(part, words)
        description = part.get("description")
        about = f"{words.separator}{' '.join(str(description).split())}" if description else ""
        if inner is None:
            yield f"{indent}- {name}: {kind}{about}"
        else:
            yield f"{indent}- {name}: {kind}{about.removeprefix(words.separator)}"
            yield from _lines(inner, words, f"{indent}  ")


def _kind(schema: Mapping[str, Any], words: Wording) -> tuple[str, Mapping[str, Any] | None]:
    """The type of a field in words, and the object inside whose fields follow, if any."""
    kind = schema.get("type")
    several = schema.get("anyOf") or (
        [{**schema, "type": one} for one in kind] if isinstance(kind, list) else []
    )
    if several:
        kinds = [_kind(part, words) for part in several]
        inner = next((part for _, part in kinds if part is not None), None)
        return words.or_.join(dict.fromkeys(kind for kind, _ in kinds)), inner
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return words.one_of.format(words.separator.join(map(_shown, values))), None
    if kind == "array":
        item, inner = _kind(schema.get("items", {}), words)
        return (words.list_of.format(item) if inner is None else words.objects), inner
    if kind == "object":
        return words.one_object, schema
    plain = {
        "string": words.text,
        "number": words.number,
        "integer": words.whole_number,
        "boolean": words.boolean,
        "null": words.nothing,
    }
    return plain.get(str(kind), words.text), None


def _shown(value: object) -> str:
    return value if isinstance(value, str) else "null" if value is None else str(value)
