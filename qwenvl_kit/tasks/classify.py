"""Say which of several labels a picture has, and how probable each of them is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import SchemaError
from qwenvl_kit.options import BudgetChoice
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.answer_scores import ScoredAnswers, score_answers
from qwenvl_kit.tasks.prompts import Language, chosen_prompt
from qwenvl_kit.tasks.task_input import as_media

QUESTIONS = MappingProxyType({"en": "What is in this image?", "zh": "图中是什么？"})
PROMPTS = MappingProxyType(
    {
        "en": "{question}\nAnswer with one of: {labels}.",
        "zh": "{question}\n请回答以下之一：{labels}。",
    }
)


@dataclass(frozen=True)
class Classification:
    """Which label a picture has.

    Attributes:
        probabilities: of each label, in the order given; they sum to 1.
        scores: what they were computed from. `scores.coverage` is small where none of the labels
            is what the model would have said.
    """

    probabilities: Mapping[str, float]
    scores: ScoredAnswers

    @property
    def label(self) -> str:
        """The most probable label."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """The probability of that label."""
        return self.probabilities[self.label]

    def __str__(self) -> str:
        return self.label


def classify(
    chat: VisionChat,
    image: Media | Sequence[Media],
    labels: Iterable[str],
    *,
    question: str | None = None,
    language: Language = "en",
    prompt: str | None = None,
    budget: BudgetChoice | None = None,
) -> Classification:
    """Choose one of several labels for a picture, by the probability of each.

    Every label is scored, and nothing is sampled.

    Args:
        chat: who is asked.
        image: the picture or video, or a list of them that are taken as one.
        labels: two or more, all different.
        question: what to ask; None asks what is in the picture.
        language: of the prompt.
        prompt: how to ask instead; `{question}` and `{labels}` stand for those.
        budget: what each picture may cost.

    Raises:
        SchemaError: fewer than two labels, an empty one, or one twice.
        UnsupportedFeatureError: the backend gives no scores.
        InputError: the picture cannot be used.
    """
    offered = list(labels) if isinstance(labels, Iterable) and not isinstance(labels, str) else []
    if len(offered) < 2:
        raise SchemaError(f"labels={labels!r} were given", expected="two labels or more")
    text = chosen_prompt(
        PROMPTS,
        language,
        prompt,
        question=chosen_prompt(QUESTIONS, language, question),
        labels=("、" if language == "zh" else ", ").join(map(str, offered)),
    )
    scores = score_answers(chat, text, as_media(image), offered, budget=budget)
    return Classification(MappingProxyType(dict(zip(offered, scores.probabilities))), scores)
