"""Arguments that are written as plain text, read by the schema of their tool.

Qwen3.5 writes every argument without quotes: `12` may be a number or a string. Its chat template
writes the values of earlier calls by Python's `str`, so `None` stands for null.
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
"""Names of types that tools are described with, in addition to those of JSON schema."""

_KINDS = ("null", "boolean", "integer", "number", "string", "array", "object")
_MAX_DEPTH = 16
_MAX_ALTERNATIVES = 64


@dataclass(frozen=True)
class Parameters:
    """The parameters of one tool.

    Args:
        schema: their JSON schema; empty if the tool is not known.
    """

    schema: Mapping[str, Any]

    @property
    def properties(self) -> Mapping[str, Any]:
        """The schema of each parameter by its name."""
        found = self.schema.get("properties")
        return found if isinstance(found, Mapping) else {}

    def is_unknown(self, name: str) -> bool:
        """True if the tool lists its parameters, and this name is not among them."""
        others = self.schema.get("additionalProperties") or self.schema.get("patternProperties")
        return bool(self.schema) and name not in self.properties and not others

    def read(self, name: str, text: str) -> tuple[Any, bool]:
        """The value that a text stands for, and True if the schema allows it."""
        form = _form_of(self.properties.get(name), self.schema)
        for value in _readings(text, form):
            if form.takes(value):
                return value, True
        return text, False

    def converted(self, name: str, value: Any) -> Any:
        """The value of a JSON argument; a string is converted if the schema allows no string."""
        if not isinstance(value, str) or _form_of(self.properties.get(name), self.schema).has(
            "string"
        ):
            return value
        return self.read(name, value)[0]


@dataclass(frozen=True)
class _Form:
    """The values that a schema allows, without looking inside of lists and objects.

    Attributes:
        kinds: the allowed values of each JSON type; None allows all values of it.
    """

    kinds: Mapping[str, tuple[Any, ...] | None]

    def has(self, kind: str) -> bool:
        """True if any values of that type are allowed."""
        return kind in self.kinds

    def takes(self, value: Any) -> bool:
        """True if a value is allowed."""
        kind = _kind_of(value)
        listed = self.kinds.get(kind, ())
        return listed is None or value in listed

    def both(self, other: _Form) -> _Form:
        """The values that both forms allow."""
        kinds: dict[str, tuple[Any, ...] | None] = {}
        for kind in self.kinds.keys() & other.kinds.keys():
            mine, its = self.kinds[kind], other.kinds[kind]
            kinds[kind] = its if mine is None else mine if its is None else (*mine, *its)
        return _Form(kinds)

    def either(self, other: _Form) -> _Form:
        """The values that at least one of the forms allows."""
        kinds = {**self.kinds, **other.kinds}
        for kind in self.kinds.keys() & other.kinds.keys():
            mine, its = self.kinds[kind], other.kinds[kind]
            kinds[kind] = None if mine is None or its is None else (*mine, *its)
        return _Form(kinds)


_ANYTHING = _Form(dict.fromkeys(_KINDS))


def _readings(text: str, form: _Form) -> Iterator[Any]:
    """The values that a text may stand for, the most likely first."""
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
    """The form of a schema, with its references resolved; anything if it sets no limits."""
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return _ANYTHING
    form = reduce(_Form.both, _conditions(schema, root, depth + 1), _ANYTHING)
    if schema.get("nullable") is True:  # a keyword of OpenAPI
        form = form.either(_Form({"null": None}))
    return form if form.kinds and len(form.kinds) < len(_KINDS) else _ANYTHING


def _conditions(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Iterator[_Form]:
    """The forms of all keywords of a schema; a value must match each of them."""
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
    """The schema that a reference points to; None if it is not within the same schema."""
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
    """The form of the keyword `type`: one name, or a list of names."""
    names = [str(name).lower() for name in (given if isinstance(given, list) else [given])]
    kinds = {_SPELLINGS.get(name, name) for name in names}
    if not kinds <= set(_KINDS):
        return _ANYTHING
    return _Form(dict.fromkeys(kinds | ({"integer"} if "number" in kinds else set())))


def _kind_of(value: Any) -> str:
    """The JSON type of a value, the narrowest one."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "integer" if value % 1 == 0 else "number"
    kinds: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "")


def _literal(text: str) -> tuple[bool, Any]:
    """True and the value, if a text is a finite value in JSON or Python syntax."""
    try:
        value = read_whole(text)
    except UnreadError:
        return False, None
    return not isinstance(value, float) or value - value == 0, value
