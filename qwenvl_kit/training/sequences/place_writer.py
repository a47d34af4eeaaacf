"""The writer of places: boxes, points and labels as texts, in the form of a model's family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qwenvl_kit.errors import TrainingDataError, located
from qwenvl_kit.families import Family
from qwenvl_kit.messages.message import Message, Part
from qwenvl_kit.plans import ImagePlan, VideoPlan
from qwenvl_kit.training.examples.places import LabelPart, PlacePart, UnwrittenPart


class PlaceWriter:
    """Writes the places of a conversation in the form of a family.

    Args:
        plans: the plans of its pictures and films, in their order.
        family: the model's family.
    """

    def __init__(self, plans: Sequence[ImagePlan | VideoPlan], family: Family) -> None:
        self._family = family
        self._images = [plan for plan in plans if isinstance(plan, ImagePlan)]

    def written(self, messages: Sequence[Message]) -> list[Message]:
        """The messages with texts in place of places.

        Raises:
            TrainingDataError: a place is of a picture that is not there, or lies outside of it.
        """
        return [self._message(index, message) for index, message in enumerate(messages)]

    def _message(self, index: int, message: Message) -> Message:
        if not has_places(message):
            return message
        parts: list[Part] = []
        for number, part in enumerate(message.parts):
            with located(f"messages[{index}].parts[{number}]"):
                parts += self._texts_of(part, is_prompt=message.role != "assistant")
        return replace(message, parts=tuple(parts))

    def _texts_of(self, part: Part, *, is_prompt: bool) -> Sequence[Part]:
        if isinstance(part, LabelPart):
            return part.written(self._family, trusted=is_prompt)
        if not isinstance(part, PlacePart):
            return (part,)
        if part.image_index >= len(self._images):
            raise TrainingDataError(
                f"the place {part.numbers} is of picture {part.image_index}, and "
                f"{len(self._images)} pictures stand before it",
                expected="the number of a picture that was shown, counted from 0",
            )
        return (part.written(self._images[part.image_index], self._family, trusted=is_prompt),)


def has_places(message: Message) -> bool:
    """True if a message has places, whose text depends on the family."""
    return any(isinstance(part, UnwrittenPart) for part in message.parts)
