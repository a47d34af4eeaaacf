"""An answer after a closer look, for models that call no tools: where to look, then the part."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import InputError
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.grounding.places import Boxes
from qwenvl_kit.messages.message import ImagePart
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.image_tools.answer_places import find_places
from qwenvl_kit.tasks.image_tools.given_pictures import GivenViews
from qwenvl_kit.tasks.image_tools.image_answer import GivenPicture, ImageAnswer, ImageStep
from qwenvl_kit.tasks.image_tools.thinking import CROP_BUDGET
from qwenvl_kit.tasks.image_tools.views import Sides, View, clipped
from qwenvl_kit.tasks.locate import locate
from qwenvl_kit.tasks.prompts import Language, checked_words, chosen_prompt
from qwenvl_kit.tasks.task_input import one_picture

WHERE_TO_LOOK = MappingProxyType(
    {
        "en": 'the part that must be seen to answer "{question}"',
        "zh": "回答“{question}”所需要看的部分",
    }
)
"""The thing that `locate` is asked for, by language, if the caller names none."""

PROMPTS = MappingProxyType(
    {
        "en": "The first image is the whole picture. The others are parts of it, enlarged.\n"
        "{question}",
        "zh": "第一张图是完整的图片，其余是它的局部放大图。\n{question}",
    }
)
"""The question with the whole picture and its parts."""

_MOST_SHARE = 0.8
"""The share of a picture's area from which a part shows nothing that the whole does not."""

_SAME_OVERLAP = 0.5
"""The overlap (IoU) from which two boxes show the same part."""


def zoom_answer(
    chat: VisionChat,
    image: Media,
    question: str,
    *,
    what: str | None = None,
    margin: float = 0.25,
    max_parts: int = 3,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
    crop_budget: BudgetChoice = CROP_BUDGET,
) -> ImageAnswer:
    """Answer a question about a picture after a closer look at the part that it is about.

    The model is asked where to look (`locate`), then the question, with the whole picture and the
    parts that it named, cut from the pixels of the original. So it helps with small things in large
    pictures, in every family. If no place is found, the whole picture is shown alone.

    Example:
        answer = zoom_answer(chat, "street.jpg", "What does the sign say?", what="the sign")
        print(answer, answer.confidence, answer.steps[0].box)

    Args:
        chat: the model to ask.
        image: the picture; if it is an `ImagePart` with a crop, only the crop is searched.
        question: the question.
        what: the thing to look at, in words; None asks for the part that answers the question.
        margin: the share of a box's sides that is shown around it, on each side.
        max_parts: the most parts that are shown.
        language: the language of the prompts, "en" or "zh".
        prompt: your own second prompt; `{question}` in it is replaced.
        sampling: the generation settings of the answer; None takes the default of the chat.
        budget: the `PixelBudget` of the whole picture, or a preset such as "quick".
        crop_budget: the budget of each part.

    Returns:
        The answer, whose `steps` are the parts that were shown.

    Raises:
        MessageError: there is no question, or the document has several pages.
        InputError: `margin` or `max_parts` is out of range, or the picture cannot be used.
        GenerationError: the model failed.
    """
    _check(margin, max_parts)
    asked = checked_words(question, "a question", "question")
    text = chosen_prompt(PROMPTS, language, prompt, question=asked)
    wanted = WHERE_TO_LOOK[language].replace("{question}", asked) if what is None else what
    part = one_picture(chat.policy, image)
    found = locate(chat, part, wanted, language=language, budget=budget)
    views = GivenViews([part], chat.policy, "messages[0].parts[{}]")
    steps, warnings = _looks(found, views, what or "", margin, max_parts)
    shown = [ImagePart(step.picture, budget=crop_budget) for step in steps]  # type: ignore[arg-type]
    said = text if shown or prompt is not None else asked
    reply = chat.ask(said, part, *shown, sampling=sampling, budget=budget)
    places = find_places(reply, chat, views, 1)
    return ImageAnswer(
        reply=reply,
        steps=tuple(steps),
        found=places.boxes,
        warnings=(*found.warnings, *warnings, *reply.warnings, *places.warnings),
        error=None,
        pictures=(GivenPicture(part.source, reply.plan.images[0].original, chat.policy),),
    )


def _check(margin: float, max_parts: int) -> None:
    is_number = isinstance(margin, (int, float)) and not isinstance(margin, bool)
    if not is_number or not 0 <= margin <= 10:
        raise InputError(f"margin={margin!r} was given", expected="a number from 0 to 10")
    if type(max_parts) is not int or max_parts < 1:
        raise InputError(f"max_parts={max_parts!r} was given", expected="a whole number above 0")


def _looks(
    found: Boxes, views: GivenViews, label: str, margin: float, max_parts: int
) -> tuple[list[ImageStep], list[str]]:
    """The parts to show, and the reasons why others are not shown."""
    if not found:
        return [], ["no place to look at was found; only the whole picture was shown"]
    chosen, warnings = _different(found), list[str]()
    if len(chosen) > max_parts:
        warnings.append(f"{len(chosen) - max_parts} more places were found and not shown")
    steps = list[ImageStep]()
    for box in chosen[:max_parts]:
        sides = _with_margin(box, margin, views[0])
        if _area(sides) >= _MOST_SHARE * _area(views[0].bounds):
            warnings.append("a place is almost the whole picture; it was not shown again")
            continue
        made = views[0].part(sides)
        views.add(made)
        steps.append(_step(made, box, label, found))
    return steps, warnings


def _step(made: View, box: Box, label: str, found: Boxes) -> ImageStep:
    name = label or box.label
    shown = Box(name, *made.original_box(made.bounds), box.confidence)
    return ImageStep(
        thought="",
        tool="locate",
        label=name,
        picture_index=0,
        box=shown,
        picture=made.image,
        angle_degrees=None,
        error="",
        reply=found.reply,
    )


def _different(found: Sequence[Box]) -> list[Box]:
    """The boxes without those that show the same part as an earlier one."""
    chosen = list[Box]()
    for box in found:
        if all(box.overlap(other) <= _SAME_OVERLAP for other in chosen):
            chosen.append(box)
    return chosen


def _with_margin(box: Box, margin: float, view: View) -> Sides:
    across = margin * (box.x2_px - box.x1_px)
    down = margin * (box.y2_px - box.y1_px)
    sides = (box.x1_px - across, box.y1_px - down, box.x2_px + across, box.y2_px + down)
    return clipped(sides, view.bounds)


def _area(sides: Sides) -> float:
    return (sides[2] - sides[0]) * (sides[3] - sides[1])
