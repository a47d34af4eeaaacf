"""The question with several answers to choose from: the probability of each."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from types import MappingProxyType
from typing import Literal, TypeAlias

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import SchemaError
from qwenvl_kit.options import BudgetChoice
from qwenvl_kit.requests import Media
from qwenvl_kit.structured_output.constraints import different_texts
from qwenvl_kit.tasks.answer_scores import score_answers
from qwenvl_kit.tasks.classify import Classification, classify
from qwenvl_kit.tasks.prompts import Language, check_choice, chosen_prompt
from qwenvl_kit.tasks.task_input import as_media

ChoiceForm: TypeAlias = Literal["words", "letters"]
"""The form of the answer: the words of a choice, or its letter."""

LETTER_PROMPTS = MappingProxyType(
    {
        "en": "{question}\nAnswer options:\n{choices}\nAnswer with the letter of one option.",
        "zh": "{question}\n选项：\n{choices}\n请回答其中一个选项的字母。",
    }
)
"""The prompts; the options stand as in the cookbook `spatial_understanding.ipynb` of Qwen3-VL."""


def ask_choice(
    chat: VisionChat,
    question: str,
    choices: Sequence[str],
    *media: Media,
    form: ChoiceForm = "words",
    language: Language = "en",
    prompt: str | None = None,
    budget: BudgetChoice | None = None,
) -> Classification:
    """Ask a question with several possible answers, and get the probability of each.

    With `form="words"` this is `classify` with the question first, where long choices are less
    probable than short ones. With `form="letters"` the choices are offered as A, B, C and the
    letters are scored, as models are trained on questions about space, directions and actions.

    Example:
        ask_choice(chat, "What is the weather?", ["sunny", "cloudy", "rainy"], "sky.jpg").label
        ask_choice(chat, "What is farthest away?", ["chair", "plant"], "a.jpg", form="letters")

    Args:
        chat: the model to ask.
        question: the question.
        choices: two choices or more, all different; at most 26 with letters.
        media: the pictures and videos that it is about.
        form: "words" scores the choices themselves, "letters" their letters.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{question}`, and `{labels}` or with letters `{choices}`, in it are
            replaced.
        budget: the `PixelBudget` of each picture, or a preset such as "quick".

    Returns:
        The probability of each choice by its words; `found.label` is the most probable one.

    Raises:
        SchemaError: there are fewer than two choices, or too many for letters, or one is empty or
            given twice.
        MessageError: the form or language is not known.
        UnsupportedFeatureError: the backend gives no log-probabilities.
        InputError: a picture cannot be used.
    """
    check_choice(form, ("words", "letters"), "form")
    if form == "words":
        return classify(
            chat, media, choices, question=question, language=language, prompt=prompt, budget=budget
        )
    offered = different_texts(choices, "choices")
    if not 2 <= len(offered) <= len(ascii_uppercase):
        raise SchemaError(
            f"{len(offered)} choices were given",
            expected=f"2 to {len(ascii_uppercase)}, a letter for each",
            hint='form="words"',
        )
    letters = ascii_uppercase[: len(offered)]
    lines = "\n".join(f"{letter}. {choice}" for letter, choice in zip(letters, offered))
    text = chosen_prompt(LETTER_PROMPTS, language, prompt, question=question, choices=lines)
    scores = score_answers(chat, text, as_media(media), list(letters), budget=budget)
    return Classification(MappingProxyType(dict(zip(offered, scores.probabilities))), scores)
