"""Localization: boxes around things, or points on them, in the picture's own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.grounding.coordinates import PlaceMapper
from qwenvl_kit.grounding.place_parser import WrittenPlace, parse_places
from qwenvl_kit.grounding.places import Boxes, Points
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
"""The prompts by the family's form of answer and by language: the words of its training, as far as
they are published (cookbooks of Qwen2.5-VL and Qwen3-VL; QwenLM/Qwen3-VL issue 342 for Qwen2-VL).
"""

POINT_PROMPTS = MappingProxyType(
    {
        "en": "Locate {what} in this image with points, and output their coordinates in JSON "
        'format, like {"point_2d": [x, y], "label": "..."}.',
        "zh": "用点定位图中的{what}，以JSON格式输出其坐标，形如"
        '{"point_2d": [x, y], "label": "..."}。',
    }
)

_EXPECTED = "the things to find, in words"
_MAX_TOKENS = 1024
"""Room for about thirty boxes."""

_Places = TypeVar("_Places", Boxes, Points)


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
    """Find things in a picture, and return the boxes around them.

    Boxes are in pixels of the upright picture, as a viewer shows it, from its upper left corner. It
    does not matter if the picture was resized, padded or cropped for the model. Boxes in the answer
    that are malformed, cut off or reach beyond the picture give warnings.

    Example:
        boxes = locate(chat, "kitchen.jpg", "all cups")
        boxes.draw().save("found.png")

    Args:
        chat: the model to ask.
        image: the picture; if it is an `ImagePart` with a crop, only the crop is searched.
        what: the things to find, such as "the red circle" or "all cups".
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{what}` in it is replaced by the things to find.
        sampling: the generation settings; None is greedy.
        budget: the `PixelBudget` of the picture, or a preset such as "quick"; small things need a
            larger one.

    Returns:
        The boxes in the order of the answer; empty if nothing was found.

    Raises:
        MessageError: `what` is empty, the language is not known, or the document has several pages.
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
) -> Points:
    """Find things in a picture, and return a point on each of them.

    Arguments, pixels and errors are those of `locate`. A box in the answer gives the point in its
    middle, as some families answer with boxes.

    Example:
        for point in point_at(chat, "screen.png", "the search button"):
            print(point.x_px, point.y_px)
    """
    text = chosen_prompt(
        POINT_PROMPTS, language, prompt, what=checked_words(what, _EXPECTED, "what")
    )
    return _Search(chat, image, text, what=what, sampling=sampling, budget=budget).points()


class _Search:
    """One request for places in one picture, and its answer."""

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
        """Boxes and points; outlines only if there are none.

        An outline next to a box shows the same thing.
        """
        return self._written.places or self._written.polygons

    def boxes(self) -> Boxes:
        """The places that were found, as boxes."""
        return self._result(Boxes, self._mapper.boxes(self._flat))

    def points(self) -> Points:
        """The places that were found, as points."""
        return self._result(Points, self._mapper.points(self._flat))

    def _result(self, kind: type[_Places], places: Sequence[Any]) -> _Places:
        warnings = [*self._written.warnings, *self._mapper.warnings]
        if self._written.places and self._written.polygons:
            warnings.append("outlines in addition to boxes or points; `read_places` gives them")
        if self._written.boxes_3d:
            warnings.append("a 3D box instead of a box in the picture was left out")
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
