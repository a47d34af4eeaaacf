"""Free writing about a picture: a story, a poem, a caption."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import MessageError
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.prompts import Language, chosen_prompt
from qwenvl_kit.tasks.task_result import Answer

PROMPTS = MappingProxyType(
    {
        "en": "Write {style} about this image, in about {words} words.",
        "zh": "根据这张图片写{style}，约{words}字。",
    }
)
STYLES = MappingProxyType({"en": "a short story", "zh": "一个小故事"})
CREATIVE = Sampling(temperature=0.9, top_p=0.95, max_new_tokens=1024)
"""Sampling for free writing: hot enough that the same request gives different texts."""


@dataclass(frozen=True, repr=False)
class Writing(Answer):
    """A text that was written about a picture. `str(writing)` is the text."""


def write_from_image(
    chat: VisionChat,
    image: Media,
    *,
    style: str | None = None,
    num_words: int = 150,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Writing:
    """Write a story, a poem or another text about a picture.

    Example:
        print(write_from_image(chat, "sunset.jpg", style="a poem", num_words=50))

    Args:
        chat: the model to ask.
        image: the picture, or a `VideoPart`.
        style: the kind of text, such as "a poem" or "an advertisement"; None is a short story.
        num_words: the approximate number of words (of characters in Chinese).
        language: the language of prompt and text, "en" or "zh".
        prompt: your own prompt; `{style}` and `{words}` in it are replaced.
        sampling: the generation settings; None samples with temperature 0.9.
        budget: the `PixelBudget` of the picture, or a preset such as "quick".

    Returns:
        The text that was written.

    Raises:
        MessageError: num_words is no whole number above 0.
        InputError: the picture cannot be used.
    """
    if type(num_words) is not int or num_words < 1:
        raise MessageError(f"num_words={num_words!r} was given", expected="a whole number above 0")
    question = chosen_prompt(
        PROMPTS,
        language,
        prompt,
        style=chosen_prompt(STYLES, language, style, "style"),
        words=str(num_words),
    )
    return Writing(chat.ask(question, image, sampling=sampling or CREATIVE, budget=budget))
