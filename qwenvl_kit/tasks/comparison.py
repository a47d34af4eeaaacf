"""Say in what pictures differ."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.conversation import Media
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.tasks.answers import Answer


@dataclass(frozen=True)
class Comparison(Answer):
    """In what pictures differ."""


def compare(
    chat: VisionChat,
    first: Media,
    second: Media,
    *others: Media,
    prompt: str = "Compare these images. What is different?",
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Comparison:
    """Compare two or more pictures, in the order given.

    Args:
        chat: who answers.
        first: a picture.
        second: the one that it is compared with.
        others: further ones.
        prompt: how to ask.
        sampling: how to generate.
        budget: what each picture may cost.

    Raises:
        InputError: a picture cannot be used; `parts[0]` is the first.
        GenerationError: the model failed.
    """
    pictures = (first, second, *others)
    return Comparison(chat.ask(prompt, *pictures, sampling=sampling, budget=budget))
