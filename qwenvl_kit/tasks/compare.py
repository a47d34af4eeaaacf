"""Say in what pictures differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True)
class Comparison(Answer):
    """In what pictures differ."""


@dataclass(frozen=True)
class Difference:
    """One difference, and how probable its words were as a whole; None without scores."""

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
        chat: who answers.
        first: a picture.
        second: the one that it is compared with.
        others: further ones.
        language: of prompt and answer.
        prompt: how to ask instead.
        sampling: how to generate.
        budget: what each picture may cost.

    Raises:
        InputError: a picture cannot be used; `parts[0]` is the first.
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
    """Compare pictures with regard to one aspect after another.

    Each aspect is a question of its own; the pictures are read once for all of them.

    Args:
        chat: who answers.
        first: a picture.
        second: the one that it is compared with.
        others: further ones.
        aspects: in words; None takes scene, objects, colours and lighting.
        language: of prompt and answer.
        prompt: how to ask instead; `{aspect}` stands for the aspect.
        sampling: how to generate.
        budget: what each picture may cost.

    Returns:
        The answers by aspect; those that failed stand in its `failures`.

    Raises:
        MessageError: no aspects, or one that is no text.
    """
    chosen_prompt(ASPECT_PROMPTS, language)  # an unknown language is told before anything else
    asked = list(dict.fromkeys(ASPECTS[language] if aspects is None else aspects))
    if isinstance(aspects, str) or not asked:
        raise MessageError(f"aspects={aspects!r} were given", expected="a list of texts")
    requests = [
        Request.about(
            chosen_prompt(ASPECT_PROMPTS, language, prompt, aspect=aspect), first, second, *others
        )
        for aspect in asked
    ]
    return Answers.of(asked, chat.ask_many(requests, sampling=sampling, budget=budget), Answer)


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
    """List what differs between two pictures; empty if the model sees no difference.

    The arguments and errors are those of `compare`, and of `extract`.
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
