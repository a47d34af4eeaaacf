"""The share of simulated data sets whose interval holds the truth.

`python -m tests.evaluation.statistics.coverage [RUNS]` prints the whole table; the
tests run a few of its rows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy

from qwenvl_kit.evaluation.metrics import ACCURACY, Metric
from qwenvl_kit.evaluation.statistics.estimates import _estimate, parts_of, sample_means
from qwenvl_kit.evaluation.statistics.units import Numbers, Places, Units

ROUNDS = 1000
ICC = 0.3


@dataclass(frozen=True)
class Case:
    """Data of a kind.

    Attributes:
        share: the true score.
        clusters: the number of clusters.
        most: the most items of a cluster; sizes are evenly spread from 1.
        icc: the intraclass correlation.
        form: "plain"; "soft" for scores between 0 and 1; "macro" for a mean of nine groups of
            uneven sizes and scores; "two" for a mean of two groups, of which the small one has a
            tenth of the items and decides the error; "units" for the mean of three metrics over
            sets of items, two of which count units that are right if all of their items are.
    """

    share: float
    clusters: int
    most: int = 1
    icc: float = 0.0
    form: str = "plain"


def cases() -> Iterator[Case]:
    for clusters in (40, 100, 400):
        for share in (0.1, 0.3, 0.5, 0.8, 0.95):
            yield Case(share, clusters)
            yield Case(share, clusters, 20, ICC)
    for share in (0.1, 0.5, 0.95):
        for clusters in (40, 200):
            yield Case(share, clusters, 20, ICC, "soft")
    for clusters in (100, 200, 400):
        yield Case(0.6, clusters, form="two")
    for share in (0.3, 0.5, 0.8):
        for clusters in (90, 400):
            yield Case(share, clusters, 6, ICC, "macro")
            yield Case(share, clusters, 8, ICC, "units")


def coverage(case: Case, runs: int, seed: int = 0) -> tuple[float, float]:
    """The share of intervals that hold the truth, and their mean width."""
    random = numpy.random.default_rng(seed)
    truth = _truth(case)
    held, width = 0, 0.0
    for _ in range(runs):
        low, high = _one(case, random)
        held += low <= truth <= high
        width += high - low
    return held / runs, width / runs


def _one(case: Case, random: numpy.random.Generator) -> tuple[float, float]:
    drawn, metrics = _data(case, random)
    sampled = sample_means(drawn, case.clusters, ROUNDS, int(random.integers(2**31)))
    found = _estimate(parts_of(metrics[0], metrics), sampled, 0.95)
    assert found is not None
    return found.low, found.high


def _data(case: Case, random: numpy.random.Generator) -> tuple[dict[str, Units], list[Metric]]:
    if case.form == "macro":
        return {"accuracy": _macro(case, random)}, [ACCURACY]
    if case.form == "two":
        return {"accuracy": _two(case, random)}, [ACCURACY]
    if case.form == "units":
        return _sets(case, random), [
            Metric(name="mean", of=("aAcc", "fAcc", "qAcc")),
            *(Metric(name=name) for name in ("aAcc", "fAcc", "qAcc")),
        ]
    clusters, own = _clusters(case, random, numpy.full(case.clusters, case.share))
    drawn = random.random(len(own)) < own
    values = random.beta(4 * own, 4 * (1 - own)) if case.form == "soft" else drawn
    return {"accuracy": _units(values.astype(float), clusters)}, [ACCURACY]


def _clusters(
    case: Case, random: numpy.random.Generator, shares: Numbers
) -> tuple[Places, Numbers]:
    """The cluster of each item, and the probability that it is right."""
    own = shares
    if case.icc:
        spread = (1 - case.icc) / case.icc
        own = random.beta(shares * spread, (1 - shares) * spread)
        own = numpy.clip(own, 1e-9, 1 - 1e-9)
    sizes = random.integers(1, case.most + 1, size=case.clusters)
    clusters = numpy.repeat(numpy.arange(case.clusters), sizes)
    return clusters, own[clusters]


def _units(values: Numbers, clusters: Places) -> Units:
    return Units(values, clusters, numpy.zeros(len(values), numpy.int64), 1, len(values))


GROUPS = 9
_WEIGHTS = numpy.arange(1, GROUPS + 1) / (GROUPS * (GROUPS + 1) / 2)


def _group_shares(case: Case) -> Numbers:
    return numpy.clip(case.share + numpy.linspace(-0.2, 0.2, GROUPS), 0.02, 0.98)


def _macro(case: Case, random: numpy.random.Generator) -> Units:
    of_cluster = numpy.repeat(
        numpy.arange(GROUPS), numpy.maximum(2, (_WEIGHTS * case.clusters).astype(int))
    )
    of_cluster = numpy.resize(of_cluster, case.clusters)
    clusters, own = _clusters(case, random, _group_shares(case)[of_cluster])
    values = (random.random(len(own)) < own).astype(float)
    return replace(_units(values, clusters), groups=of_cluster[clusters], num_groups=GROUPS)


def _two(case: Case, random: numpy.random.Generator) -> Units:
    """Nine of ten items with a score that is .3 higher, one with a score that is .3 lower."""
    is_small = (numpy.arange(case.clusters) % 10 == 0).astype(numpy.int64)
    values = random.random(case.clusters) < case.share + 0.3 - 0.6 * is_small
    found = _units(values.astype(float), numpy.arange(case.clusters))
    return replace(found, groups=is_small, num_groups=2)


QUESTIONS, FIGURES = 3, 2


def _sets(case: Case, random: numpy.random.Generator) -> dict[str, Units]:
    """Sets of three questions about each of two figures, as HallusionBench has them."""
    spread = (1 - case.icc) / case.icc
    own = random.beta(case.share * spread, (1 - case.share) * spread, size=case.clusters)
    right = random.random((case.clusters, FIGURES, QUESTIONS)) < own[:, None, None]
    each = numpy.arange(case.clusters)
    whole = QUESTIONS * FIGURES
    return {
        "aAcc": _units(right.reshape(-1).astype(float), numpy.repeat(each, whole)),
        "fAcc": _units(right.all(axis=2).reshape(-1).astype(float), numpy.repeat(each, FIGURES)),
        "qAcc": _units(right.all(axis=1).reshape(-1).astype(float), numpy.repeat(each, QUESTIONS)),
    }


def _truth(case: Case) -> float:
    if case.form == "macro":
        return float(_group_shares(case).mean())
    if case.form == "units":
        spread = (1 - case.icc) / case.icc
        first = case.share * spread
        moments = [case.share]
        for power in range(1, QUESTIONS):
            moments.append(moments[-1] * (first + power) / (spread + power))
        return (moments[0] + moments[QUESTIONS - 1] + moments[FIGURES - 1]) / 3
    return case.share


if __name__ == "__main__":
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    for at, each in enumerate(cases()):
        held, width = coverage(each, number, seed=at)
        mark = "" if 0.93 <= held <= 0.97 else "  <--"
        print(
            f"{each.form:6} p={each.share:<5} {each.clusters:4} clusters of 1-{each.most:<2} "
            f"icc {each.icc}: {held:.3f}, width {width:.3f}{mark}",
            flush=True,
        )
