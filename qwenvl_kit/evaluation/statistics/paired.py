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
from qwenvl_kit.evaluation.statistics.bootstrap import mean_of
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
            two share a cluster; else "Student", of the difference and its standard error.
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
    empty where nothing changed.

    Args:
        first: the items of the first run.
        second: the same items, of the second run.
        metrics: the metrics.
        level: the level of the intervals, in (0, 1).
        rounds: the number of samples, at least 100.
        seed: the seed of the draws.

    Returns:
        The differences. A metric that no item counts in is left out.

    Raises:
        EvaluationError: the items are not the same, or not answered in both runs.
    """
    check_settings(level, rounds, seed)
    before, after = in_order(first), in_order(second)
    if [each.id for each in before] != [each.id for each in after]:
        raise EvaluationError(
            "the two runs have answers to different items", expected="the same items in both"
        )
    places = cluster_places(before)
    pairs = {
        metric.name: (ours, replace(ours, values=theirs.values))
        for metric in metrics
        if not metric.of
        and (ours := units_of(before, metric, places)) is not None
        and (theirs := units_of(after, metric, places)) is not None
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
    quantile = student_quantile((1 + level) / 2, degrees)
    low, high = _interval(second - first, error, changed, number, quantile)
    is_exact = len(parts) == 1 and all(
        each.is_alone and each.num_groups == 1 for name in parts for each in pairs[name]
    )
    p_value = mcnemar(better, worse) if is_exact else _p_value(second - first, error, degrees)
    return PairedDifference(
        first=first,
        second=second,
        low=low,
        high=high,
        p_value=p_value,
        test="McNemar" if is_exact else "Student",
        num_better=better,
        num_worse=worse,
        num_units=len(changed),
        num_clusters=number,
    )


def _degrees(parts: Mapping[str, float], sampled: SampledMeans) -> int:
    """The degrees of freedom; changes that are alone in their clusters need no fewer than G - 1."""
    number = sampled.num_clusters(parts)
    is_alone = all(sampled.units[name].num_clusters == len(sampled.units[name]) for name in parts)
    return max(1, number - 1) if is_alone else sampled.degrees(parts)


def _interval(
    difference: float, error: float, changed: Numbers, num_clusters: int, quantile: float
) -> tuple[float, float]:
    """The interval with two units added; of clusters alone where nothing varies between them."""
    largest = float(numpy.abs(changed).max()) or 1.0
    number = len(changed) if error else num_clusters
    variance = (number**2 * error**2 + 2 * largest**2) / (number + 2) ** 2
    middle = difference * number / (number + 2)
    half = quantile * math.sqrt(variance)
    return max(-1.0, middle - half), min(1.0, middle + half)


def _p_value(difference: float, error: float, degrees: int) -> float:
    """Student's p value; 1 where nothing varies, of which nothing can be said."""
    return student_p_value(difference / error, degrees) if error else 1.0
