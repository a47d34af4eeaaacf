"""Counting: the number of things of a kind in a picture."""

from __future__ import annotations

from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.ask_number import COUNT, NUMBER_PROMPTS, NumberAnswer, asked_number
from qwenvl_kit.tasks.prompts import Language, checked_words, chosen_prompt

PROMPTS = MappingProxyType({"en": "How many {what} are there?", "zh": "有多少{what}？"})


def count(
    chat: VisionChat,
    image: Media,
    what: str,
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> NumberAnswer:
    """Count things in a picture; the value is a whole number of 0 or more.

    If you need the place of each thing, use `len(locate(chat, image, "all cups"))`, which counts
    the boxes that were found.

    Example:
        count(chat, "street.jpg", "red cars").value

    Args:
        chat: the model to ask.
        image: the picture.
        what: the things to count, in the plural, such as "shapes" or "red cars".
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{what}` in it is replaced by the things to count.
        sampling: the generation settings; None is greedy.
        budget: the `PixelBudget` of the picture, or a preset such as "quick".

    Returns:
        The number as `value`, with its `confidence`.

    Raises:
        MessageError: `what` is empty or no text.
        InputError: the picture cannot be used.
        AnswerError: the answer is no such number, or was cut off; the error has the `reply`.
    """
    counted = checked_words(what, "the things to count, in words", "what")
    question = chosen_prompt(PROMPTS, language, prompt, what=counted)
    asked = chosen_prompt(NUMBER_PROMPTS, language, None, question=question)
    return asked_number(chat, asked, [image], COUNT, sampling=sampling, budget=budget)
