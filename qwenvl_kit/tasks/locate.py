"""Find things in a picture: their boxes, or points on them, in the picture's own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.grounding.boxes import Boxes, Marks
from qwenvl_kit.grounding.coordinates import PlaceMapper
from qwenvl_kit.grounding.parsing import WrittenPlace, parse_places
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.prompts import Language, checked_words, chosen_prompt
from qwenvl_kit.tasks.task_input import one_picture, one_plan

BOX_PROMPTS = MappingProxyType(
    {
        ("box tokens", "en"): "Find {what} in this image with grounding.",
        ("box tokens", "zh"): "框出图中{what}的位置。",
        (
            "json",
            "en",
        ): "Locate {what} in this image and output the bbox coordinates in JSON format.",
        ("json", "zh"): "定位图中的{what}，以JSON格式输出其bbox坐标。",
    }
)
"""By the form in which a family answers, and by language: its training's words, as far as they are
published (cookbooks of Qwen2.5-VL and Qwen3-VL; QwenLM/Qwen3-VL issue 342 for Qwen2-VL)."""

POINT_PROMPTS = MappingProxyType(
    {
        "en": "Locate {what} in this image with points, and output their coordinates in JSON "
        'format, like {"point_2d": [x, y], "label": "..."}.',
        "zh": "用点定位图中的{what}，以JSON格式输出其坐标，形如"
        '{"point_2d": [x, y], "label": "..."}。',
    }
)

_EXPECTED = "what to find, in words"
_MAX_TOKENS = 1024
"""Some thirty boxes."""

_Places = TypeVar("_Places", Boxes, Marks)


def locate(
    chat: VisionChat,
    image: Media,
    what: str,
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Boxes:
    """Boxes around things in a picture.

    They are in pixels of the picture as a viewer shows it, upright, from its upper left corner,
    whatever was resized, padded or cut for the model. What an answer holds beside sound boxes
    becomes a warning: one that is malformed, cut off, or reaches beyond the picture.

    Args:
        chat: who answers.
        image: the picture; an `ImagePart` with a crop is searched there alone.
        what: what to find, such as "the red circle" or "all cups".
        language: of the prompt.
        prompt: how to ask instead; `{what}` stands for what to find.
        sampling: how to generate; None is greedy.
        budget: what the picture may cost; small things want a larger one.

    Returns:
        The boxes, in the model's order; none if it found nothing.

    Raises:
        MessageError: nothing to find was named, the language is not known, or a document of
            several pages was given.
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    wordings = {
        lang: text for (form, lang), text in BOX_PROMPTS.items() if form == chat.family.box_format
    }
    text = chosen_prompt(wordings, language, prompt, what=checked_words(what, _EXPECTED, "what"))
    return _Search(chat, image, text, what=what, sampling=sampling, budget=budget).boxes()


def point_at(
    chat: VisionChat,
    image: Media,
    what: str,
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Marks:
    """Points on things in a picture; arguments, pixels and errors are those of `locate`.

    A box in the answer counts as its middle, as some families answer with boxes.
    """
    text = chosen_prompt(
        POINT_PROMPTS, language, prompt, what=checked_words(what, _EXPECTED, "what")
    )
    return _Search(chat, image, text, what=what, sampling=sampling, budget=budget).marks()


class _Search:
    """One answer about places in one picture."""

    def __init__(
        self,
        chat: VisionChat,
        image: Media,
        text: str,
        *,
        what: str,
        sampling: Sampling | None,
        budget: BudgetChoice | None,
    ) -> None:
        part = one_picture(chat.policy, image)
        chosen = Sampling(max_new_tokens=_MAX_TOKENS) if sampling is None else sampling
        self._reply = chat.ask(text, part, sampling=chosen, budget=budget)
        self._source, self._policy = part.source, chat.policy
        self._plan = one_plan(self._reply)
        self._written = parse_places(self._reply.text)
        self._mapper = PlaceMapper(self._plan, chat.family, self._reply, what)

    @property
    def _flat(self) -> Sequence[WrittenPlace]:
        """Boxes and points; outlines where there are none, as one beside a box is of the same."""
        return self._written.places or self._written.polygons

    def boxes(self) -> Boxes:
        """What was found, as boxes."""
        return self._told(Boxes, self._mapper.boxes(self._flat))

    def marks(self) -> Marks:
        """What was found, as points."""
        return self._told(Marks, self._mapper.marks(self._flat))

    def _told(self, kind: type[_Places], places: Sequence[Any]) -> _Places:
        warnings = [*self._written.warnings, *self._mapper.warnings]
        if self._written.places and self._written.polygons:
            warnings.append("outlines beside the boxes or points; `read_places` gives them")
        if self._written.boxes_3d:
            warnings.append("a box in space where one in the picture was asked for; it is left out")
        reason = self._reply.finish_reason
        if reason != "stop":
            warnings.append(f"the answer ended early ({reason}); there may be more")
        return kind(
            places,
            reply=self._reply,
            warnings=warnings,
            image_size=self._plan.original,
            source=self._source,
            policy=self._policy,
        )
