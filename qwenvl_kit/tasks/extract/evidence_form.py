"""The form of an extraction with evidence: every value beside the place that it was read from."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.structured_output.json_schema import object_schema
from qwenvl_kit.structured_output.json_types import misfit
from qwenvl_kit.structured_output.partial_json import PartialJson, Path
from qwenvl_kit.structured_output.schema_prompt import describe_fields
from qwenvl_kit.structured_output.target import Target
from qwenvl_kit.tasks.extract.form import PROMPTS, answered_by, check_whole
from qwenvl_kit.tasks.prompts import chosen_prompt

EVIDENCE_PROMPTS = MappingProxyType(
    {
        ("bbox_2d", "en"): "Write each value as an object with two fields: value, and bbox_2d: "
        "the box around the words that it was read from, or null if it is written nowhere.",
        ("bbox_2d", "zh"): "每个值写成含两个字段的对象：value（值），bbox_2d（该值所在文字的"
        "检测框；若图中没有写出则为 null）。",
        ("page bbox_2d", "en"): "Write each value as an object with three fields: value; page: "
        "the number of the page that it was read from; and bbox_2d: the box around its words on "
        "that page. Page and box are null if it is written nowhere.",
        ("page bbox_2d", "zh"): "每个值写成含三个字段的对象：value（值），page（该值所在页的"
        "页码），bbox_2d（该页上该值所在文字的检测框）；若没有写出，则页码和检测框为 null。",
        ("page", "en"): "Write each value as an object with two fields: value, and page: the "
        "number of the page that it was read from, or null if it is written nowhere.",
        ("page", "zh"): "每个值写成含两个字段的对象：value（值），page（该值所在页的页码；"
        "若没有写出则为 null）。",
    }
)
"""The request for the evidence of each value, by its fields and the language. `bbox_2d` is the
name of boxes in Qwen's own notebooks (`ocr.ipynb` of Qwen2.5-VL and Qwen3-VL)."""

_VALUE, _PAGE, _BOX = "value", "page", "bbox_2d"
_FARTHEST = 10**9
_LITERAL = frozenset(("string", "number", "integer"))

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class WrittenValue:
    """A value of an answer, with its evidence as the model wrote it.

    Attributes:
        name: its place in the user's type, such as `items[0].name`.
        value: the value.
        text: the characters of the answer that stand for it.
        start, stop: their positions in the answer.
        page: the number of its page; None if the model gives none of those that were shown.
        numbers: the four numbers of its box in the family's units; None without a box.
        box_start, box_stop: the positions of these numbers; 0 without a box.
        is_literal: True if it is a text or a number that should be printed as it is: not one of a
            list of choices, and no yes or no.
        description: the description of its field; empty if there is none.
    """

    name: str
    value: Any
    text: str
    start: int
    stop: int
    page: int | None
    numbers: tuple[float, ...] | None
    box_start: int
    box_stop: int
    is_literal: bool
    description: str


@dataclass(frozen=True)
class ReadAnswer(Generic[_Value]):
    """A typed value, the values inside it with their evidence, and warnings about these."""

    value: _Value
    written: tuple[WrittenValue, ...]
    warnings: tuple[str, ...]


