"""Paths: the points that a hand or a gripper passes on its way to a goal."""

from __future__ import annotations

from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.grounding.outlines import Path
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.place_search import PlaceSearch, check_trained
from qwenvl_kit.tasks.prompts import Language, checked_words, chosen_prompt

PATH_PROMPTS = MappingProxyType(
    {
        "en": "Plan the path of the gripper in this image: {goal}. Output its points in their "
        'order in JSON format, like [{"point_2d": [x, y], "label": "..."}].',
        "zh": "规划图中夹爪的运动路径：{goal}。按顺序以JSON格式输出路径上的各点，形如"
        '[{"point_2d": [x, y], "label": "..."}]。',
    }
)
"""The prompts, in the words of this kit. The form of the points is that of the cookbook
`spatial_understanding.ipynb` of Qwen3-VL."""


def trace_path(
    chat: VisionChat,
    image: Media,
    goal: str,
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Path:
    """Ask for the path to a goal, and return its points in their order.

    The model sees a picture, not a scene: a path knows no depth and no obstacles behind others. Put
    it before a planner that does. Other fields of a point, such as `gripper`, are its attributes.

    Example:
        path = trace_path(chat, "table.jpg", "put the apple into the bowl")
        path.draw().save("path.png")

    Args:
        chat: the model to ask.
        image: the picture; if it is an `ImagePart` with a crop, only the crop is seen.
        goal: the thing to do, in words.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{goal}` in it is replaced by the goal.
        sampling: the generation settings; None is greedy.
        budget: the `PixelBudget` of the picture, or a preset such as "quick".

    Returns:
        The points in pixels of the upright original, from the first to the last.

    Raises:
        UnsupportedFeatureError: the family writes no paths: Qwen2-VL and Qwen2.5-VL.
        MessageError: `goal` is empty, the language is not known, or the document has several pages.
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    check_trained(chat, "path", "paths", "point_at, for the places that the path leads to")
    words = checked_words(goal, "what is to be done, in words", "goal")
    search = PlaceSearch(
        chat,
        image,
        chosen_prompt(PATH_PROMPTS, language, prompt, goal=words),
        what=words,
        sampling=sampling,
        budget=budget,
    )
    points = search.mapper.points(search.written.places)
    told = ["a path of a single point"] if len(points) == 1 else []
    return search.result(Path, points, warnings=told)
