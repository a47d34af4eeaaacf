"""The yes-or-no question: an answer with the probability of yes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.display.blocks import bar, facts, table
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import percent, short_repr
from qwenvl_kit.options import BudgetChoice
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.answer_scores import ScoredAnswers, score_each
from qwenvl_kit.tasks.prompts import Language, chosen_prompt

YES_NO_PROMPTS = MappingProxyType(
    {"en": "{question}\nAnswer yes or no.", "zh": "{question}\n请回答是或否。"}
)
_YES = MappingProxyType({"en": ("Yes", "yes", "Yes."), "zh": ("是", "是。", "是的")})
_NO = MappingProxyType({"en": ("No", "no", "No."), "zh": ("否", "不是", "否。")})


@dataclass(frozen=True)
class YesNo:
    """The answer to a yes-or-no question. `bool(answer)` is True for yes.

    Attributes:
        probability: the probability of yes, in [0, 1], if the answer is yes or no.
        scores: the probabilities of all wordings of yes and no.
    """

    probability: float
    scores: ScoredAnswers

    def __bool__(self) -> bool:
        return self.probability >= 0.5

    @property
    def confidence(self) -> float:
        """The probability of the answer that is given, in [0.5, 1]."""
        return max(self.probability, 1.0 - self.probability)

    def __repr__(self) -> str:
        return short_repr("YesNo", bool(self), probability=self.probability)

    def _repr_html_(self) -> str:
        rows = [("yes", bar(self.probability)), ("no", bar(1.0 - self.probability))]
        covered = f"coverage {percent(self.scores.coverage)}: the probability of any wording"
        return framed(table(("answer", "probability"), rows), facts(covered))


def ask_yes_no(
    chat: VisionChat,
    question: str,
    *media: Media,
    language: Language = "en",
    prompt: str | None = None,
    budget: BudgetChoice | None = None,
) -> YesNo:
    """Ask a yes-or-no question, and get the probability of yes.

    Nothing is sampled: the model scores several wordings of yes and no.

    Example:
        if ask_yes_no(chat, "Is the door open?", "door.jpg"):
            close_it()

    Args:
        chat: the model to ask.
        question: a question that can be answered by yes or no.
        media: the pictures and videos that the question is about.
        language: the language of the prompt and of the answer, "en" or "zh".
        prompt: your own prompt; `{question}` in it is replaced by the question.
        budget: the `PixelBudget` of each picture, or a preset such as "quick".

    Returns:
        The answer; `bool(answer)` is True for yes, `answer.probability` is that of yes.

    Raises:
        UnsupportedFeatureError: the backend gives no log-probabilities.
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
    """Ask several yes-or-no questions about the same pictures, all in one batch.

    The other arguments are those of `ask_yes_no`.
    """
    texts = [chosen_prompt(YES_NO_PROMPTS, language, prompt, question=text) for text in questions]
    answers = (*_YES[language], *_NO[language])
    scored = score_each(chat, texts, media, answers, budget=budget)
    return [YesNo(sum(one.probabilities[: len(_YES[language])]), one) for one in scored]
