"""The target of structured output: a type or a JSON schema, and the reading of its values."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

import typing_extensions

from qwenvl_kit.errors import AnswerError, SchemaError
from qwenvl_kit.structured_output.json_schema import object_schema, without_keyword
from qwenvl_kit.structured_output.json_types import misfit, read_json

_Value = TypeVar("_Value")

_KNOWN_KEYWORDS = frozenset(
    ("type", "properties", "required", "items", "enum", "const", "anyOf", "description", "title",
     "default", "additionalProperties", "minItems", "maxItems", "minLength", "maxLength",
     "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "pattern", "format",
     "prefixItems", "examples", "$defs", "$ref", "$schema", "$id")
)  # fmt: skip
"""The keywords of JSON schema (draft 2020-12) that a constraint enforces, or that change
nothing."""

_REFUSALS = (TypeError, NameError, AttributeError, IndexError, RecursionError)
"""The errors of pydantic for objects that are no types; IndexError is that for an empty text."""

_MAX_DEPTH = 16
_WRAPPER = "value"
"""The field of an answer that holds the value, if the type is no object."""


class Target(Generic[_Value]):
    """The type whose values are wanted, with its JSON schema; references are resolved.

    Args:
        wanted: a dataclass, a TypedDict, a pydantic model, any other type that pydantic supports,
            or a JSON schema as a dict.

    Raises:
        SchemaError: the type has no schema, is recursive, or has rules that cannot be enforced.
    """

    def __init__(self, wanted: type[_Value] | Mapping[str, Any]) -> None:
        self._adapter: Any = None
        if isinstance(wanted, Mapping):
            schema = dict(wanted)
            self.name = str(schema.get("title", "JSON"))
        else:
            self._adapter, schema = _adapter_of(wanted)
            self.name = getattr(wanted, "__name__", str(wanted))
        definitions = schema.get("$defs", {})
        if not isinstance(definitions, Mapping):
            raise SchemaError(f"$defs={definitions!r} was given", expected="an object")
        try:
            self.schema: dict[str, Any] = _inlined(schema, definitions, ())
        except RecursionError as error:
            raise SchemaError(
                "the schema is nested too deeply for Python", expected="a flatter schema"
            ) from error
        _check_keywords(self.schema, "")
        self._is_object = self.schema.get("type") == "object"

    @property
    def answer_schema(self) -> dict[str, Any]:
        """The schema of an answer: an object with all fields that may be null.

        An optional field that is missing could not be distinguished from one that was forgotten.
        """
        schema = self.schema if self._is_object else object_schema({_WRAPPER: self.schema})
        return cast("dict[str, Any]", _spelled_out(schema))

    def unwrapped(self, content: Any) -> Any:
        """The wanted value in an answer, or in the beginning of one."""
        if self._is_object:
            return content
        return content.get(_WRAPPER) if isinstance(content, dict) else None

    def name_of(self, path: tuple[str | int, ...]) -> str:
        """The name of a place in an answer, such as `items[0].name`; empty for the whole value."""
        inside = path if self._is_object else path[1:]
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in inside)
        return "".join(steps).removeprefix(".")

    def value_of(self, text: str) -> _Value:
        """The typed value of a complete answer.

        Raises:
            AnswerError: the answer is no JSON, or is not of the type.
        """
        try:
            written = read_json(text)
        except (ValueError, RecursionError) as error:
            raise AnswerError(
                f"the answer is no JSON ({error})", expected=f"a {self.name}"
            ) from error
        content = self.unwrapped(written)
        if self._adapter is None:
            if fault := misfit(written, self.answer_schema):
                raise AnswerError(f"the answer is no {self.name} ({fault})")
            return cast(_Value, content)
        try:
            return cast(_Value, self._adapter.validate_json(json.dumps(content)))
        except ValueError as error:  # pydantic's ValidationError is one
            raise AnswerError(
                f"the answer is no {self.name} ({_first_line(error)})",
                hint="a type whose rules are all in its JSON schema",
            ) from error


def _adapter_of(wanted: Any) -> tuple[Any, dict[str, Any]]:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    try:
        if inspect.isroutine(wanted):  # pydantic would describe its arguments
            raise TypeError("it is a function")
        adapter = TypeAdapter(_readable(wanted))
        # Values that come twice need no rule: a set drops them.
        return adapter, without_keyword(adapter.json_schema(), "uniqueItems", bool)
    except (PydanticUserError, *_REFUSALS) as error:
        raise SchemaError(
            f"{wanted!r} cannot be described ({_first_line(error)})",
            expected="a dataclass, TypedDict, pydantic model or JSON schema",
        ) from error


def _readable(wanted: Any) -> Any:
    """The type with every TypedDict of `typing` replaced by one of `typing_extensions`.

    Before Python 3.12, those of `typing` do not tell which keys are required, and pydantic refuses
    them.
    """
    if typing.is_typeddict(wanted):
        hints = typing_extensions.get_type_hints(wanted, include_extras=True)
        made = {
            name: _readable(hint)
            if name in wanted.__required_keys__
            else typing_extensions.NotRequired[_readable(hint)]
            for name, hint in hints.items()
        }
        return typing_extensions.TypedDict(wanted.__name__, made)  # type: ignore[operator]
    arguments = typing.get_args(wanted)
    if not arguments or not hasattr(wanted, "__origin__"):
        return wanted
    readable = tuple(map(_readable, arguments))
    return wanted if readable == arguments else wanted.__origin__[readable]


def _inlined(schema: Any, definitions: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
    """The schema with each reference replaced by its definition."""
    if isinstance(schema, list):
        return [_inlined(item, definitions, seen) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        if name not in definitions:
            raise SchemaError(
                f"the schema refers to {schema['$ref']!r}", expected="a definition in its $defs"
            )
        if name in seen:
            raise SchemaError(
                f"{name} contains itself, through {' and '.join(seen)}",
                expected="a type whose depth is known",
                hint="a list of flat entries with ids",
            )
        others = {key: value for key, value in schema.items() if key != "$ref"}
        found = _inlined(definitions[name], definitions, (*seen, name))
        return {**found, **_inlined(others, definitions, seen)}
    return {
        key: _inlined(value, definitions, seen) for key, value in schema.items() if key != "$defs"
    }


def _check_keywords(schema: Any, where: str, depth: int = 0) -> None:
    """Refuse keywords that cannot be enforced: an answer could break such a rule unnoticed."""
    if isinstance(schema, bool) or not isinstance(schema, Mapping):
        raise SchemaError(f"{schema!r} was given", expected="a JSON schema", where=where)
    if depth > _MAX_DEPTH:
        raise SchemaError(
            f"the schema has more than {_MAX_DEPTH} levels", expected="a flatter one", where=where
        )
    unknown = sorted(set(map(str, schema)) - _KNOWN_KEYWORDS)
    if unknown:
        raise SchemaError(
            f"the schema has keywords that cannot be enforced: {', '.join(unknown)}",
            expected=f"only keywords of {', '.join(sorted(_KNOWN_KEYWORDS))}",
            hint="check the value yourself, in the type's own validation",
            where=where,
        )
    _check_form(schema, where)
    for name, part in _parts_of(schema):
        _check_keywords(part, f"{where}.{name}" if where else name, depth + 1)


def _spelled_out(schema: Any) -> Any:
    """The schema with all nullable fields required, and other fields forbidden by default."""
    if isinstance(schema, list):
        return [_spelled_out(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {key: _spelled_out(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        fields = made["properties"]
        required = set(made.get("required", ()))
        made["required"] = [
            name for name, part in fields.items() if name in required or _may_be_null(part)
        ]
        made.setdefault("additionalProperties", False)
    return made


def _may_be_null(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return (
        kind == "null"
        or (isinstance(kind, list) and "null" in kind)
        or any(map(_may_be_null, schema.get("anyOf", ())))
    )


def _check_form(schema: Mapping[str, Any], where: str) -> None:
    """Refuse keywords whose values are not of the type that JSON schema requires."""
    forms: tuple[tuple[type, str, tuple[str, ...]], ...] = (
        (Mapping, "an object", ("properties",)),
        (list, "a list", ("anyOf", "prefixItems", "enum", "required")),
        (int, "a whole number", ("minItems", "maxItems", "minLength", "maxLength")),
    )
    for form, name, keywords in forms:
        for keyword in keywords:
            if keyword in schema and not isinstance(schema[keyword], form):
                raise SchemaError(
                    f"{keyword}={schema[keyword]!r} was given", expected=name, where=where
                )


def _parts_of(schema: Mapping[str, Any]) -> list[tuple[str, Any]]:
    parts = list(dict(schema.get("properties", {})).items())
    parts += [("[]", schema[key]) for key in ("items",) if key in schema]
    for key in ("anyOf", "prefixItems"):
        parts += [(f"{key}[{at}]", part) for at, part in enumerate(schema.get(key, ()))]
    more = schema.get("additionalProperties", False)
    if isinstance(more, Mapping):
        parts.append(("*", more))
    return parts


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
