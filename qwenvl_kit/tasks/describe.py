"""Description: a text about the content of a picture or video."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.messages.message import VideoPart
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.prompts import Language, check_choice, chosen_prompt
from qwenvl_kit.tasks.task_result import Answer

Detail: TypeAlias = Literal["short", "standard", "detailed"]

PROMPTS = MappingProxyType(
    {
        "short": {
            "en": "Describe this {kind} in one sentence.",
            "zh": "用一句话描述这{kind}。",
        },
        "standard": {"en": "Describe this {kind}.", "zh": "描述这{kind}。"},
        "detailed": {
            "en": "Describe this {kind} in detail: what it shows, where things are, their colours, "
            "any text, and what is happening.",
            "zh": "详细描述这{kind}：画面内容、物体的位置和颜色、其中的文字以及正在发生的事情。",
        },
    }
)
FOCUS = MappingProxyType({"en": "\nPay attention to {focus}.", "zh": "\n请重点关注{focus}。"})
_KINDS = MappingProxyType({"en": ("image", "video"), "zh": ("张图片", "段视频")})


@dataclass(frozen=True, repr=False)
class Description(Answer):
    """A description of a picture or video. `str(description)` is its text."""


def describe(
    chat: VisionChat,
    media: Media,
    *,
    detail: Detail = "standard",
    focus: str | None = None,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> Description:
    """Describe one picture or video.

    Example:
        print(describe(chat, "street.jpg", detail="short", focus="the traffic signs"))

    Args:
        chat: the model to ask.
        media: the picture, or a `VideoPart`.
        detail: the length: "short" (one sentence), "standard" or "detailed".
        focus: the things to pay attention to, in words.
        language: the language of prompt and answer, "en" or "zh".
        prompt: your own prompt; `{kind}` in it is replaced by the word for picture or video.
        sampling: the generation settings; None takes the default of the chat.
        budget: the `PixelBudget` of the picture, or a preset such as "quick".

    Returns:
        The description.

    Raises:
        MessageError: the detail or language is not known.
        InputError: the picture cannot be used.
        GenerationError: the model failed.
    """
    question = question_about(media, detail=detail, focus=focus, language=language, prompt=prompt)
    return Description(chat.ask(question, media, sampling=sampling, budget=budget))


def question_about(
    media: object,
    *,
    detail: Detail = "standard",
    focus: str | None = None,
    language: Language = "en",
    prompt: str | None = None,
) -> str:
    """Return the question that `describe` asks; arguments and errors are those of `describe`."""
    check_choice(detail, PROMPTS, "detail")
    question = chosen_prompt(PROMPTS[detail], language, prompt)
    question = question.replace("{kind}", _KINDS[language][isinstance(media, VideoPart)])
    if focus is not None:
        question += chosen_prompt(FOCUS, language, focus=focus)
    return question
