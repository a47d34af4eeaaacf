"""The share of simulated pairs of runs whose interval holds the true difference.

`python -m tests.evaluation.statistics.paired_coverage [RUNS]` prints the table.
"""

from __future__ import annotations

import sys

import numpy

from qwenvl_kit.evaluation.statistics.estimates import sample_means
from qwenvl_kit.evaluation.statistics.paired import _difference
from qwenvl_kit.evaluation.statistics.units import Units

ROUNDS = 600
ICC = 0.2
RATES = ((0.02, 0.02), (0.05, 0.01), (0.1, 0.05), (0.3, 0.2))
"""The shares of items that become right, and wrong."""


def coverage(rates: tuple[float, float], clusters: int, most: int, runs: int, seed: int) -> float:
    """The share of intervals that hold the true difference; changes go together in a cluster."""
    random = numpy.random.default_rng(seed)
    truth = rates[0] - rates[1]
    return sum(_holds(random, rates, clusters, most, truth) for _ in range(runs)) / runs


def _holds(
    random: numpy.random.Generator,
    rates: tuple[float, float],
    clusters: int,
    most: int,
    truth: float,
) -> bool:
    chances = numpy.array([*rates, 1 - sum(rates)])
    own = numpy.tile(chances, (clusters, 1))
    if most > 1:
        own = random.dirichlet(chances * (1 - ICC) / ICC, clusters)
    sizes = random.integers(1, most + 1, clusters)
    of_cluster = numpy.repeat(numpy.arange(clusters), sizes)
    drawn = random.random(len(of_cluster))
    better = drawn < own[of_cluster, 0]
    worse = ~better & (drawn < own[of_cluster, :2].sum(axis=1))
    none = numpy.zeros(len(of_cluster), numpy.int64)
    first, second = (
        Units(values.astype(float), of_cluster, none, 1, len(values)) for values in (worse, better)
    )
    change = Units(second.values - first.values, of_cluster, none, 1, len(none))
    sampled = sample_means({"m": change}, clusters, ROUNDS, int(random.integers(2**31)))
    found = _difference({"m": 1.0}, {"m": (first, second)}, sampled, 0.95)
    assert found is not None
    return found.low <= truth <= found.high


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for at, (size, limit, rates) in enumerate(
        (size, limit, rates) for size in (40, 100, 400) for limit in (1, 20) for rates in RATES
    ):
        held = coverage(rates, size, limit, number, at)
        mark = "" if 0.93 <= held <= 0.97 else "  <--"
        print(
            f"better, worse {rates}: {size:4} clusters of 1-{limit:<2}: {held:.3f}{mark}",
            flush=True,
        )