class EvidenceForm(Generic[_Value]):
    """The prompt, the constraint and the reading of answers for one type, with evidence.

    Args:
        wanted: the type; see `extract`.
        language: the language of the prompt.
        prompt: the caller's own prompt, if any; the request for evidence is added to it.
        pages: the numbers of the pages that are shown.
        has_boxes: True if the family writes boxes in JSON.
    """

    def __init__(
        self,
        wanted: type[_Value] | Mapping[str, Any],
        language: str,
        prompt: str | None,
        *,
        pages: Sequence[int],
        has_boxes: bool,
    ) -> None:
        self._target = Target(wanted)
        self._beside = beside = _fields_beside(dict.fromkeys(pages), has_boxes)
        plain = self._target.answer_schema
        asked = chosen_prompt(PROMPTS, language, prompt, fields=describe_fields(plain, language))
        form = EVIDENCE_PROMPTS[" ".join(beside), language] if beside else ""
        self.prompt = "\n".join(filter(None, (asked, form)))
        self.constraint = Constraint.from_schema(_folded(plain, beside))

    def read(self, reply: Reply) -> ReadAnswer[_Value]:
        """The value of an answer, with the evidence of each value inside.

        Raises:
            AnswerError: the answer was cut short, or is not of the type; it has the reply.
        """
        written = PartialJson(reply.text)
        with answered_by(reply):
            check_whole(written, reply)
            reading = _Reading(reply.text, written, self._target, self._beside)
            plain = reading.unfolded(written.value, self._target.answer_schema, (), "")
            value = self._target.value_of(json.dumps(plain))
        return ReadAnswer(value, tuple(reading.found), tuple(dict.fromkeys(reading.warnings)))


def _fields_beside(pages: Collection[int], has_boxes: bool) -> dict[str, Any]:
    """The schemas of the fields beside each value: its page if there are several, and its box."""
    fields: dict[str, Any] = {}
    if len(pages) > 1:
        fields[_PAGE] = {"enum": [*pages, None]}
    if has_boxes:
        number = {"type": "integer", "minimum": 0, "maximum": 99_999}
        box = {"type": "array", "items": number, "minItems": 4, "maxItems": 4}
        fields[_BOX] = {"anyOf": [box, {"type": "null"}]}
    return fields


