"""Texts of a picture as a list, each with its box if the family grounds in JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.coordinates import PlaceMapper
from qwenvl_kit.grounding.written_places import WrittenPlace
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.structured_output.json_schema import object_schema
from qwenvl_kit.structured_output.partial_json import PartialJson
from qwenvl_kit.tasks.task_input import one_picture, one_plan

_BOX = "bbox_2d"
"""The name of a box in the JSON of Qwen2.5-VL and later families (their cookbooks `ocr.ipynb`)."""

_MAX_TOKENS = 2048
"""Room for about fifty lines with their boxes."""


@dataclass(frozen=True)
class SpottedText:
    """One entry of a list of texts.

    Attributes:
        values: its fields, without the box; fields that the model left out are empty.
        box: its place, in pixels of the upright original; None if the family or the model does not
            give one.
        confidences: the confidence in the words of each field; None without scores.
    """

    values: Mapping[str, str]
    box: Box | None
    confidences: Mapping[str, float | None]


def spotted_texts_schema(chat: VisionChat, names: Sequence[str]) -> dict[str, Any]:
    """The JSON schema of a list of objects with these text fields.

    Each has a box, too, if the family writes boxes in JSON.
    """
    fields: dict[str, Any] = {}
    if chat.family.box_format == "json":
        number = {"type": "integer", "minimum": 0, "maximum": 99_999}
        fields[_BOX] = {"type": "array", "items": number, "minItems": 4, "maxItems": 4}
    fields |= {name: {"type": "string"} for name in names}
    return {"type": "array", "items": object_schema(fields)}


def spot_texts(
    chat: VisionChat,
    image: Media,
    question: str,
    schema: Mapping[str, Any],
    *,
    names: Sequence[str],
    at: tuple[str, ...] = (),
    sampling: Sampling | None,
    budget: BudgetChoice | None,
) -> SpottedTexts:
    """Ask for a list of texts, and read the answer."""
    reply = chat.ask(
        question,
        one_picture(chat.policy, image),
        sampling=sampling or Sampling(max_new_tokens=_MAX_TOKENS),
        budget=budget,
        constraint=Constraint.from_schema(schema),
    )
    return SpottedTexts(chat, reply, names, at)


class SpottedTexts:
    """A list of texts that was read from a reply, as far as the answer goes.

    Args:
        chat: the model that answered.
        reply: the answer about one picture.
        names: the text fields of each entry.
        at: the path of fields that leads to the list.
    """

    def __init__(
        self, chat: VisionChat, reply: Reply, names: Sequence[str], at: tuple[str, ...] = ()
    ) -> None:
        self.reply = reply
        self._names = names
        self._at = at
        self._written = PartialJson(reply.text)
        self._leaves = {leaf.path: leaf for leaf in self._written.leaves}
        self._mapper = PlaceMapper(one_plan(reply), chat.family, reply, "")
        self._unread = 0
        self.entries = tuple(self._entries())

    @property
    def warnings(self) -> tuple[str, ...]:
        """Messages about parts of the answer that could not be read."""
        found = [*self.reply.warnings, *self._mapper.warnings]
        if not self._written.is_whole:
            found.append(f"the answer ended early ({self.reply.finish_reason}); there may be more")
        if self._unread:
            found.append(f"{self._unread} boxes are no list of four numbers")
        return tuple(found)

    def _entries(self) -> Iterator[SpottedText]:
        found = self._written.value
        for name in self._at:
            found = found.get(name) if isinstance(found, dict) else None
        for index, item in enumerate(found if isinstance(found, list) else ()):
            if isinstance(item, dict) and any(item.get(name) for name in self._names):
                yield self._entry(item, (*self._at, index))

    def _entry(self, item: Mapping[str, Any], path: tuple[str | int, ...]) -> SpottedText:
        values = {name: str(item.get(name, "")) for name in self._names}
        sure = {name: self._confidence((*path, name)) for name in self._names}
        return SpottedText(values, self._box(item.get(_BOX), values, (*path, _BOX)), sure)

    def _confidence(self, path: tuple[str | int, ...]) -> float | None:
        leaf = self._leaves.get(path)
        return None if leaf is None else self.reply.confidence_between(leaf.start, leaf.stop)

    def _box(
        self, numbers: object, values: Mapping[str, str], path: tuple[str | int, ...]
    ) -> Box | None:
        leaves = [leaf for at in range(4) if (leaf := self._leaves.get((*path, at)))]
        if not isinstance(numbers, list) or not len(numbers) == len(leaves) == 4:
            self._unread += numbers is not None
            return None
        if not all(type(number) in (int, float) for number in numbers):
            self._unread += 1
            return None
        label = values[self._names[0]]
        place = WrittenPlace(label, tuple(numbers), leaves[0].start, leaves[-1].stop)
        return next(iter(self._mapper.boxes([place])), None)
