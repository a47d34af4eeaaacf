"""What the schema of a tool says of an argument that is written as plain text.

Qwen3.5 writes every value of a call as it is, without quotes: `12` may be a number or a text, and
`None` stands for null, as its chat template writes the values of earlier calls by Python's `str`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from qwenvl_kit.tools.literals import UnreadError, read_whole

_SPELLINGS = {
    "str": "string", "text": "string", "int": "integer", "long": "integer", "float": "number",
    "double": "number", "bool": "boolean", "dict": "object", "list": "array", "none": "null",
}  # fmt: skip
"""Names of types that tools are described with, beside those of JSON schema."""

_KINDS = ("null", "boolean", "integer", "number", "string", "array", "object")
_MAX_DEPTH = 16
_MAX_ALTERNATIVES = 64


@dataclass(frozen=True)
class Parameters:
    """The parameters of one tool.

    Args:
        schema: their JSON schema; an empty one where the tool is not known.
    """

    schema: Mapping[str, Any]

    @property
    def properties(self) -> Mapping[str, Any]:
        """The schema of each by its name."""
        found = self.schema.get("properties")
        return found if isinstance(found, Mapping) else {}

    def is_unknown(self, name: str) -> bool:
        """Whether the tool says what it takes, and this is not among it."""
        others = self.schema.get("additionalProperties") or self.schema.get("patternProperties")
        return bool(self.schema) and name not in self.properties and not others

    def read(self, name: str, text: str) -> tuple[Any, bool]:
        """The value that a text stands for, and whether it is one that is wanted."""
        form = _form_of(self.properties.get(name), self.schema)
        for value in _readings(text, form):
            if form.takes(value):
                return value, True
        return text, False

    def respelt(self, name: str, value: Any) -> Any:
        """A value of JSON; a text where none is wanted becomes the value that it stands for."""
        if not isinstance(value, str) or _form_of(self.properties.get(name), self.schema).has(
            "string"
        ):
            return value
        return self.read(name, value)[0]


@dataclass(frozen=True)
class _Form:
    """What a schema allows, as far as a value shows it without looking inside.

    Attributes:
        kinds: the values that are allowed of each kind; None allows all of them.
    """

    kinds: Mapping[str, tuple[Any, ...] | None]

    def has(self, kind: str) -> bool:
        """Whether values of that kind are allowed at all."""
        return kind in self.kinds

    def takes(self, value: Any) -> bool:
        """Whether a value is allowed."""
        kind = _kind_of(value)
        listed = self.kinds.get(kind, ())
        return listed is None or value in listed

    def both(self, other: _Form) -> _Form:
        """What this form and another allow."""
        kinds: dict[str, tuple[Any, ...] | None] = {}
        for kind in self.kinds.keys() & other.kinds.keys():
            mine, its = self.kinds[kind], other.kinds[kind]
            kinds[kind] = its if mine is None else mine if its is None else (*mine, *its)
        return _Form(kinds)

    def either(self, other: _Form) -> _Form:
        """What this form or another allows."""
        kinds = {**self.kinds, **other.kinds}
        for kind in self.kinds.keys() & other.kinds.keys():
            mine, its = self.kinds[kind], other.kinds[kind]
            kinds[kind] = None if mine is None or its is None else (*mine, *its)
        return _Form(kinds)


_ANYTHING = _Form(dict.fromkeys(_KINDS))


def _readings(text: str, form: _Form) -> Iterator[Any]:
    """What a text may stand for, the likeliest first."""
    bare = text.strip()
    known, value = _literal(bare)
    if known and value is None and text not in (form.kinds.get("string") or ()):
        yield value
    if known and (isinstance(value, (dict, list)) or form is _ANYTHING):
        yield value
    yield text
    if bare.lower() in ("true", "false"):
        yield bare.lower() == "true"
    if known and isinstance(value, float) and value.is_integer() and not form.has("number"):
        yield int(value)
    if known:
        yield value
    if known and isinstance(value, str):  # JSON inside JSON
        yield from (inner for is_read, inner in [_literal(value)] if is_read)


def _form_of(schema: Any, root: Mapping[str, Any], depth: int = 0) -> _Form:
    """The form of a schema, with what it refers to; anything where it does not say."""
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return _ANYTHING
    form = reduce(_Form.both, _conditions(schema, root, depth + 1), _ANYTHING)
    if schema.get("nullable") is True:  # as OpenAPI has it
        form = form.either(_Form({"null": None}))
    return form if form.kinds and len(form.kinds) < len(_KINDS) else _ANYTHING


def _conditions(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Iterator[_Form]:
    """All that a schema says; each must hold."""
    if "$ref" in schema:
        yield _form_of(_referred(schema["$ref"], root), root, depth)
    if "const" in schema:
        yield _listed([schema["const"]])
    if isinstance(schema.get("enum"), list):
        yield _listed(schema["enum"])
    if "type" in schema:
        yield _named(schema["type"])
    for keyword, combine in (
        ("anyOf", _Form.either),
        ("oneOf", _Form.either),
        ("allOf", _Form.both),
    ):
        parts = schema.get(keyword)
        if isinstance(parts, list) and parts:
            forms = (_form_of(part, root, depth) for part in parts[:_MAX_ALTERNATIVES])
            yield reduce(combine, forms)


def _referred(reference: Any, root: Mapping[str, Any]) -> Any:
    """The schema that a reference within the same schema names; None if it names another."""
    start, *steps = str(reference).split("/")
    found: Any = root if start == "#" else None
    for step in steps:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _listed(values: Iterable[Any]) -> _Form:
    kinds: dict[str, tuple[Any, ...] | None] = {}
    for value in values:
        kinds[_kind_of(value)] = (*(kinds.get(_kind_of(value)) or ()), value)
    return _Form(kinds)


def _named(given: Any) -> _Form:
    """The form of the word `type`: a name, or a list of names."""
    names = [str(name).lower() for name in (given if isinstance(given, list) else [given])]
    kinds = {_SPELLINGS.get(name, name) for name in names}
    if not kinds <= set(_KINDS):
        return _ANYTHING
    return _Form(dict.fromkeys(kinds | ({"integer"} if "number" in kinds else set())))


def _kind_of(value: Any) -> str:
    """The type that JSON schema has for a value, the narrowest."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "integer" if value % 1 == 0 else "number"
    kinds: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "")


def _literal(text: str) -> tuple[bool, Any]:
    """Whether a text is a finite value of JSON or Python, and which."""
    try:
        value = read_whole(text)
    except UnreadError:
        return False, None
    return not isinstance(value, float) or value - value == 0, value
