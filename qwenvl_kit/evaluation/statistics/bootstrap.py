"""The bootstrap by clusters: means of units in samples of clusters, drawn with replacement."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy

from qwenvl_kit.evaluation.statistics.units import Numbers, Units

_MOST_DRAWS = 2_000_000
"""The most clusters that are drawn at a time: 16 MB of numbers."""


def mean_of(units: Units) -> float:
    """Return the mean of units; with groups the mean of the means of the groups."""
    sums, counts = _by_cluster(units, 1, numpy.zeros(len(units), numpy.int64))
    return float(_means(sums, counts)[0])


def bootstrap_means(
    metrics: Sequence[Units], num_clusters: int, rounds: int, seed: int
) -> list[Numbers]:
    """Return the mean of each metric in each sample of clusters.

    Each round draws as many clusters as there are, with replacement (Davison and Hinkley,
    "Bootstrap Methods and their Application", 1997, section 3.8). All metrics see the same
    samples. A group that has no cluster in a sample is left out of that sample's mean of groups.

    Args:
        metrics: the units of each metric.
        num_clusters: the number of clusters.
        rounds: the number of samples.
        seed: the seed of the draws.

    Returns:
        An array (rounds,) for each metric; a sample without a unit of the metric has NaN.
    """
    parts = [_by_cluster(units, num_clusters, units.clusters) for units in metrics]
    table = numpy.concatenate([array for part in parts for array in part], axis=1)
    summed = numpy.concatenate(
        [drawn @ table for drawn in _drawn_counts(num_clusters, rounds, seed)]
    )
    found, at = [], 0
    for units in metrics:
        width = units.num_groups
        sums, counts = summed[:, at : at + width], summed[:, at + width : at + 2 * width]
        found.append(_means(sums, counts))
        at += 2 * width
    return found


def influences(units: Units, num_clusters: int) -> Numbers:
    """Return what each cluster adds to the error of a mean, by linearisation, (clusters,).

    The mean is a ratio of sums of clusters, or a mean of such ratios (Davison and Hinkley, section
    2.7). A cluster without a unit has 0.
    """
    sums, counts = _by_cluster(units, num_clusters, units.clusters)
    numbers = counts.sum(axis=0)
    apart = (sums - sums.sum(axis=0) / numbers * counts) / numbers
    found: Numbers = apart.mean(axis=1)
    return found


def group_degrees(units: Units) -> float:
    """Return the degrees of freedom of a mean of groups of units that are each alone in a cluster.

    A small group decides the error of the mean, and has few units to tell it. Welch, "The
    generalization of 'Student's' problem when several different population variances are involved",
    Biometrika 34, 1947. Infinite if nothing varies.
    """
    sums, counts = (each[0] for each in _by_cluster(units, 1, numpy.zeros(len(units), numpy.int64)))
    squares = numpy.bincount(units.groups, weights=numpy.square(units.values))
    inside = numpy.maximum(squares - numpy.square(sums) / counts, 0.0)
    free = numpy.maximum(counts - 1, 1.0)
    variances = inside / free / counts
    below = float((numpy.square(variances) / free).sum())
    return float(variances.sum()) ** 2 / below if below else math.inf


def _by_cluster(units: Units, num_clusters: int, clusters: object) -> tuple[Numbers, Numbers]:
    """The sum and the number of units of each cluster and group, (clusters, groups) each."""
    width = units.num_groups
    places = numpy.asarray(clusters) * width + units.groups
    size = num_clusters * width
    sums = numpy.bincount(places, weights=units.values, minlength=size).astype(numpy.float64)
    counts = numpy.bincount(places, minlength=size).astype(numpy.float64)
    return sums.reshape(-1, width), counts.reshape(-1, width)


def _drawn_counts(num_clusters: int, rounds: int, seed: int) -> Iterator[Numbers]:
    """The times that each cluster is drawn, (rounds, clusters), some rounds at a time."""
    random = numpy.random.default_rng(seed)
    size = max(1, _MOST_DRAWS // num_clusters)
    for first in range(0, rounds, size):
        number = min(size, rounds - first)
        drawn = random.integers(num_clusters, size=(number, num_clusters))
        drawn += num_clusters * numpy.arange(number)[:, None]
        counts = numpy.bincount(drawn.ravel(), minlength=number * num_clusters)
        yield counts.reshape(number, num_clusters).astype(numpy.float64)


def _means(sums: Numbers, counts: Numbers) -> Numbers:
    """The mean over groups of the means of each group, (samples,); NaN where there is none."""
    is_there = counts > 0
    means = numpy.divide(sums, counts, out=numpy.zeros_like(sums), where=is_there)
    number = is_there.sum(axis=1)
    empty = numpy.full(len(sums), numpy.nan)
    found: Numbers = numpy.divide(means.sum(axis=1), number, out=empty, where=number > 0)
    return found
