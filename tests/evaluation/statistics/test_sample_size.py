"""The number of items that a difference needs."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.statistics.quantiles import normal_quantile
from qwenvl_kit.evaluation.statistics.sample_size import items_needed


def test_two_points_of_paired_items() -> None:
    assert items_needed(0.02) == 3923
    assert items_needed(-0.02) == 3923
    assert items_needed(0.02, agreement=0.95) < 1000


def test_unpaired_numbers_are_those_of_other_packages() -> None:
    """R: power.prop.test(p1=.5, p2=.6, power=.8) has 387.34, of .9 and .95 434.4."""
    assert items_needed(0.1, paired=False) == 388
    assert items_needed(0.05, score=0.9, paired=False) == 435
    assert items_needed(0.05, score=1.0, paired=False) == items_needed(
        0.05, score=0.95, paired=False
    )


def test_clusters_need_more_items() -> None:
    alone = items_needed(0.05)
    assert items_needed(0.05, mean_cluster_size=5, icc=0.25) == pytest.approx(2 * alone, abs=2)
    assert items_needed(0.05, mean_cluster_size=5) == alone
    assert items_needed(0.05, icc=0.5) == alone


def test_power_and_level_raise_the_number() -> None:
    assert items_needed(0.05, power=0.9) > items_needed(0.05)
    assert items_needed(0.05, level=0.99) > items_needed(0.05)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"difference": 0.0}, "difference"),
        ({"difference": 2}, "difference"),
        ({"difference": float("nan")}, "difference"),
        ({"difference": 0.1, "power": 80}, "power"),
        ({"difference": 0.1, "level": 1.0}, "level"),
        ({"difference": 0.1, "score": 43.0}, "score"),
        ({"difference": 0.1, "agreement": 95}, "agreement"),
        ({"difference": 0.1, "icc": -0.1}, "icc"),
        ({"difference": 0.1, "mean_cluster_size": 0.5}, "mean_cluster_size"),
        ({"difference": 0.1, "mean_cluster_size": float("inf")}, "mean_cluster_size"),
        ({"difference": 0.3, "agreement": 0.8}, "differ by at most 0.2"),
        ({"difference": 0.6, "paired": False}, "other score"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(EvaluationError, match=named):
        items_needed(**arguments)


def test_the_difference_is_seen_as_often_as_it_says() -> None:
    """20,000 comparisons: the share whose interval does not hold 0 is the power of .8."""
    number = items_needed(0.05, agreement=0.8)
    assert _seen(number, better=0.125, worse=0.075) == pytest.approx(0.8, abs=0.02)


def test_clustered_differences_are_seen_as_often_as_it_says() -> None:
    """Pairs of items of one cluster that always change together: icc 1, size 2."""
    number = items_needed(0.05, agreement=0.8, mean_cluster_size=2, icc=1.0)
    assert _seen(number // 2, better=0.125, worse=0.075) == pytest.approx(0.8, abs=0.02)


def _seen(number: int, *, better: float, worse: float) -> float:
    numbers = numpy.random.default_rng(11)
    counts = numbers.multinomial(number, [better, worse, 1 - better - worse], size=20_000)
    up, down = counts[:, 0], counts[:, 1]
    statistic = numpy.abs(up - down) / numpy.sqrt(numpy.maximum(up + down, 1))
    return float((statistic > normal_quantile(0.975)).mean())
