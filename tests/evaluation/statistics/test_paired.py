"""Two runs on the same items are compared item by item."""

from __future__ import annotations

import random

import numpy
import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.items import ScoredItem
from qwenvl_kit.evaluation.metrics import ACCURACY, Metric
from qwenvl_kit.evaluation.statistics.paired import PairedDifference, paired_differences
from tests.evaluation.making import scored_item


def run_of(*values: float | None, most: int = 1) -> list[ScoredItem]:
    """Items in clusters of `most`; clusters of one have no name."""
    return [
        scored_item(f"{at:05}", value, cluster=f"page {at // most}" if most > 1 else "")
        for at, value in enumerate(values)
    ]


def compared(
    first: list[float], second: list[float], most: int = 1, **settings: object
) -> PairedDifference:
    runs = run_of(*first, most=most), run_of(*second, most=most)
    return paired_differences(*runs, [ACCURACY], **settings)["accuracy"]  # type: ignore[arg-type]


def test_a_difference_is_the_second_minus_the_first() -> None:
    found = compared([1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0])
    assert (found.first, found.second, found.difference) == (0.25, 0.75, 0.5)
    assert (found.num_better, found.num_worse, found.num_units) == (2, 0, 4)
    assert found.agreement == 0.5


def test_a_difference_reads_with_its_sign() -> None:
    found = PairedDifference(0.5, 0.512, -0.001, 0.025, 0.1, "Student", 3, 1, 100, 100)
    assert str(found) == "+1.2 [-0.1, +2.5]"
    nothing = PairedDifference(0.5, 0.4999, -0.0001, 0.0, 0.1, "Student", 3, 1, 100, 100)
    assert str(nothing) == "+0.0 [+0.0, +0.0]"


def test_scores_of_right_and_wrong_have_mcnemars_value() -> None:
    found = compared([0.0] * 6 + [1.0] * 50, [1.0] * 6 + [1.0] * 50)
    assert (found.test, found.p_value) == ("McNemar", pytest.approx(0.03125))


def test_mcnemars_test_is_not_taken_where_items_share_a_cluster_or_are_half_right() -> None:
    assert compared([0.0] * 6 + [1.0] * 50, [1.0] * 56, most=2).test == "Student"
    assert compared([0.5, 0.0], [1.0, 0.0]).test == "Student"


def test_runs_that_are_alike_have_no_difference_and_still_an_interval() -> None:
    found = compared([1.0, 0.0] * 50, [1.0, 0.0] * 50)
    assert found.p_value == 1.0
    assert found.low == pytest.approx(-found.high)
    assert 0.01 < found.high < 0.05
    assert compared([1.0, 0.0] * 50, [1.0, 0.0] * 50, most=10).high > 3 * found.high


def test_all_of_few_items_that_changed_alike_are_not_certainly_all() -> None:
    found = compared([0.0] * 5, [1.0] * 5)
    assert found.difference == 1.0
    assert found.low < 0.6


@pytest.mark.parametrize("change", [1.0, -1.0, 0.1])
def test_items_in_clusters_that_all_changed_alike_are_no_chance(change: float) -> None:
    first, second = [max(0.0, -change)] * 200, [max(0.0, change)] * 200
    found = compared(first, second, most=2)
    assert (found.test, found.num_clusters) == ("Student", 100)
    assert found.p_value < 1e-9
    assert not found.low <= 0.0 <= found.high


def test_few_clusters_that_changed_alike_may_be_chance() -> None:
    found = compared([0.0] * 200, [1.0] * 200, most=100)
    assert found.p_value > 0.3
    assert found.low < 0 < found.high


@pytest.mark.parametrize("clusters", [2, 3, 4, 6, 10, 40])
def test_the_p_value_agrees_with_the_interval(clusters: int) -> None:
    numbers = random.Random(clusters)
    for _ in range(20):
        middle = numbers.random()
        second = [min(1.0, max(0.0, numbers.gauss(middle, 0.3))) for _ in range(3 * clusters)]
        found = compared([0.2] * len(second), second, most=3, rounds=200)
        assert (found.p_value < 0.0499) <= (not found.low <= 0.0 <= found.high)
        assert (found.p_value > 0.0501) <= (found.low <= 0.0 <= found.high)


