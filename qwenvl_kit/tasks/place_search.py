"""One request for places in one picture, and its answer: what all tasks of places share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import UnsupportedFeatureError
from qwenvl_kit.grounding.coordinates import PlaceMapper
from qwenvl_kit.grounding.place_parser import WrittenPlace, parse_places
from qwenvl_kit.grounding.places import Places
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.tasks.task_input import one_picture, one_plan

MAX_TOKENS = 1024
"""Room for about thirty boxes."""

UNCONSTRAINED = "the backend cannot constrain answers; the answer was read as it came"

_Places = TypeVar("_Places", bound=Places[Any])


def check_trained(chat: VisionChat, kind: str, what: str, hint: str) -> None:
    """Refuse a task whose answer would be noise.

    Args:
        chat: the model to ask.
        kind: the kind of place that the task needs.
        what: the places in words, for the error.
        hint: another thing to try.

    Raises:
        UnsupportedFeatureError: the family was not trained to write this kind of place.
    """
    family = chat.family
    if kind not in family.places:
        known = ", ".join(sorted(family.places))
        raise UnsupportedFeatureError(
            f"{what} were asked of a model of the family {family.model_type}, which was not "
            f"trained to write them",
            expected=f"one of what it writes ({known}), or a model of Qwen3-VL or Qwen3.5",
            hint=hint,
        )


class PlaceSearch:
    """A question about places in one picture, and its answer.

    Args:
        chat: the model to ask.
        image: the picture.
        text: the question.
        what: the label of places that have none.
        sampling: the generation settings; None is greedy.
        budget: the `PixelBudget` of the picture, or a preset.
        max_tokens: the length of the answer, if `sampling` is None.
        constraint: the form of the answer, for backends that can keep it; None leaves it free.

    Attributes:
        reply: the reply.
        plan: the plan of the picture.
        source: the source of the picture.
        written: the places as they are written in the answer.
        mapper: the map from their numbers to pixels of the upright original.
    """

    def __init__(
        self,
        chat: VisionChat,
        image: Media,
        text: str,
        *,
        what: str,
        sampling: Sampling | None,
        budget: BudgetChoice | None,
        max_tokens: int = MAX_TOKENS,
        constraint: Constraint | None = None,
    ) -> None:
        part = one_picture(chat.policy, image)
        chosen = Sampling(max_new_tokens=max_tokens) if sampling is None else sampling
        self._told: list[str] = []
        try:
            self.reply = chat.ask(text, part, sampling=chosen, budget=budget, constraint=constraint)
        except UnsupportedFeatureError:
            if constraint is None:
                raise
            self.reply = chat.ask(text, part, sampling=chosen, budget=budget)
            self._told.append(UNCONSTRAINED)
        self.source, self._policy = part.source, chat.policy
        self.plan = one_plan(self.reply)
        self.written = parse_places(self.reply.text)
        self.mapper = PlaceMapper(self.plan, chat.family, self.reply, what)

    @property
    def flat(self) -> Sequence[WrittenPlace]:
        """Boxes and points; outlines only if there are none.

        An outline next to a box shows the same thing.
        """
        return self.written.places or self.written.polygons

    def result(
        self,
        kind: type[_Places],
        places: Sequence[Any],
        *,
        warnings: Iterable[str] = (),
        **more: Any,
    ) -> _Places:
        """Return places in a collection of their kind, with all warnings.

        Args:
            kind: the class of the collection.
            places: the places that were found.
            warnings: messages of the task itself, besides those about the answer.
            more: further arguments of the class.
        """
        return kind(
            places,
            reply=self.reply,
            warnings=[*self._told, *self.written.warnings, *self._mapped(kind), *warnings],
            image_size=self.plan.original,
            source=self.source,
            policy=self._policy,
            **more,
        )

    def _mapped(self, kind: type[Places[Any]]) -> list[str]:
        """Messages about the places and about the end of the answer."""
        told = [*self.mapper.warnings]
        if kind.reads_flat and self.written.places and self.written.polygons:
            told.append("outlines in addition to boxes or points; `read_places` gives them")
        if kind.reads_flat and self.written.boxes_3d:
            told.append("a 3D box instead of a box in the picture was left out")
        reason = self.reply.finish_reason
        if reason != "stop":
            told.append(f"the answer ended early ({reason}); there may be more")
        return told
