"""The task `recognize`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import AnswerError
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.places import Boxes
from qwenvl_kit.grounding.written_places import WrittenField, WrittenPlace
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.tasks.place_search import PlaceSearch, check_trained
from qwenvl_kit.tasks.prompts import Language
from qwenvl_kit.tasks.recognition.forms import Form, TypedForm, WordsForm
from qwenvl_kit.tasks.recognition.found import Recognitions, Recognized, Thing
from qwenvl_kit.tasks.recognition.rows import key_of

_MAX_TOKENS = 2048
"""Room for about forty entries of two names."""

_OF_PYDANTIC = re.compile(r" \[type=.*", re.DOTALL)
"""The end of an error of pydantic: its type, the input and a link."""

_Value = TypeVar("_Value")


@overload
def recognize(
    chat: VisionChat,
    image: Media,
    what: str,
    *,
    names: Sequence[str] | None = None,
    attributes: Sequence[str] = (),
    kind: None = None,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Recognitions[Thing]: ...


@overload
def recognize(
    chat: VisionChat,
    image: Media,
    what: type[_Value],
    *,
    names: None = None,
    attributes: Sequence[str] = (),
    kind: str | None = None,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Recognitions[_Value]: ...


@overload
def recognize(
    chat: VisionChat,
    image: Media,
    what: Mapping[str, Any],
    *,
    names: None = None,
    attributes: Sequence[str] = (),
    kind: str | None = None,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Recognitions[Any]: ...


def recognize(
    chat: VisionChat,
    image: Media,
    what: str | type[Any] | Mapping[str, Any],
    *,
    names: Sequence[str] | None = None,
    attributes: Sequence[str] = (),
    kind: str | None = None,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Recognitions[Any]:
    """Find everything of a kind in a picture: its place, its names and its attributes.

    The model writes JSON of the form that is asked for, where the backend can constrain it. Any
    other answer is read as far as it goes: an entry that does not fit costs itself alone, is told
    in `warnings`, and its box is kept in `misfits`.

    Example:
        for thing in recognize(chat, "table.jpg", "food", names=["zh", "en"]):
            print(thing.value.names, thing.box)

        @dataclass
        class Dish:
            name: str
            is_spicy: bool
        dishes = recognize(chat, "table.jpg", Dish, kind="dish")
        print([dish.value.name for dish in dishes if dish.value.is_spicy])

    Args:
        chat: the model to ask.
        image: the picture; if it is an `ImagePart` with a crop, only the crop is searched.
        what: the things in words, such as "food"; or the type of each: a dataclass, a TypedDict, a
            pydantic model, or a JSON schema as a dict.
        names: the languages of their names, by code or in words, such as ["zh", "en"]; None is the
            language of the prompt. A type has fields for names instead.
        attributes: further fields by name, such as ["colour"]. A type has fields for them instead.
        kind: the things in words, for a type; None takes the type's name.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{what}`, `{fields}` and `{form}` in it are replaced.
        sampling: the generation settings; None is greedy.
        budget: the `PixelBudget` of the picture, or a preset such as "quick".

    Returns:
        The values with their boxes, in the order of the answer; empty if nothing was found.

    Raises:
        UnsupportedFeatureError: the family writes boxes without further fields: Qwen2-VL.
        MessageError: an argument is empty or not known, or the document has several pages.
        SchemaError: the type is not supported, or has a field `bbox_2d`.
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    check_trained(chat, "attributes", "names and attributes of boxes", "locate, and then ask")
    form: Form[Any]
    if isinstance(what, str):
        form = WordsForm(what, names, attributes, kind, language)
    else:
        form = TypedForm(what, names, attributes, kind, language)
    search = PlaceSearch(
        chat,
        image,
        form.prompt(language, prompt),
        what=form.what,
        sampling=sampling,
        budget=budget,
        max_tokens=_MAX_TOKENS,
        constraint=Constraint.from_schema({"type": "array", "items": form.schema}),
    )
    return _Reading(search, form).recognitions()


class _Reading(Generic[_Value]):
    """The entries of an answer, one by one."""

    def __init__(self, search: PlaceSearch, form: Form[_Value]) -> None:
        self._search = search
        self._form = form
        self._told: list[str] = []
        self._gaps: dict[str, list[str]] = {}
        self._misfits: list[Box] = []
        self._things: list[Recognized[_Value]] = []

    def recognitions(self) -> Recognitions[_Value]:
        """All that was recognized."""
        for index, place in enumerate(self._different()):
            for box in self._search.mapper.boxes([place]):
                self._add(index, place, box)
        self._told += (f"{gap}: entry {', '.join(at)}" for gap, at in self._gaps.items())
        boxes = [thing.box for thing in self._things]
        found = self._search.result(Boxes, boxes, warnings=self._told)
        return Recognitions(
            self._things, boxes=found, misfits=self._misfits, warnings=found.warnings
        )

    def _different(self) -> list[WrittenPlace]:
        """The entries without exact repeats: models that find no end write them again and again.

        The cookbook `2d_grounding.ipynb` of Qwen3-VL names that as a limit.
        """
        places = self._search.flat
        kept = {key_of(place): place for place in reversed(places)}
        repeats = len(places) - len(kept)
        if repeats:
            self._told.append(f"exact repeats of another entry, left out: {repeats}")
        return list(reversed(kept.values()))

    def _add(self, index: int, place: WrittenPlace, box: Box) -> None:
        try:
            value, fields = self._form.read(place)
        except AnswerError as error:
            fault = _OF_PYDANTIC.sub("", error.problem)
            self._told.append(f"entry {index + 1} ({box.label}) does not fit: {fault}")
            self._misfits.append(box)
            return
        for gap in self._form.gaps(value):
            self._gaps.setdefault(gap, []).append(str(index + 1))
        sure = _confidence(self._search.reply, fields)
        self._things.append(Recognized(value, box, sure))


def _confidence(reply: Reply, fields: Mapping[str, WrittenField]) -> float | None:
    """The lowest of the probabilities of some fields; None without scores."""
    spans = [(each.start, each.stop) for each in fields.values() if each.stop > each.start]
    sure = [reply.probability_between(start, stop) for start, stop in spans]
    return min((share for share in sure if share is not None), default=None)
