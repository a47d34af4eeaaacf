"""Questions whose answer is a truth, a choice or a number."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.tasks.answer_scores import ScoredAnswers, score_each
from qwenvl_kit.tasks.classify import Classification, classify
from qwenvl_kit.tasks.prompts import Language, chosen_prompt
from qwenvl_kit.tasks.task_result import unusable

YES_NO_PROMPTS = MappingProxyType(
    {"en": "{question}\nAnswer yes or no.", "zh": "{question}\n请回答是或否。"}
)
NUMBER_PROMPTS = MappingProxyType(
    {"en": "{question}\nAnswer with a number.", "zh": "{question}\n请用一个数字回答。"}
)
_YES = MappingProxyType({"en": ("Yes", "yes", "Yes."), "zh": ("是", "是。", "是的")})
_NO = MappingProxyType({"en": ("No", "no", "No."), "zh": ("否", "不是", "否。")})
NUMBER = r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,9})?"
WHOLE_NUMBER = r"-?(0|[1-9][0-9]{0,14})"
COUNT = r"(0|[1-9][0-9]{0,14})"
"""How numbers are written: within what a float holds exactly."""
_EXPECTED = MappingProxyType(
    {NUMBER: "a number", WHOLE_NUMBER: "a whole number", COUNT: "a whole number of 0 or more"}
)


@dataclass(frozen=True)
class YesNo:
    """Whether something holds. `bool(answer)` says so.

    Attributes:
        probability: of yes, given that the answer is yes or no.
        scores: of all wordings of both.
    """

    probability: float
    scores: ScoredAnswers

    def __bool__(self) -> bool:
        return self.probability >= 0.5

    @property
    def confidence(self) -> float:
        """The probability of the answer that is given."""
        return max(self.probability, 1.0 - self.probability)


@dataclass(frozen=True)
class NumberAnswer:
    """A number.

    Attributes:
        value: the number.
        reply: the whole reply.
    """

    value: float
    reply: Reply

    @property
    def confidence(self) -> float | None:
        """How probable the number was as a whole, in [0, 1]; None without scores."""
        return self.reply.probability_between(0, len(self.reply.text))


def ask_yes_no(
    chat: VisionChat,
    question: str,
    *media: Media,
    language: Language = "en",
    prompt: str | None = None,
    budget: BudgetChoice | None = None,
) -> YesNo:
    """Ask whether something holds; the answer is the probability of yes.

    Args:
        chat: who is asked.
        question: that yes or no is an answer to.
        media: pictures and videos that it is about.
        language: of the prompt and the answers.
        prompt: how to ask instead; `{question}` stands for the question.
        budget: what each picture may cost.

    Raises:
        UnsupportedFeatureError: the backend gives no scores.
        InputError: a picture cannot be used.
    """
    (answer,) = ask_each_yes_no(
        chat, [question], media, language=language, prompt=prompt, budget=budget
    )
    return answer


def ask_each_yes_no(
    chat: VisionChat,
    questions: Sequence[str],
    media: Sequence[Media],
    *,
    language: Language = "en",
    prompt: str | None = None,
    budget: BudgetChoice | None = None,
) -> list[YesNo]:
    """Several of `ask_yes_no` about the same pictures, asked together and with its arguments."""
    texts = [chosen_prompt(YES_NO_PROMPTS, language, prompt, question=text) for text in questions]
    answers = (*_YES[language], *_NO[language])
    scored = score_each(chat, texts, media, answers, budget=budget)
    return [YesNo(sum(one.probabilities[: len(_YES[language])]), one) for one in scored]


def ask_choice(
    chat: VisionChat,
    question: str,
    choices: Sequence[str],
    *media: Media,
    language: Language = "en",
    prompt: str | None = None,
    budget: BudgetChoice | None = None,
) -> Classification:
    """Ask a question with several answers to choose from; see `classify`."""
    return classify(
        chat, media, choices, question=question, language=language, prompt=prompt, budget=budget
    )


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
    """Ask for a number; the model can write nothing else.

    Args:
        chat: who is asked.
        question: that a number is the answer to.
        media: pictures and videos that it is about.
        whole: whether it is a whole number.
        language: of the prompt.
        prompt: how to ask instead; `{question}` stands for the question.
        sampling: how to generate; None is greedy.
        budget: what each picture may cost.

    Raises:
        InputError: a picture cannot be used.
        AnswerError: the answer is no such number, or was cut short; it has the `reply`.
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
    """The answer to a prompt that asks for a number of that form.

    Raises:
        AnswerError: as `ask_number`.
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
    """The number that an answer is; not every backend binds it to its form."""
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
            hint="a local model or a server that binds answers to a form, or another prompt",
        )
    return float(text) if form == NUMBER else int(text)
