"""A scored run: the items of an evaluation with their scores, and the figures that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from qwenvl_kit.calibration import CalibrationReport, Calibrator
from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.items import ScoredItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.record import EvaluationRecord
from qwenvl_kit.evaluation.statistics.estimates import (
    Estimate,
    estimate_metrics,
    has_items,
    parts_of,
)

if TYPE_CHECKING:
    from qwenvl_kit.calibration.calibrator import Method
    from qwenvl_kit.calibration.signals import Signal

Figure = TypeVar("Figure")
"""An estimate, or a difference."""


@dataclass(frozen=True)
class ScoredRun:
    """The items of an evaluation with their scores; `EvaluationResult` adds tables and files.

    Scores are in [0, 1]; tables show them times 100, as publications do. Items that failed have
    no score: they are in no mean, nor is a unit of several items of which one failed, and are
    counted in `num_failed`. An answer that could not be read
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
        return estimate_metrics(self.items, self.metrics)

    @property
    def score(self) -> float:
        """The first metric, in [0, 1], over the items that were answered.

        Raises:
            EvaluationError: no item was answered, or none that the first metric counts.
        """
        return self._headline.value

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the score, by a bootstrap over clusters.

        Raises:
            EvaluationError: as `score`.
        """
        return self._headline.low, self._headline.high

    @cached_property
    def by_group(self) -> Mapping[str, Mapping[str, Estimate]]:
        """The score of each value of each group, such as `by_group["language"]["ja"]`.

        It is that of the first metric in which items of the value count; a value is left out if
        none of their units was answered. An item with several values, such as skills, counts for
        each of them.
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
        return headline_of(self.estimates, self.metrics)

    def _of_group(self, name: str) -> dict[str, Estimate]:
        of_value: dict[str, list[ScoredItem]] = {}
        for each in self.items:
            for value in each.item.values_of(name):
                of_value.setdefault(value, []).append(each)
        found = {value: self._of_value(of_value[value]) for value in sorted(of_value)}
        return {value: each for value, each in found.items() if each is not None}

    def _of_value(self, items: Sequence[ScoredItem]) -> Estimate | None:
        """The first metric in which items count; None if none of their units was answered."""
        counted = (each for each in self.metrics if has_items(each, self.metrics, items))
        metric = next(counted, None)
        return None if metric is None else estimate_metrics(items, self.metrics).get(metric.name)


def headline_of(found: Mapping[str, Figure], metrics: Sequence[Metric]) -> Figure:
    """Return the figure of the first metric, never that of another.

    Args:
        found: the figures of metrics by their names.
        metrics: the metrics of the benchmark.

    Raises:
        EvaluationError: there is none, as no item counts in the metric; it names those there are.
    """
    name = metrics[0].name
    if name not in found:
        others = ", ".join(map(repr, found))
        raise EvaluationError(
            f"no unit of the metric {name!r} was answered",
            expected="answers to items that it counts",
            hint=f"the metrics that there are: {others}" if others else "result.failed",
        )
    return found[name]


def metrics_of(benchmark: Any) -> tuple[Metric, ...]:
    """Return the metrics of a benchmark, checked.

    Raises:
        EvaluationError: see `checked_metrics`.
    """
    return checked_metrics(benchmark.metrics, benchmark.name)


def checked_metrics(metrics: Sequence[Metric], name: str) -> tuple[Metric, ...]:
    """Return metrics, if each of them is a mean of units or, in the end, of such metrics.

    Args:
        metrics: the metrics.
        name: the name of their benchmark.

    Raises:
        EvaluationError: there are none, two have one name, or one is a mean of metrics that there
            are not, or of itself.
    """
    names = [metric.name for metric in metrics]
    missing = [each for metric in metrics for each in metric.of if each not in names]
    if not metrics or missing:
        raise EvaluationError(
            f"{name} has no metric {missing[0]!r}" if missing else f"{name} has no metrics",
            expected="at least one metric, and each that another is a mean of",
        )
    if twice := [each for at, each in enumerate(names) if each in names[:at]]:
        raise EvaluationError(
            f"{name} has two metrics {twice[0]!r}", expected="a name of its own for each metric"
        )
    for metric in metrics:
        parts_of(metric, metrics)
    return tuple(metrics)
