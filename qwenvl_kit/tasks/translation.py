"""Translate the text that a picture shows."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.conversation import Media
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.tasks.answers import Answer


@dataclass(frozen=True)
class Translation(Answer):
    """The text of a picture in another language.

    Attributes:
        target_language: the language that was asked for.
    """

    target_language: str


def translate_text_in_image(
    chat: VisionChat,
    image: Media,
    target_language: str = "English",
    *,
    prompt: str = "Translate the text in this image into {language}.",
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Translation:
    """Translate all text in a picture.

    Args:
        chat: who answers.
        image: the picture.
        target_language: its name in English.
        prompt: how to ask; `{language}` stands for the target language.
        sampling: how to generate.
        budget: what the picture may cost; small print wants a larger one.

    Raises:
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    question = prompt.replace("{language}", target_language)
    reply = chat.ask(question, image, sampling=sampling, budget=budget)
    return Translation(reply, target_language)
