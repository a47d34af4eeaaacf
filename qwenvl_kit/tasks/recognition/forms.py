"""The forms of answers in which things are recognized: in words, or of a caller's type."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from qwenvl_kit.errors import MessageError, SchemaError
from qwenvl_kit.grounding.boxes import Attributes
from qwenvl_kit.grounding.written_places import WrittenField, WrittenPlace
from qwenvl_kit.structured_output.json_schema import object_schema
from qwenvl_kit.structured_output.schema_prompt import describe_fields
from qwenvl_kit.structured_output.target import Target
from qwenvl_kit.tasks.prompts import Language, checked_words, chosen_prompt
from qwenvl_kit.tasks.recognition.found import Thing
from qwenvl_kit.tasks.recognition.names import checked_languages
from qwenvl_kit.tasks.recognition.rows import fields_named, plain_fields

PROMPTS = MappingProxyType(
    {
        ("words", "en"): "Identify {what} in the image and return their bounding box and {fields} "
        "in JSON format like this: {form}",
        ("words", "zh"): "识别图中的{what}，以JSON格式输出其bbox坐标和{fields}，形如：{form}",
        ("type", "en"): "Locate every instance that belongs to the following categories: "
        '"{what}". For each one, report bbox coordinates and these fields in JSON format like '
        "this: {form}\n{fields}",
        (
            "type",
            "zh",
        ): "定位图中每一个属于以下类别的实例：“{what}”。以JSON格式输出每个实例的bbox坐标"
        "和以下字段，形如：{form}\n{fields}",
    }
)
"""The prompts for things in words and for a type. Their beginnings are those of the cookbooks
`omni_recognition.ipynb` and `2d_grounding.ipynb` of Qwen3-VL, as is the form."""

_BOX = "bbox_2d"
_SIDE = MappingProxyType({"type": "integer", "minimum": 0, "maximum": 99_999})
_WORD_END = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")

_Value = TypeVar("_Value")


class Form(Protocol[_Value]):
    """The question about each thing, and the reading of an entry of the answer.

    Attributes:
        what: the things in words.
        schema: the JSON schema of an entry, with its box.
    """

    what: str
    schema: dict[str, Any]

    def prompt(self, language: Language, own: str | None) -> str:
        """Return the prompt to send; `own` is the caller's."""

    def read(self, place: WrittenPlace) -> tuple[_Value, Mapping[str, WrittenField]]:
        """Return the value of an entry, and the fields that it was read from.

        Raises:
            AnswerError: the entry does not fit.
        """

    def gaps(self, value: _Value) -> Iterator[str]:
        """Yield what a value lacks, in words."""


class WordsForm:
    """Things in words, with their names in some languages and attributes."""

    def __init__(
        self,
        what: str,
        names: Sequence[str] | None,
        attributes: Sequence[str],
        kind: str | None,
        language: Language,
    ) -> None:
        self.what = checked_words(what, "the things to find, in words", "what")
        if kind is not None:
            raise MessageError(
                f"kind={kind!r} was given", expected="None, as `what` is in words already"
            )
        self._languages = checked_languages([language] if names is None else names)
        self._attributes = _checked_names(attributes)
        fields = [*(each.field for each in self._languages), *self._attributes]
        self.schema = _with_box({name: {"type": "string"} for name in fields})

    def prompt(self, language: Language, own: str | None) -> str:
        """Return the prompt to send."""
        spoken = _listed([each.words(language) for each in self._languages], language)
        named = f"{spoken}名称" if language == "zh" else f"{spoken} name"
        fields = ("、" if language == "zh" else ", ").join([named, *self._attributes])
        return _asked("words", language, own, what=self.what, fields=fields, schema=self.schema)

    def read(self, place: WrittenPlace) -> tuple[Thing, Mapping[str, WrittenField]]:
        """Return the value of an entry, and the fields that it was read from."""
        values = plain_fields(place)
        found = {each.code: each.name_in(values) for each in self._languages}
        names = {code: name for code, name in found.items() if name}
        first = self._languages[0]
        if not names and len(self._languages) == 1 and place.label:
            names = {first.code: place.label}
        written = fields_named(
            place, [*(each.field for each in self._languages), *self._attributes]
        )
        given = {name: written[name].value for name in self._attributes if name in written}
        thing = Thing(
            names.get(first.code) or next(iter(names.values()), place.label or self.what),
            Attributes(names),
            Attributes(given),
        )
        return thing, written or place.fields

    def gaps(self, value: Thing) -> Iterator[str]:
        """Yield what a value lacks, in words."""
        for each in self._languages:
            if each.code not in value.names:
                yield f"no name in {each.words('en')}"
        yield from (f"no {name}" for name in self._attributes if name not in value.attributes)


