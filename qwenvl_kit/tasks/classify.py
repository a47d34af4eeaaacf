"""Classification: the probability of each of several labels for a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.display.blocks import bar, facts, table
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import percent, short_repr
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
    """The label of a picture, with the probability of each label. `str(found)` is the label.

    Attributes:
        probabilities: the probability of each label, in the order given; they sum to 1.
        scores: the log-probabilities that they were computed from. `scores.coverage` is small if
            the model would have answered with none of the labels.
    """

    probabilities: Mapping[str, float]
    scores: ScoredAnswers

    @property
    def label(self) -> str:
        """The most probable label."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def confidence(self) -> float:
        """The probability of that label, in [0, 1]."""
        return self.probabilities[self.label]

    def __str__(self) -> str:
        return self.label

    def __repr__(self) -> str:
        others = len(self.probabilities) - 1
        return short_repr("Classification", self.label, confidence=self.confidence, others=others)

    def _repr_html_(self) -> str:
        ranked = sorted(self.probabilities.items(), key=lambda pair: -pair[1])
        rows = [(label, bar(share)) for label, share in ranked]
        covered = f"coverage {percent(self.scores.coverage)}: the probability of any of them"
        return framed(table(("label", "probability"), rows), facts(covered))


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

    Every label is scored by the model; nothing is sampled.

    Example:
        found = classify(chat, "pet.jpg", ["cat", "dog", "rabbit"])
        print(found.label, found.probabilities)

    Args:
        chat: the model to ask.
        image: the picture or video, or a list of them that is classified as one.
        labels: two labels or more, all different.
        question: the question; None asks what is in the picture.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt; `{question}` and `{labels}` in it are replaced.
        budget: the `PixelBudget` of each picture, or a preset such as "quick".

    Returns:
        The probabilities of all labels; `found.label` is the most probable one.

    Raises:
        SchemaError: there are fewer than two labels, or one is empty or given twice.
        UnsupportedFeatureError: the backend gives no log-probabilities.
        InputError: the picture cannot be used.
    """
    offered = list(labels) if isinstance(labels, Iterable) and not isinstance(labels, str) else []
    if len(offered) < 2:
        raise SchemaError(f"labels={labels!r} were given", expected="two labels or more")
    text = chosen_prompt(
        PROMPTS,
        language,
        prompt,
        question=chosen_prompt(QUESTIONS, language, question, "question"),
        labels=("、" if language == "zh" else ", ").join(map(str, offered)),
    )
    scores = score_answers(chat, text, as_media(image), offered, budget=budget)
    return Classification(MappingProxyType(dict(zip(offered, scores.probabilities))), scores)
