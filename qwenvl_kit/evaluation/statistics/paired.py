"""Paired differences: two runs on the same items, compared item by item."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.items import ScoredItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.statistics.bootstrap import group_degrees, mean_of
from qwenvl_kit.evaluation.statistics.estimates import (
    ROUNDS,
    SampledMeans,
    check_settings,
    parts_of,
    sample_means,
)
from qwenvl_kit.evaluation.statistics.quantiles import student_quantile
from qwenvl_kit.evaluation.statistics.significance import mcnemar, student_p_value
from qwenvl_kit.evaluation.statistics.units import (
    Numbers,
    Units,
    cluster_places,
    failed_items,
    in_order,
    units_of,
)

Test: TypeAlias = Literal["McNemar", "Student"]
"""The test that a p value is of."""

_CHANGED = 1e-9
"""Scores that differ by less are the same."""


@dataclass(frozen=True)
class PairedDifference:
    """The difference of a metric between two runs on the same items.

    Attributes:
        first, second: the metric in the first and in the second run, in [0, 1].
        low, high: the ends of the interval of their difference.
        p_value: the probability of a difference at least as large if both models are equally good.
        test: the test that it is of: "McNemar" (exact) where each unit is right or wrong and no
            two share a cluster; else "Student", which is below .05 where the interval of 95%
            does not hold 0.
        num_better, num_worse: the units whose score is higher, and lower, in the second run.
        num_units: the number of units that the metric is a mean of.
        num_clusters: the number of clusters by which the interval is drawn.
    """

    first: float
    second: float
    low: float
    high: float
    p_value: float
    test: Test
    num_better: int
    num_worse: int
    num_units: int
    num_clusters: int

    @property
    def difference(self) -> float:
        """The second metric minus the first, in [-1, 1]."""
        return self.second - self.first

    @property
    def agreement(self) -> float:
        """The share of units whose score is the same in both runs, in [0, 1]."""
        return 1 - (self.num_better + self.num_worse) / self.num_units

    def __str__(self) -> str:
        value, low, high = map(_signed, (self.difference, self.low, self.high))
        return f"{value} [{low}, {high}]"


def _signed(difference: float) -> str:
    """A difference times 100, with its sign; nothing is "-0.0"."""
    return f"{round(100 * difference, 1) + 0.0:+.1f}"


def paired_differences(
    first: Sequence[ScoredItem],
    second: Sequence[ScoredItem],
    metrics: Sequence[Metric],
    *,
    level: float = 0.95,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> dict[str, PairedDifference]:
    """Return the difference of each metric between two runs, by its name.

    The interval is that of the differences of units: their variance is that of samples of clusters,
    as in `estimate_metrics`, and the quantile that of Student's t for as many degrees. Two
    units are added, one better and one worse by the largest change, as Bonett and Price do,
    "Improved Wald confidence intervals for a difference of binomial proportions based on paired
    data", 2012 (Journal of Educational and Behavioral Statistics 37); so the interval is not
    empty where nothing changed, or all alike. Student's p value is that of the same difference and
    error, so that the two never disagree.

    Args:
        first: the items of the first run.
        second: the same items, of the second run. An item that failed in one of the runs is left
            out of both, and with it the units of several items that it belongs to.
        metrics: the metrics.
        level: the level of the intervals, in (0, 1).
        rounds: the number of samples, at least 100.
        seed: the seed of the draws.

    Returns:
        The differences. A metric that no item counts in is left out.

    Raises:
        EvaluationError: the items are not the same.
    """
    check_settings(level, rounds, seed)
    if sorted(each.id for each in first) != sorted(each.id for each in second):
        raise EvaluationError("the two runs have different items", expected="the same in both")
    failed = failed_items([*first, *second])
    lost = {each.id for each in failed}
    before, after = (
        [each for each in in_order(items) if each.id not in lost] for items in (first, second)
    )
    places = cluster_places(before)
    pairs = {
        metric.name: (ours, replace(ours, values=theirs.values))
        for metric in metrics
        if not metric.of
        and (ours := units_of(before, metric, places, failed)) is not None
        and (theirs := units_of(after, metric, places, failed)) is not None
    }
    if not pairs:
        return {}
    changes = {name: replace(a, values=b.values - a.values) for name, (a, b) in pairs.items()}
    sampled = sample_means(changes, len(places), rounds, seed)
    found = {
        each.name: _difference(parts_of(each, metrics), pairs, sampled, level) for each in metrics
    }
    return {name: each for name, each in found.items() if each is not None}


def _difference(
    parts: Mapping[str, float],
    pairs: Mapping[str, tuple[Units, Units]],
    sampled: SampledMeans,
    level: float,
) -> PairedDifference | None:
    """The difference of a weighted mean of metrics; None if one of them has no units."""
    if not parts.keys() <= pairs.keys():
        return None
    first, second = (
        sum(weight * mean_of(pairs[name][at]) for name, weight in parts.items()) for at in (0, 1)
    )
    changed = numpy.concatenate([sampled.units[name].values for name in parts])
    better, worse = int((changed > _CHANGED).sum()), int((changed < -_CHANGED).sum())
    number, error = sampled.num_clusters(parts), math.sqrt(sampled.variance(parts))
    degrees = _degrees(parts, sampled)
    middle, spread = _with_two_more(second - first, error, changed, number)
    half = student_quantile((1 + level) / 2, degrees) * spread
    is_exact = len(parts) == 1 and all(
        each.is_alone and each.num_groups == 1 for name in parts for each in pairs[name]
    )
    return PairedDifference(
        first=first,
        second=second,
        low=max(-1.0, middle - half),
        high=min(1.0, middle + half),
        p_value=mcnemar(better, worse) if is_exact else student_p_value(middle / spread, degrees),
        test="McNemar" if is_exact else "Student",
        num_better=better,
        num_worse=worse,
        num_units=len(changed),
        num_clusters=number,
    )


def _degrees(parts: Mapping[str, float], sampled: SampledMeans) -> int:
    """The degrees of freedom; changes that are alone in their clusters need no fewer than G - 1.

    A mean of groups has those of its groups (`group_degrees`).
    """
    counted = [sampled.units[name] for name in parts]
    if any(each.num_clusters < len(each) for each in counted):
        return sampled.degrees(parts)
    grouped = [group_degrees(each) for each in counted if each.num_groups > 1]
    return max(1, int(min(sampled.num_clusters(parts) - 1.0, *grouped, math.inf)))


def _with_two_more(
    difference: float, error: float, changed: Numbers, num_clusters: int
) -> tuple[float, float]:
    """The difference and its error with two units added; of clusters if nothing varies in them."""
    largest = float(numpy.abs(changed).max())
    largest = largest if largest > _CHANGED else 1.0
    number = len(changed) if error else num_clusters
    variance = (number**2 * error**2 + 2 * largest**2) / (number + 2) ** 2
    return difference * number / (number + 2), math.sqrt(variance)