class TypedForm:
    """Values of a caller's type."""

    def __init__(
        self,
        wanted: type[Any] | Mapping[str, Any],
        names: Sequence[str] | None,
        attributes: Sequence[str],
        kind: str | None,
        language: Language,
    ) -> None:
        if names is not None or attributes:
            raise MessageError(
                "names or attributes were given beside a type",
                expected="fields of the type, such as name_zh",
            )
        if wanted is None:
            raise SchemaError("what=None was given", expected="things in words, or a type")
        self._target: Target[Any] = Target(wanted)
        self._language = language
        words = " ".join(_WORD_END.sub(" ", self._target.name).split()).lower()
        self.what = checked_words(words if kind is None else kind, "the things in words", "kind")
        answer = self._target.answer_schema
        self._fields = list(answer.get("properties", {}))
        if not self._fields:
            raise SchemaError(
                f"{self._target.name} has no fields", expected="a dataclass, or its like"
            )
        if _BOX in self._fields:
            raise SchemaError(f"{self._target.name} has a field {_BOX}", hint="thing.box")
        self.schema = {
            **answer,
            "properties": {**_with_box({})["properties"], **answer.get("properties", {})},
            "required": [_BOX, *answer.get("required", ())],
        }
        self._lines = describe_fields(answer, language)

    def prompt(self, language: Language, own: str | None) -> str:
        """Return the prompt to send."""
        return _asked("type", language, own, what=self.what, fields=self._lines, schema=self.schema)

    def read(self, place: WrittenPlace) -> tuple[Any, Mapping[str, WrittenField]]:
        """Return the value of an entry, and the fields that it was read from."""
        written = fields_named(place, self._fields)
        values = {name: each.value for name, each in written.items()}
        return self._target.value_of(json.dumps(values)), written

    def gaps(self, value: Any) -> Iterator[str]:
        """Yield what a value lacks, in words: nothing, as it is of the type."""
        return iter(())


def _asked(
    kind: str,
    language: Language,
    own: str | None,
    *,
    what: str,
    fields: str,
    schema: Mapping[str, Any],
) -> str:
    wordings = {spoken: text for (asked, spoken), text in PROMPTS.items() if asked == kind}
    others = "".join(f', "{name}": ...' for name in schema["properties"] if name != _BOX)
    form = f'[{{"{_BOX}": [x1, y1, x2, y2]{others}}}]'
    return chosen_prompt(wordings, language, own, what=what, fields=fields, form=form)


def _with_box(fields: Mapping[str, Any]) -> dict[str, Any]:
    box = {"type": "array", "items": dict(_SIDE), "minItems": 4, "maxItems": 4}
    return object_schema({_BOX: box, **fields})


def _checked_names(given: Sequence[str]) -> tuple[str, ...]:
    names = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [None]
    if not all(isinstance(name, str) and name.strip() for name in names) or len(set(names)) < len(
        names
    ):
        raise MessageError(f"attributes={given!r} were given", expected="names that differ")
    return tuple(str(name).strip() for name in names)


def _listed(words: Sequence[str], language: Language) -> str:
    """Words with "and" before the last one."""
    mark, last = ("、", "和") if language == "zh" else (", ", " and ")
    return last.join([*([mark.join(words[:-1])] if words[1:] else []), words[-1]])
