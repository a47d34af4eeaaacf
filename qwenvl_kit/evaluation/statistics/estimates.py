"""Estimates: metrics with their intervals, by a bootstrap over clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.items import ScoredItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.statistics.bootstrap import (
    bootstrap_means,
    group_degrees,
    influences,
    mean_of,
)
from qwenvl_kit.evaluation.statistics.quantiles import (
    normal_quantile,
    score_interval,
    student_quantile,
)
from qwenvl_kit.evaluation.statistics.units import (
    Numbers,
    Units,
    cluster_places,
    failed_items,
    in_order,
    is_counted,
    units_of,
)

ROUNDS = 2000
"""The number of samples of a bootstrap."""

_LEAST_ROUNDS = 100
_FEWEST_DEGREES = 5
"""The fewest degrees of freedom to which unequal clusters lower those of Student's quantile. With
fewer, one wrong answer would make the interval several times as wide as none does."""

_SAME = 1e-12
"""Variances up to this are those of equal values."""


@dataclass(frozen=True)
class Estimate:
    """A metric with its interval. `str(estimate)` is such as "43.0 [41.2, 44.8]", times 100.

    Attributes:
        value: the metric, in [0, 1].
        low, high: the ends of its interval, in [0, 1].
        num_items: the number of items that it counts.
        num_units: the number of units that it is a mean of: items, or several that belong
            together.
        num_clusters: the number of clusters by which the interval is drawn.
    """

    value: float
    low: float
    high: float
    num_items: int
    num_units: int
    num_clusters: int

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def estimate_metrics(
    items: Sequence[ScoredItem],
    metrics: Sequence[Metric],
    *,
    level: float = 0.95,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Return each metric with its interval, by its name.

    Items of one cluster, such as questions about one document, are right or wrong together, so
    samples are drawn of clusters, with replacement. An item without a cluster is one alone; a unit
    of several items belongs to the cluster of its first item, by the order of ids. The variance of
    these samples, times G / (G - 1) for G clusters, tells how many independent answers the metric
    is worth: value * (1 - value) / variance. Their number gives Wilson's score interval, with the
    quantile of Student's t in place of the normal one (`SampledMeans.degrees`). That form of
    the interval for samples of clusters is from Kott and Carr, "Developing an estimation strategy
    for a pesticide data program", Journal of Official Statistics 13, 1997; it is recommended by
    Franco et al., "Comparative study of confidence intervals for proportions in complex sample
    surveys", Journal of Survey Statistics and Methodology 7, 2019.

    Where all samples are alike, as with all answers right, Wilson's interval is that of as many
    answers as there are clusters.

    Args:
        items: the items. Those that failed are left out, and with them the units of several items
            that they belong to.
        metrics: the metrics.
        level: the level of the intervals, in (0, 1).
        rounds: the number of samples, at least 100.
        seed: the seed of the draws. The same seed gives the same intervals, in whatever order the
            items are.

    Returns:
        The estimates. A metric that no item counts in is left out.

    Raises:
        EvaluationError: an argument is out of its range, or an item lacks a fact that names its
            unit.
    """
    check_settings(level, rounds, seed)
    answered, failed = in_order(items), failed_items(items)
    places = cluster_places(answered)
    units = {
        metric.name: found
        for metric in metrics
        if not metric.of and (found := units_of(answered, metric, places, failed)) is not None
    }
    if not units:
        return {}
    sampled = sample_means(units, len(places), rounds, seed)
    estimates = {
        metric.name: _estimate(parts_of(metric, metrics), sampled, level) for metric in metrics
    }
    return {name: each for name, each in estimates.items() if each is not None}


