"""Read the text that a picture shows."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.conversation import Media
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.tasks.answers import Answer


@dataclass(frozen=True)
class ReadText(Answer):
    """The text that a picture shows."""

    @property
    def lines(self) -> tuple[str, ...]:
        """Its lines, without empty ones."""
        return tuple(line.strip() for line in self.text.splitlines() if line.strip())


def read_text(
    chat: VisionChat,
    image: Media,
    *,
    prompt: str = "Read all the text in this image.",
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> ReadText:
    """Read all text in a picture, line by line.

    Args:
        chat: who answers.
        image: the picture.
        prompt: how to ask.
        sampling: how to generate.
        budget: what the picture may cost; small print wants a larger one.

    Raises:
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    return ReadText(chat.ask(prompt, image, sampling=sampling, budget=budget))
