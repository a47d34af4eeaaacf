"""A scored run: the items of an evaluation with their scores, and the figures that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qwenvl_kit.calibration import CalibrationReport, Calibrator
from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.items import ScoredItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.record import EvaluationRecord
from qwenvl_kit.evaluation.statistics.estimates import Estimate, estimate_metrics

if TYPE_CHECKING:
    from qwenvl_kit.calibration.calibrator import Method
    from qwenvl_kit.calibration.signals import Signal


@dataclass(frozen=True)
class ScoredRun:
    """The items of an evaluation with their scores; `EvaluationResult` adds tables and files.

    Scores are in [0, 1]; tables show them times 100, as publications do. Items that failed have
    no score: they are in no mean, and are counted in `num_failed`. An answer that could not be read
    is wrong, and is counted in `num_unread` as well.

    Attributes:
        record: the conditions, from which the evaluation can be repeated.
        items: the items with their answers and scores, in the order of the data.
        metrics: the metrics of the benchmark; the first is the score.
    """

    record: EvaluationRecord
    items: tuple[ScoredItem, ...]
    metrics: tuple[Metric, ...]

    @property
    def name(self) -> str:
        """The name of the benchmark."""
        return self.record.benchmark

    @cached_property
    def estimates(self) -> Mapping[str, Estimate]:
        """Each metric by its name, with its interval; empty if no item was answered."""
        return estimate_metrics(self.answered, self.metrics)

    @property
    def score(self) -> float:
        """The first metric, in [0, 1], over the items that were answered.

        Raises:
            EvaluationError: no item was answered.
        """
        return self._headline.value

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the score, by a bootstrap over clusters.

        Raises:
            EvaluationError: no item was answered.
        """
        return self._headline.low, self._headline.high

    @cached_property
    def by_group(self) -> Mapping[str, Mapping[str, Estimate]]:
        """The score of each value of each group, such as `by_group["language"]["ja"]`.

        It is that of the first metric in which items of the group count. An item with several
        values, such as skills, counts for each of them.
        """
        names = dict.fromkeys(name for each in self.answered for name in each.item.group_names)
        return {name: self._of_group(name) for name in names}

    @cached_property
    def answered(self) -> tuple[ScoredItem, ...]:
        """The items that have a score."""
        return tuple(each for each in self.items if not each.is_failed)

    @property
    def failed(self) -> tuple[ScoredItem, ...]:
        """The items that failed, each with its error."""
        return tuple(each for each in self.items if each.is_failed)

    @property
    def num_failed(self) -> int:
        """The number of items without an answer, which no mean counts."""
        return len(self.items) - len(self.answered)

    @property
    def num_unread(self) -> int:
        """The number of answers that could not be read, and count as wrong."""
        return sum(each.read is None for each in self.answered)

    @property
    def num_cut(self) -> int:
        """The number of answers that ended because they had reached their greatest length."""
        return sum(each.is_cut for each in self.answered)

    @property
    def num_judged(self) -> int:
        """The number of answers that a judge was asked about."""
        return sum(each.judge_answer is not None for each in self.answered)

    @property
    def mean_visual_tokens(self) -> float | None:
        """The visual tokens of an item, on average; None if no reply tells them."""
        facts = [each.reply_facts for each in self.answered]
        used = [each.visual_tokens for each in facts if each is not None]
        return sum(used) / len(used) if used else None

    def hardest(self, number: int = 10) -> tuple[ScoredItem, ...]:
        """Return the items with the lowest scores, those with the most confidence first.

        Items with the full score are left out.

        Args:
            number: the most items.
        """

        def key(each: ScoredItem) -> tuple[float, float]:
            value = 0.0 if each.score is None else each.score.value
            return value, -(each.confidence or 0.0)

        short = [each for each in self.answered if key(each)[0] < 1.0]
        return tuple(sorted(short, key=key)[:number])

    def calibrate(self, method: Method = "isotonic", signal: Signal = "product") -> Calibrator:
        """Fit a calibrator on the answers: an answer is correct if its score is at least a half.

        Args:
            method: see `Calibrator.fit`.
            signal: see `Calibrator.fit`.

        Raises:
            CalibrationError: there are too few answers with scores of their tokens, or all are
                right, or all wrong.
        """
        known = [each for each in self.answered if each.reply is not None and each.reply.scores]
        replies = [each.reply for each in known if each.reply is not None]
        right = [each.is_right for each in known]
        return Calibrator.fit(replies, right, method=method, signal=signal)

    def reliability(self) -> CalibrationReport:
        """Measure the confidences: reliability, and the risk by coverage.

        Raises:
            CalibrationError: no answer has a confidence.
        """
        known = [each for each in self.answered if each.confidence is not None]
        return CalibrationReport.of(
            [each.confidence or 0.0 for each in known], [each.is_right for each in known]
        )

    @property
    def _headline(self) -> Estimate:
        if not self.answered:
            raise EvaluationError(
                f"none of {len(self.items):,} items was answered",
                expected="at least one answer",
                hint="result.failed has the errors",
            )
        return self.estimates[self.metrics[0].name]

    def _of_group(self, name: str) -> dict[str, Estimate]:
        of_value: dict[str, list[ScoredItem]] = {}
        for each in self.answered:
            for value in each.item.values_of(name):
                of_value.setdefault(value, []).append(each)
        found = {
            value: estimate_metrics(of_value[value], self.metrics) for value in sorted(of_value)
        }
        return {value: each[self._told_by(each)] for value, each in found.items() if each}

    def _told_by(self, estimates: Mapping[str, Estimate]) -> str:
        """The first metric that there is: questions without a figure have no figure accuracy."""
        return next(metric.name for metric in self.metrics if metric.name in estimates)


def metrics_of(benchmark: Any) -> tuple[Metric, ...]:
    """Return the metrics of a benchmark, checked.

    Raises:
        EvaluationError: there are none, or one is a mean of metrics that there are not.
    """
    metrics: Sequence[Metric] = tuple(benchmark.metrics)
    names = {metric.name for metric in metrics}
    missing = [name for metric in metrics for name in metric.of if name not in names]
    if not metrics or missing:
        raise EvaluationError(
            f"{benchmark.name} has no metric {missing[0]!r}" if missing else "no metrics",
            expected="at least one metric, and each that another is a mean of",
        )
    return tuple(metrics)
