"""Say what a picture or video shows."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.conversation import Media
from qwenvl_kit.messages import VideoPart
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.tasks.answers import Answer


@dataclass(frozen=True)
class Description(Answer):
    """What a picture or video shows."""


def describe(
    chat: VisionChat,
    media: Media,
    *,
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Description:
    """Describe one picture or video.

    Args:
        chat: who answers.
        media: the picture, or a `VideoPart`.
        prompt: how to ask, where the plain request is not enough.
        sampling: how to generate.
        budget: what the picture may cost.

    Raises:
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    kind = "video" if isinstance(media, VideoPart) else "image"
    question = prompt or f"Describe this {kind}."
    return Description(chat.ask(question, media, sampling=sampling, budget=budget))
