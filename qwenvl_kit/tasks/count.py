"""Say how many of something a picture shows."""

from __future__ import annotations

from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.ask_typed import COUNT, NUMBER_PROMPTS, NumberAnswer, asked_number
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

    Where each of them matters, `len(locate(chat, image, "all cups"))` counts what was found.

    Args:
        chat: who answers.
        image: the picture.
        what: several of it, such as "shapes" or "red cars".
        language: of the prompt.
        prompt: how to ask instead; `{what}` stands for what is counted.
        sampling: how to generate; None is greedy.
        budget: what the picture may cost.

    Raises:
        MessageError: nothing to count was named.
        InputError: the picture cannot be used.
        AnswerError: the answer is no such number, or was cut short; it has the `reply`.
    """
    counted = checked_words(what, "what to count, in words", "what")
    question = chosen_prompt(PROMPTS, language, prompt, what=counted)
    asked = chosen_prompt(NUMBER_PROMPTS, language, None, question=question)
    return asked_number(chat, asked, [image], COUNT, sampling=sampling, budget=budget)
