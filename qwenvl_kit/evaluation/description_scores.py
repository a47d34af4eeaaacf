"""`judge_descriptions`: descriptions of many pictures, judged by a chat, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qwenvl_kit.errors import EvaluationError, QwenVLKitError
from qwenvl_kit.evaluation.statistics.correlation import Correlation, rank_correlation
from qwenvl_kit.evaluation.statistics.estimates import Estimate
from qwenvl_kit.evaluation.statistics.means import estimate_mean
from qwenvl_kit.options import BudgetChoice
from qwenvl_kit.requests import Media
from qwenvl_kit.tables import Table
from qwenvl_kit.tasks.judge_description import Judgement, judge_description
from qwenvl_kit.tasks.prompts import Language

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat

MEASURES = ("accuracy", "richness", "coherence")
"""The measures of a `Judgement`."""


@dataclass(frozen=True)
class DescriptionScores:
    """The judgements of many descriptions. `print(scores)` shows their means.

    Attributes:
        judgements: the judgement of each description; None for one that failed.
        errors: the error of each description; None for one that was judged.
        labels: the labels of people, as they were given; empty if there were none.
    """

    judgements: tuple[Judgement | None, ...]
    errors: tuple[QwenVLKitError | None, ...]
    labels: tuple[float, ...] = ()

    @property
    def judged(self) -> tuple[Judgement, ...]:
        """The judgements that there are."""
        return tuple(each for each in self.judgements if each is not None)

    @property
    def num_failed(self) -> int:
        """The number of descriptions that could not be judged, which no mean counts."""
        return len(self.judgements) - len(self.judged)

    def mean(self, measure: str) -> Estimate:
        """Return the mean of a measure over all descriptions, with its 95% interval.

        Args:
            measure: "accuracy", "richness" or "coherence"; see `Judgement`.

        Raises:
            EvaluationError: there is no such measure, or nothing was judged.
        """
        if measure not in MEASURES:
            raise EvaluationError(
                f"measure={measure!r} was given", expected=f"one of {', '.join(MEASURES)}"
            )
        if not self.judged:
            raise EvaluationError("no description was judged", expected="at least one")
        return estimate_mean([getattr(each, measure) for each in self.judged])

    def agreement(self, measure: str = "accuracy") -> Correlation | None:
        """Return the rank correlation of a measure with the labels; None without labels.

        Spearman's coefficient with its 95% interval: 1 if the judge orders descriptions as people
        do, 0 if it knows nothing of their order.

        Args:
            measure: see `mean`.
        """
        if not self.labels:
            return None
        pairs = [
            (getattr(judgement, measure), label)
            for judgement, label in zip(self.judgements, self.labels, strict=True)
            if judgement is not None
        ]
        return rank_correlation([value for value, _ in pairs], [label for _, label in pairs])

    def __str__(self) -> str:
        return self._table().to_text()

    def _repr_html_(self) -> str:
        return self._table().to_html()

    def _table(self) -> Table:
        rows = []
        for measure in MEASURES if self.judged else ():
            mean, agreement = self.mean(measure), self.agreement(measure)
            rows.append(
                (
                    measure,
                    f"{mean.value:.3f}",
                    f"{mean.low:.3f} to {mean.high:.3f}",
                    "-" if agreement is None else str(agreement),
                )
            )
        notes = [f"{len(self.judged):,} descriptions judged"]
        if self.num_failed:
            notes.append(f"{self.num_failed:,} failed and are in no mean")
        return Table(("measure", "mean", "95% interval", "agreement with labels"), rows, notes)


def judge_descriptions(
    judge: VisionChat,
    descriptions: Iterable[tuple[Media, str]],
    *,
    labels: Sequence[float] | None = None,
    language: Language = "en",
    prompt: str | None = None,
    budget: BudgetChoice | None = None,
) -> DescriptionScores:
    """Judge descriptions of many pictures, whoever wrote them.

    Each is judged by `judge_description`; one that fails costs itself alone.

        scores = judge_descriptions(judge, [("cat.jpg", "A cat sleeps."), ("dog.jpg", "A dog.")])
        print(scores.mean("accuracy"))

    Args:
        judge: the chat that judges.
        descriptions: pictures with their descriptions.
        labels: a number that people gave each description, higher for better ones; the agreement
            of the judge with them is then measured.
        language: see `judge_description`.
        prompt: see `judge_description`.
        budget: see `judge_description`.

    Raises:
        EvaluationError: the labels are more or fewer than the descriptions.
        UnsupportedFeatureError: the backend gives no log-probabilities.
    """
    given = list(descriptions)
    if labels is not None and len(labels) != len(given):
        raise EvaluationError(
            f"{len(labels):,} labels were given for {len(given):,} descriptions",
            expected="a label for each",
        )
    found: list[Judgement | QwenVLKitError] = []
    for image, text in given:
        try:
            found.append(
                judge_description(
                    judge, image, text, language=language, prompt=prompt, budget=budget
                )
            )
        except QwenVLKitError as error:
            found.append(error)
    return DescriptionScores(
        tuple(each if isinstance(each, Judgement) else None for each in found),
        tuple(None if isinstance(each, Judgement) else each for each in found),
        tuple(map(float, labels or ())),
    )
