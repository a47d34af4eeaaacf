"""Localization: boxes around things, or points on them, in the picture's own pixels."""

from __future__ import annotations

from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.grounding.places import Boxes, Points
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.place_search import PlaceSearch
from qwenvl_kit.tasks.prompts import Language, checked_words, chosen_prompt

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
    search = PlaceSearch(chat, image, text, what=what, sampling=sampling, budget=budget)
    return search.result(Boxes, search.mapper.boxes(search.flat))


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
    middle, as some families answer with boxes. Qwen3-VL and later families also point at what is no
    thing: "the free space on the white table", or "where to grasp the cup".

    Example:
        for point in point_at(chat, "screen.png", "the search button"):
            print(point.x_px, point.y_px)
    """
    text = chosen_prompt(
        POINT_PROMPTS, language, prompt, what=checked_words(what, _EXPECTED, "what")
    )
    search = PlaceSearch(chat, image, text, what=what, sampling=sampling, budget=budget)
    return search.result(Points, search.mapper.points(search.flat))