def test_pairing_sees_what_two_intervals_do_not() -> None:
    numbers = random.Random(0)
    first = [float(numbers.random() < 0.6) for _ in range(500)]
    second = [1.0 if at % 25 == 0 else each for at, each in enumerate(first)]
    found = compared(first, second)
    assert 0 < found.low < found.difference < 0.03


def test_clusters_that_change_together_count_once() -> None:
    first, second = [0.0] * 400, [float(at // 20 % 4 == 0) for at in range(400)]
    alone, together = compared(first, second), compared(first, second, most=20)
    assert together.high - together.low > 3 * (alone.high - alone.low)
    assert together.p_value > 1000 * alone.p_value


def test_the_order_of_items_changes_nothing_and_the_direction_the_sign() -> None:
    numbers = random.Random(3)
    first = run_of(*(float(numbers.random() < 0.5) for _ in range(90)), most=3)
    second = run_of(*(float(numbers.random() < 0.7) for _ in range(90)), most=3)
    found = paired_differences(first, second, [ACCURACY])["accuracy"]
    assert paired_differences(first[::-1], second, [ACCURACY])["accuracy"] == found
    back = paired_differences(second, first, [ACCURACY])["accuracy"]
    assert (back.low, back.high) == (pytest.approx(-found.high), pytest.approx(-found.low))


def test_means_of_metrics_and_of_groups_have_differences_too() -> None:
    def items(*values: float) -> list[ScoredItem]:
        return [
            scored_item(str(at), value, groups={"task": "ab"[at % 2]}, facts={"set": at // 2})
            for at, value in enumerate(values)
        ]

    metrics = [
        Metric(name="mean", of=("over", "set")),
        Metric(name="over", over="task"),
        Metric(name="set", unit=("set",)),
        Metric(name="strict", is_strict=True),
    ]
    found = paired_differences(items(1, 0, 1, 1), items(1, 1, 1, 0), metrics)
    assert {name: each.difference for name, each in found.items()} == {
        "mean": 0.0,
        "over": 0.0,
        "set": 0.0,
        "strict": 0.0,
    }
    assert found["set"].num_units == 2
    assert (found["set"].num_better, found["set"].num_worse) == (1, 1)


def test_runs_on_different_items_are_refused() -> None:
    with pytest.raises(EvaluationError, match="different items"):
        paired_differences(run_of(1.0, 0.0), run_of(1.0), [ACCURACY])


def test_an_item_that_failed_in_one_run_is_left_out_of_both() -> None:
    found = paired_differences(run_of(1.0, None, 1.0), run_of(1.0, 0.0, 0.0), [ACCURACY])
    assert (found["accuracy"].first, found["accuracy"].second) == (1.0, 0.5)


def test_no_items_have_no_differences() -> None:
    assert paired_differences([], [], [ACCURACY]) == {}


@pytest.mark.parametrize("most", [1, 3])
def test_the_interval_of_a_difference_covers_the_truth(most: int) -> None:
    """120 runs of 60 clusters: models of .6 and .65, whose answers go together."""
    numbers = numpy.random.default_rng(5)
    covered = [_covers(numbers, most) for _ in range(120)]
    assert numpy.mean(covered) >= 0.9


def _covers(numbers: numpy.random.Generator, most: int) -> bool:
    hardness = numpy.repeat(numbers.random(60), most)
    noise = numbers.normal(0, 0.15, (2, len(hardness)))
    first = hardness + noise[0] < 0.60
    second = hardness + noise[1] < 0.65
    found = compared(
        first.astype(float).tolist(), second.astype(float).tolist(), most=most, rounds=300
    )
    return found.low <= _TRUTH <= found.high


def _expected(cut: float) -> float:
    """The share of items whose hardness, with noise, is below a cut."""
    noise = numpy.random.default_rng(0).normal(0, 0.15, 400_000)
    return float(numpy.clip(cut - noise, 0, 1).mean())


_TRUTH = _expected(0.65) - _expected(0.60)
