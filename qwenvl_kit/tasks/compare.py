"""Comparison: the differences between pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import MessageError
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media, Request
from qwenvl_kit.tasks.extract import Extraction, extract
from qwenvl_kit.tasks.prompts import Language, chosen_prompt
from qwenvl_kit.tasks.task_result import Answer, Answers

PROMPTS = MappingProxyType(
    {"en": "Compare these images. What is different?", "zh": "比较这些图片。有什么不同？"}
)
ASPECT_PROMPTS = MappingProxyType(
    {
        "en": "Compare these images with regard to {aspect} alone.",
        "zh": "仅就{aspect}比较这些图片。",
    }
)
ASPECTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "en": ("the scene", "the objects", "the colours", "the lighting"),
        "zh": ("场景", "物体", "颜色", "光线"),
    }
)
DIFFERENCE_PROMPTS = MappingProxyType(
    {
        "en": "List all differences between these images as JSON, each in a few words:\n{fields}",
        "zh": "以JSON格式列出这些图片之间的所有不同之处，每处用几个词：\n{fields}",
    }
)


@dataclass(frozen=True, repr=False)
class Comparison(Answer):
    """A text about the differences between pictures. `str(comparison)` is the text."""


@dataclass(frozen=True)
class Difference:
    """One difference between two pictures.

    Attributes:
        text: the difference, in a few words.
        confidence: the probability of these words together, in [0, 1]; None without scores.
    """

    text: str
    confidence: float | None


def compare(
    chat: VisionChat,
    first: Media,
    second: Media,
    *others: Media,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Comparison:
    """Compare two or more pictures, in the order given.

    Args:
        chat: the model to ask.
        first: the first picture.
        second: the picture that it is compared with.
        others: more pictures.
        language: the language of prompt and answer, "en" or "zh".
        prompt: your own prompt.
        sampling: the generation settings; None takes the default of the chat.
        budget: the `PixelBudget` of each picture, or a preset such as "quick".

    Returns:
        The comparison as text.

    Raises:
        InputError: a picture cannot be used; the error names the first one as `parts[0]`.
        GenerationError: the model failed.
    """
    question = chosen_prompt(PROMPTS, language, prompt)
    pictures = (first, second, *others)
    return Comparison(chat.ask(question, *pictures, sampling=sampling, budget=budget))


def compare_by_aspects(
    chat: VisionChat,
    first: Media,
    second: Media,
    *others: Media,
    aspects: Sequence[str] | None = None,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Answers[Answer]:
    """Compare pictures by one aspect after another, such as colours or lighting.

    Each aspect is a question of its own. The pictures are read once for all of them.

    Example:
        answers = compare_by_aspects(chat, "before.jpg", "after.jpg", aspects=["the roof"])
        print(answers["the roof"])

    Args:
        chat: the model to ask.
        first: the first picture.
        second: the picture that it is compared with.
        others: more pictures.
        aspects: the aspects, in words; None takes scene, objects, colours and lighting.
        language: the language of prompt and answer, "en" or "zh".
        prompt: your own prompt; `{aspect}` in it is replaced by the aspect.
        sampling: the generation settings; None takes the default of the chat.
        budget: the `PixelBudget` of each picture, or a preset such as "quick".

    Returns:
        The answers by aspect; those that failed are in its `failures`.

    Raises:
        MessageError: `aspects` is no list of texts, or is empty.
    """
    chosen_prompt(ASPECT_PROMPTS, language)  # raises first if the language is unknown
    asked = ASPECTS[language] if aspects is None else _checked_aspects(aspects)
    requests = [
        Request.about(
            chosen_prompt(ASPECT_PROMPTS, language, prompt, aspect=aspect), first, second, *others
        )
        for aspect in asked
    ]
    return Answers.of(asked, chat.ask_many(requests, sampling=sampling, budget=budget), Answer)


def _checked_aspects(aspects: object) -> list[str]:
    given = list(aspects) if isinstance(aspects, Iterable) and not isinstance(aspects, str) else []
    if not given or not all(isinstance(aspect, str) for aspect in given):
        raise MessageError(f"aspects={aspects!r} were given", expected="a list of texts")
    return list(dict.fromkeys(given))


def find_differences(
    chat: VisionChat,
    first: Media,
    second: Media,
    *,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> tuple[Difference, ...]:
    """List the differences between two pictures; the list is empty if the model sees none.

    Arguments and errors are those of `compare` and `extract`.

    Example:
        for difference in find_differences(chat, "before.jpg", "after.jpg"):
            print(difference.text, difference.confidence)
    """
    wording = chosen_prompt(DIFFERENCE_PROMPTS, language, prompt)
    schema = {
        "type": "object",
        "properties": {"differences": {"type": "array", "items": {"type": "string"}}},
        "required": ["differences"],
    }
    found: Extraction[Any] = extract(
        chat,
        [first, second],
        schema,
        language=language,
        prompt=wording,
        sampling=sampling,
        budget=budget,
    )
    return tuple(
        Difference(text, found.confidences.get(f"differences[{at}]"))
        for at, text in enumerate(found.value["differences"])
    )
