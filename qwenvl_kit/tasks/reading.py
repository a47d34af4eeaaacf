"""Read the text that a picture shows."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.conversation import Media
from qwenvl_kit.errors import MessageError
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.tasks.answers import Answer
from qwenvl_kit.tasks.prompts import Language, chosen_prompt

Form: TypeAlias = Literal["plain", "markdown"]

PROMPTS = MappingProxyType(
    {
        "plain": {"en": "Read all the text in this image.", "zh": "读出图中的所有文字。"},
        "markdown": {
            "en": "Read all the text in this image as Markdown, with its headings, lists and "
            "tables.",
            "zh": "以Markdown格式读出图中的所有文字，保留标题、列表和表格。",
        },
    }
)


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
    form: Form = "plain",
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> ReadText:
    """Read all text in a picture, line by line.

    Args:
        chat: who answers.
        image: the picture.
        form: "plain", or "markdown" with headings, lists and tables.
        language: of the prompt; the text stays in its own.
        prompt: how to ask instead.
        sampling: how to generate.
        budget: what the picture may cost; small print wants a larger one.

    Raises:
        MessageError: the form or language is not known.
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    if form not in PROMPTS:
        raise MessageError(f"form={form!r} was given", expected="'plain' or 'markdown'")
    question = chosen_prompt(PROMPTS[form], language, prompt)
    return ReadText(chat.ask(question, image, sampling=sampling, budget=budget))
