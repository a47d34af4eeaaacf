"""Constraints: the form that an answer must have, so that a program can read it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from qwenvl_kit.errors import SchemaError

ConstraintKind: TypeAlias = Literal["json schema", "choice", "regex"]


@dataclass(frozen=True)
class Constraint:
    """The form that an answer must have; a backend that supports it generates nothing else.

    Make one with `from_schema`, `from_choices` or `from_regex`.

    Example:
        constraint = Constraint.from_choices(["red", "green", "blue"])
        chat.ask("Which colour is the car?", "car.jpg", constraint=constraint)

    Attributes:
        kind: the language of the form: "json schema", "choice" or "regex".
        text: a JSON schema, a JSON list of strings, or a regular expression.
        least: one of the shortest answers, if answers may become long. When only enough tokens for
            it are left, the answer is brought to its end. Empty if there is none.
    """

    kind: ConstraintKind
    text: str
    least: str = ""

    @classmethod
    def from_schema(cls, schema: Mapping[str, Any]) -> Constraint:
        """An answer that matches a JSON schema; one that grows too long is brought to its end.

        Raises:
            SchemaError: the schema is no dict, or cannot be written as JSON.
        """
        if not isinstance(schema, Mapping):
            raise SchemaError(f"schema={schema!r} was given", expected="a JSON schema as a dict")
        try:
            text = json.dumps(dict(schema), allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise SchemaError(
                f"the schema cannot be written as JSON ({error})", expected="a JSON schema"
            ) from error
        return cls("json schema", text, json.dumps(_least(schema)))

    @classmethod
    def from_choices(cls, choices: Iterable[str]) -> Constraint:
        """One of several texts.

        Raises:
            SchemaError: there are no choices, or one is empty, no text, or given twice.
        """
        texts = different_texts(choices, "choices")
        return cls("choice", json.dumps(texts, ensure_ascii=False))

    @classmethod
    def from_regex(cls, pattern: str) -> Constraint:
        """An answer that a regular expression matches as a whole.

        The expression uses the syntax of Rust's `regex` crate: no look-around, no back references.

        Raises:
            SchemaError: the pattern is empty or no text.
        """
        if not isinstance(pattern, str) or not pattern:
            raise SchemaError(f"pattern={pattern!r} was given", expected="a regular expression")
        return cls("regex", pattern)

    @property
    def only_answer(self) -> str | None:
        """The only answer that is allowed; None if there are several."""
        choices: list[str] = json.loads(self.text) if self.kind == "choice" else []
        return str(choices[0]) if len(choices) == 1 else None


def different_texts(given: Iterable[str], name: str) -> list[str]:
    """Check that texts can be answers, and differ.

    Args:
        given: the texts.
        name: the name of the argument that holds them, for messages.

    Raises:
        SchemaError: there are none, or one is empty, no text, or given twice.
    """
    is_list = isinstance(given, Iterable) and not isinstance(given, str)
    texts = list(given) if is_list else []
    if not texts:
        raise SchemaError(f"{name}={given!r} were given", expected="a list of texts")
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip() or not _is_whole(text):
            raise SchemaError(f"{text!r} was given", expected="a text", where=f"{name}[{index}]")
    if len(set(texts)) < len(texts):
        twice = next(text for text, count in Counter(texts).items() if count > 1)
        raise SchemaError(f"{twice!r} was given twice", expected="texts that differ")
    return texts


def _is_whole(text: str) -> bool:
    """True if a text holds no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeError:
        return False
    return True


def _least(schema: Any) -> Any:
    """One of the shortest values of a schema, with one item in each list."""
    if not isinstance(schema, Mapping):
        return ""
    for values in ([schema["const"]] if "const" in schema else None, schema.get("enum")):
        if values:
            return min(values, key=lambda value: len(json.dumps(value)))
    if schema.get("anyOf"):
        return max(map(_least, schema["anyOf"]), key=lambda value: len(json.dumps(value)))
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        return {name: _least(part) for name, part in dict(schema.get("properties", {})).items()}
    if kind == "array":
        return [_least(schema.get("items", {}))] * max(1, int(schema.get("minItems", 1)))
    return {"number": 0, "integer": 0, "boolean": False, "null": None}.get(
        str(kind), "x" * int(schema.get("minLength", 0))
    )


def check_constraint(constraint: object) -> None:
    """Raise an error if the argument is neither a `Constraint` nor None.

    Raises:
        SchemaError: it is something else.
    """
    if constraint is not None and not isinstance(constraint, Constraint):
        raise SchemaError(
            f"a constraint of type {type(constraint).__name__} was given",
            expected="a Constraint",
            hint="Constraint.from_schema, from_choices or from_regex",
        )