@dataclass(frozen=True)
class SampledMeans:
    """Metrics that are no means of others, in samples of clusters, by their names.

    Attributes:
        units: the units of each.
        samples: the mean of each sample, (rounds,).
        num_all: the number of all clusters.
    """

    units: Mapping[str, Units]
    samples: Mapping[str, Numbers]
    num_all: int

    def variance(self, parts: Mapping[str, float]) -> float:
        """The variance of a weighted mean, times G / (G - 1); 0 where nothing varies."""
        values = sum(weight * self.samples[name] for name, weight in parts.items())
        known = numpy.asarray(values)[numpy.isfinite(values)]
        number = self.num_clusters(parts)
        if number < 2 or len(known) < 2:
            return 0.0
        found = float(known.var()) * number / (number - 1)
        return 0.0 if found < _SAME else found

    def degrees(self, parts: Mapping[str, float]) -> int:
        """The degrees of freedom of the variance: G - 1, or fewer if clusters are very unequal.

        They are 2 * G / (k - 1), where k is the kurtosis of what clusters add to the error
        (Satterthwaite, "An approximate distribution of estimates of variance components",
        Biometrics Bulletin 2, 1946), which is G for the normal distribution. Units that are right
        or wrong, each alone in its cluster, have G - 1: their variance follows from their mean.
        A mean of groups of such units has those of its groups (`group_degrees`).
        """
        number = self.num_clusters(parts)
        counted = [self.units[name] for name in parts]
        if all(each.is_alone for each in counted):
            fewest = min(number - 1.0, *(group_degrees(each) for each in counted))
            return max(1, int(fewest))
        added = sum(
            weight * influences(self.units[name], self.num_all) for name, weight in parts.items()
        )
        squares = numpy.square(added)
        peakedness = float(numpy.square(squares).sum() / max(squares.sum() ** 2, _SAME**2)) * number
        known = 2 * number / max(peakedness - 1, _SAME)
        return max(1, min(number - 1, max(_FEWEST_DEGREES, int(known))))

    def num_clusters(self, parts: Mapping[str, float]) -> int:
        """The number of clusters that have a unit of a mean of metrics."""
        return len(numpy.unique(numpy.concatenate([self.units[each].clusters for each in parts])))


def sample_means(
    units: Mapping[str, Units], num_clusters: int, rounds: int, seed: int
) -> SampledMeans:
    """Return the means of metrics in samples of clusters; see `bootstrap_means`."""
    drawn = bootstrap_means([*units.values()], num_clusters, rounds, seed)
    return SampledMeans(units, dict(zip(units, drawn)), num_clusters)


def parts_of(metric: Metric, metrics: Sequence[Metric]) -> dict[str, float]:
    """Return the metrics that a metric is a mean of, each with its weight; itself if of none.

    Raises:
        EvaluationError: it is a mean of a metric that there is not, or of itself.
    """
    return _parts(metric, {each.name: each for each in metrics}, ())


def has_items(metric: Metric, metrics: Sequence[Metric], items: Sequence[ScoredItem]) -> bool:
    """Return True if a metric counts items, answered or not.

    Questions without a figure, such as some of HallusionBench, have no figure accuracy.

    Raises:
        EvaluationError: see `parts_of`.
    """
    known = {each.name: each for each in metrics}
    return all(
        any(is_counted(each.item, known[name]) for each in items)
        for name in parts_of(metric, metrics)
    )


def check_settings(level: float, rounds: int, seed: int) -> None:
    """Refuse settings of a bootstrap that are out of their ranges."""
    if not 0.0 < level < 1.0:
        raise EvaluationError(
            f"level={level!r} was given", expected="a share above 0 and below 1, such as 0.95"
        )
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < _LEAST_ROUNDS:
        raise EvaluationError(
            f"rounds={rounds!r} was given", expected=f"a whole number, {_LEAST_ROUNDS} or more"
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise EvaluationError(f"seed={seed!r} was given", expected="a whole number, 0 or more")


def _estimate(parts: Mapping[str, float], sampled: SampledMeans, level: float) -> Estimate | None:
    """The estimate of a weighted mean of metrics; None if one of them has no units."""
    if not parts.keys() <= sampled.units.keys():
        return None
    counted = [sampled.units[name] for name in parts]
    value = sum(weight * mean_of(sampled.units[name]) for name, weight in parts.items())
    number = sampled.num_clusters(parts)
    low, high = _interval(value, parts, sampled, level)
    return Estimate(
        value=value,
        low=low,
        high=high,
        num_items=max(each.num_items for each in counted),
        num_units=sum(map(len, counted)),
        num_clusters=number,
    )


def _interval(
    value: float, parts: Mapping[str, float], sampled: SampledMeans, level: float
) -> tuple[float, float]:
    upper = (1 + level) / 2
    variance = sampled.variance(parts)
    if not variance:
        return score_interval(value, sampled.num_clusters(parts), normal_quantile(upper))
    size = value * (1 - value) / variance
    return score_interval(value, size, student_quantile(upper, sampled.degrees(parts)))


def _parts(metric: Metric, known: Mapping[str, Metric], above: tuple[str, ...]) -> dict[str, float]:
    if not metric.of:
        return {metric.name: 1.0}
    found: dict[str, float] = {}
    for name in metric.of:
        if name not in known or name == metric.name or name in above:
            raise EvaluationError(
                f"the metric {metric.name!r} is a mean of {name!r}",
                expected="other metrics of the benchmark",
            )
        for part, weight in _parts(known[name], known, (*above, metric.name)).items():
            found[part] = found.get(part, 0.0) + weight / len(metric.of)
    return found