def _folded(schema: Mapping[str, Any], beside: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with an object of value and evidence in the place of each value.

    A value is what holds no values whose types are known: a text, a number, one of several words,
    or an object of any form. What may be null or an object stays null where it is null.
    """
    if not beside:
        return dict(schema)
    if _is_leaf(schema):
        return object_schema({_VALUE: dict(schema), **beside})
    if schema.get("anyOf"):
        leaves = [part for part in schema["anyOf"] if _is_leaf(part)]
        others = [_folded(part, beside) for part in schema["anyOf"] if not _is_leaf(part)]
        nulls = [part for part in leaves if part.get("type") == "null"]
        if len(nulls) == len(leaves):
            return {**schema, "anyOf": [*others, *nulls]}
        return {**schema, "anyOf": [*others, _folded({"anyOf": leaves}, beside)]}
    made = {key: part for key, part in schema.items() if key != "default"}
    if isinstance(schema.get("properties"), Mapping):
        made["properties"] = {
            name: _folded(part, beside) for name, part in schema["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), Mapping):
            made[key] = _folded(schema[key], beside)
    if schema.get("prefixItems"):
        made["prefixItems"] = [_folded(part, beside) for part in schema["prefixItems"]]
    return made


def _is_leaf(schema: Mapping[str, Any]) -> bool:
    """True if a schema holds no other values of which the type is known."""
    if schema.get("anyOf"):
        return all(map(_is_leaf, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return True
    inside = ("properties", "items", "additionalProperties", "prefixItems")
    return not any(schema.get(key) and schema[key] is not True for key in inside)


def _is_literal(schema: Mapping[str, Any]) -> bool:
    """True if a value of the schema is a text or number of any content."""
    parts = schema.get("anyOf") or [schema]
    kinds = [part.get("type") for part in parts if part.get("type") != "null"]
    named = [name for kind in kinds for name in (kind if isinstance(kind, list) else [kind])]
    is_free = not any("enum" in part or "const" in part for part in parts)
    return is_free and bool(named) and set(named) <= {*_LITERAL, "null"}


class _Reading:
    """One answer, taken apart by the schema of the user's type.

    Attributes:
        found: the values with their evidence, in the order of the answer.
        warnings: messages about evidence that could not be read.
    """

    def __init__(
        self, text: str, written: PartialJson, target: Target[Any], beside: Mapping[str, Any]
    ) -> None:
        self._text = text
        self._target = target
        self._beside = beside
        self._pages = beside.get(_PAGE, {}).get("enum", ())
        self._spans = _spans_of(written)
        self.found: list[WrittenValue] = []
        self.warnings: list[str] = []

    def unfolded(self, value: Any, schema: Any, path: Path, about: str) -> Any:
        """The value without evidence, which is added to `found`."""
        schema = schema if isinstance(schema, Mapping) else {}
        about = str(schema.get("description", about))
        if _is_leaf(schema):
            return self._leaf(value, schema, path, about)
        if schema.get("anyOf"):
            return self.unfolded(value, self._alternative(value, schema["anyOf"]), path, about)
        if isinstance(value, dict):
            fields, others = schema.get("properties", {}), schema.get("additionalProperties")
            return {
                name: self.unfolded(part, fields.get(name, others), (*path, name), "")
                for name, part in value.items()
            }
        if isinstance(value, list):
            first = schema.get("prefixItems", ())
            return [
                self.unfolded(
                    part, first[at] if at < len(first) else schema.get("items"), (*path, at), about
                )
                for at, part in enumerate(value)
            ]
        return value

    def _alternative(self, value: Any, choices: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
        """The schema that a value follows, of several of which some hold others."""
        if value is None:
            return {"type": "null"}
        leaf = {"anyOf": [choice for choice in choices if _is_leaf(choice)]}
        others = [choice for choice in choices if not _is_leaf(choice)]
        if leaf["anyOf"] and not misfit(value, _folded(leaf, self._beside)):
            return leaf
        is_plain = bool(leaf["anyOf"]) and not isinstance(value, (dict, list))
        fitting = (choice for choice in others if not misfit(value, _folded(choice, self._beside)))
        return next(fitting, leaf if is_plain else others[0])

    def _leaf(self, value: Any, schema: Mapping[str, Any], path: Path, about: str) -> Any:
        """Return the value of an object with evidence, and keep both."""
        beside: Mapping[str, Any] = {}
        inside, plain = path, value
        if self._beside and _is_evidence(value, self._beside):
            beside, inside, plain = value, (*path, _VALUE), value[_VALUE]
        elif self._beside and value is not None:
            self._warn("a value without its evidence", path)
        start, stop = self._spans.get(inside, (0, 0))
        numbers = self._numbers(beside.get(_BOX), path)
        box_start, box_stop = self._spans.get((*path, _BOX), (0, 0)) if numbers else (0, 0)
        page = beside.get(_PAGE)
        self.found.append(
            WrittenValue(
                name=self._target.name_of(path),
                value=plain,
                text=self._text[start:stop],
                start=start,
                stop=stop,
                page=page if type(page) is int and page in self._pages else None,
                numbers=numbers,
                box_start=box_start,
                box_stop=box_stop,
                is_literal=_is_literal(schema),
                description=about,
            )
        )
        return plain

    def _numbers(self, written: Any, path: Path) -> tuple[float, ...] | None:
        if written is None:
            return None
        is_box = isinstance(written, list) and len(written) == 4
        if not is_box or not all(map(_is_coordinate, written)):
            self._warn("a box that is no list of four numbers", path)
            return None
        return tuple(map(float, written))

    def _warn(self, warning: str, path: Path) -> None:
        self.warnings.append(f"{self._target.name_of(path)}: {warning}")


def _is_coordinate(number: Any) -> bool:
    """True for a number that may be a coordinate: models also write hundreds of nines."""
    return type(number) in (int, float) and abs(number) < _FARTHEST


def _is_evidence(value: Any, beside: Mapping[str, Any]) -> bool:
    """True if a value is an object of a value and its evidence."""
    return isinstance(value, dict) and _VALUE in value and set(value) <= {_VALUE, *beside}


def _spans_of(written: PartialJson) -> dict[Path, tuple[int, int]]:
    """The first and the last position of each value, and of all values that hold others."""
    spans: dict[Path, tuple[int, int]] = {}
    for leaf in written.leaves:
        for depth in range(1, len(leaf.path) + 1):
            start, _ = spans.get(leaf.path[:depth], (leaf.start, 0))
            spans[leaf.path[:depth]] = (start, leaf.stop)
    return spans
