"""The question whose answer is a number, and the number that is read from the reply."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.display.replies import reply_html
from qwenvl_kit.display.text import percent
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.tasks.prompts import Language, chosen_prompt
from qwenvl_kit.tasks.task_result import unusable

NUMBER_PROMPTS = MappingProxyType(
    {"en": "{question}\nAnswer with a number.", "zh": "{question}\n请用一个数字回答。"}
)
NUMBER = r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?"
WHOLE_NUMBER = r"-?(0|[1-9][0-9]{0,14})"
COUNT = r"(0|[1-9][0-9]{0,14})"
"""The forms of numbers, as regular expressions: at most 15 digits, which a float holds exactly."""
_EXPECTED = MappingProxyType(
    {NUMBER: "a number", WHOLE_NUMBER: "a whole number", COUNT: "a whole number of 0 or more"}
)


@dataclass(frozen=True)
class NumberAnswer:
    """The answer to a question for a number.

    Attributes:
        value: the number; an `int` if a whole number was asked for.
        reply: the whole reply.
    """

    value: float
    reply: Reply

    @property
    def confidence(self) -> float | None:
        """The probability of the number as a whole, in [0, 1]; None without scores."""
        return self.reply.probability_between(0, len(self.reply.text))

    def __repr__(self) -> str:
        return f"NumberAnswer({self.value!r}, confidence={percent(self.confidence) or None})"

    def _repr_html_(self) -> str:
        return reply_html(self.reply)


def ask_number(
    chat: VisionChat,
    question: str,
    *media: Media,
    whole: bool = False,
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> NumberAnswer:
    """Ask a question whose answer is a number; the model can write nothing else.

    Example:
        ask_number(chat, "What is the total of this receipt?", "receipt.jpg").value

    Args:
        chat: the model to ask.
        question: a question that is answered by a number.
        media: the pictures and videos that the question is about.
        whole: True to accept whole numbers only.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{question}` in it is replaced by the question.
        sampling: the generation settings; None is greedy.
        budget: the `PixelBudget` of each picture, or a preset such as "quick".

    Returns:
        The number as `value`, with its `confidence`.

    Raises:
        InputError: a picture cannot be used.
        AnswerError: the answer is no such number, or was cut off; the error has the `reply`.
        GenerationError: the model failed.
    """
    question = chosen_prompt(NUMBER_PROMPTS, language, prompt, question=question)
    form = WHOLE_NUMBER if whole else NUMBER
    return asked_number(chat, question, media, form, sampling=sampling, budget=budget)


def asked_number(
    chat: VisionChat,
    prompt: str,
    media: Sequence[Media],
    form: str,
    *,
    sampling: Sampling | None,
    budget: BudgetChoice | None,
) -> NumberAnswer:
    """Ask with a prompt for a number of one of the forms above.

    Raises:
        AnswerError: as in `ask_number`.
    """
    reply = chat.ask(
        prompt,
        *media,
        sampling=sampling or Sampling(max_new_tokens=32),
        budget=budget,
        constraint=Constraint.from_regex(form),
    )
    return NumberAnswer(_number(reply, form), reply)


def _number(reply: Reply, form: str) -> float:
    """The number that a reply holds. It is checked, as not every backend enforces the form."""
    text = unicodedata.normalize("NFKC", reply.text.strip())  # full-width digits are digits
    if reply.finish_reason != "stop":
        raise unusable(
            reply,
            f"the answer was cut short ({reply.finish_reason})",
            hint="a larger Sampling(max_new_tokens=..., max_seconds=...)",
        )
    if not re.fullmatch(form, text):
        raise unusable(
            reply,
            f"the answer is {text[:60]!r}",
            expected=_EXPECTED[form],
            hint="a local model, a server that enforces the form of answers, or another prompt",
        )
    return float(text) if form == NUMBER else int(text)
