"""Metrics are the published means, and their intervals cover as often as they say."""

from __future__ import annotations

import random

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.items import ScoredItem
from qwenvl_kit.evaluation.metrics import ACCURACY, Metric
from qwenvl_kit.evaluation.statistics.estimates import Estimate, estimate_metrics
from tests.evaluation.making import scored_item
from tests.evaluation.statistics.coverage import ICC, Case, coverage


def items_of(*values: float, **more: object) -> list[ScoredItem]:
    return [scored_item(str(at), value, **more) for at, value in enumerate(values)]  # type: ignore[arg-type]


def accuracy(items: list[ScoredItem], **settings: object) -> Estimate:
    return estimate_metrics(items, [ACCURACY], **settings)["accuracy"]  # type: ignore[arg-type]


def test_an_estimate_reads_as_publications_write_scores() -> None:
    assert str(Estimate(0.43, 0.412, 0.448, 10, 10, 10)) == "43.0 [41.2, 44.8]"


def test_a_plain_metric_is_the_mean_of_items() -> None:
    found = accuracy(items_of(1.0, 0.5, 0.0, 0.0))
    assert found.value == pytest.approx(0.375)
    assert (found.num_items, found.num_units, found.num_clusters) == (4, 4, 4)


def test_items_that_failed_are_in_no_mean() -> None:
    found = accuracy([*items_of(1.0, 0.0), scored_item("x", None)])
    assert found.value == 0.5
    assert found.num_items == 2


def test_no_items_have_no_estimates() -> None:
    assert estimate_metrics([], [ACCURACY]) == {}
    assert estimate_metrics([scored_item("x", None)], [ACCURACY]) == {}


def test_a_unit_counts_only_if_all_of_its_items_are_right() -> None:
    items = [
        scored_item("1", 1.0, facts={"figure": 1}),
        scored_item("2", 1.0, facts={"figure": 1}),
        scored_item("3", 1.0, facts={"figure": 2}),
        scored_item("4", 0.0, facts={"figure": 2}),
    ]
    found = estimate_metrics(items, [Metric(name="fAcc", unit=("figure",))])["fAcc"]
    assert (found.value, found.num_items, found.num_units) == (0.5, 4, 2)


def test_a_unit_may_be_named_by_a_group() -> None:
    items = [
        scored_item("1", 1.0, facts={"set": 1}, groups={"category": "VD"}),
        scored_item("2", 0.0, facts={"set": 1}, groups={"category": "VS"}),
    ]
    found = estimate_metrics(items, [Metric(name="qAcc", unit=("category", "set"))])["qAcc"]
    assert (found.value, found.num_units) == (0.5, 2)


def test_a_unit_without_its_fact_is_refused_with_the_item() -> None:
    metric = Metric(name="qAcc", unit=("set",))
    with pytest.raises(
        EvaluationError, match=r"data\.tsv:7: the item '7' has no fact or group 'set'"
    ):
        estimate_metrics([scored_item("7", 1.0)], [metric])


def test_a_metric_over_a_group_counts_each_value_alike() -> None:
    items = [scored_item(str(at), 1.0, groups={"task": "long"}) for at in range(9)]
    items.append(scored_item("x", 0.0, groups={"task": "short"}))
    found = estimate_metrics(items, [Metric(name="mean", over="task")])["mean"]
    assert found.value == 0.5


def test_items_without_the_group_are_not_in_a_mean_over_it() -> None:
    items = [scored_item("1", 1.0, groups={"task": "a"}), scored_item("2", 0.0)]
    found = estimate_metrics(items, [Metric(name="mean", over="task"), ACCURACY])
    assert (found["mean"].value, found["mean"].num_items) == (1.0, 1)
    assert found["accuracy"].value == 0.5
    assert "mean" not in estimate_metrics(items[1:], [Metric(name="mean", over="task")])


def test_a_mean_of_metrics_is_their_mean() -> None:
    items = [
        scored_item("1", 1.0, facts={"figure": 1}),
        scored_item("2", 1.0, facts={"figure": 1}),
        scored_item("3", 1.0, facts={"figure": 2}),
        scored_item("4", 0.0, facts={"figure": 2}),
    ]
    metrics = [
        Metric(name="mean", of=("aAcc", "fAcc")),
        Metric(name="aAcc"),
        Metric(name="fAcc", unit=("figure",)),
    ]
    found = estimate_metrics(items, metrics)
    assert list(found) == ["mean", "aAcc", "fAcc"]
    assert found["mean"].value == pytest.approx((0.75 + 0.5) / 2)
    assert found["mean"].num_items == 4


@pytest.mark.parametrize("of", [("nothing",), ("mean",), ("other",)])
def test_a_mean_of_metrics_that_cannot_be_is_refused(of: tuple[str, ...]) -> None:
    metrics = [Metric(name="mean", of=of), Metric(name="other", of=("mean",)), ACCURACY]
    with pytest.raises(EvaluationError, match="is a mean of"):
        estimate_metrics(items_of(1.0), metrics)


def test_a_strict_metric_takes_the_strict_score_where_there_is_one() -> None:
    items = [scored_item("1", 1.0, strict=0.0), scored_item("2", 1.0)]
    found = estimate_metrics(items, [ACCURACY, Metric(name="strict", is_strict=True)])
    assert (found["accuracy"].value, found["strict"].value) == (1.0, 0.5)


def test_the_order_of_items_changes_nothing() -> None:
    numbers = random.Random(0)
    items = [
        scored_item(
            f"item {at}",
            numbers.random(),
            cluster=f"page {at // 3}",
            groups={"task": str(at % 4)},
            facts={"set": at // 2},
        )
        for at in range(300)
    ]
    metrics = [
        ACCURACY,
        Metric(name="over", over="task"),
        Metric(name="unit", unit=("set",)),
        Metric(name="mean", of=("over", "unit")),
    ]
    found = estimate_metrics(items, metrics)
    numbers.shuffle(items)
    assert estimate_metrics(items, metrics) == found


def test_another_seed_draws_other_samples() -> None:
    items = items_of(*([1.0] * 30 + [0.0] * 20))
    assert accuracy(items) == accuracy(items, seed=0)
    assert accuracy(items, seed=1) != accuracy(items)
    assert accuracy(items, seed=1).low == pytest.approx(accuracy(items).low, abs=0.01)


def test_a_higher_level_is_a_wider_interval() -> None:
    items = items_of(*([1.0] * 30 + [0.0] * 20))
    narrow, wide = accuracy(items, level=0.8), accuracy(items, level=0.99)
    assert wide.low < narrow.low < 0.6 < narrow.high < wide.high


def test_items_of_one_cluster_are_not_counted_as_independent() -> None:
    values = [float(at // 10 % 2) for at in range(400)]
    alone = accuracy(items_of(*values))
    items = [scored_item(str(at), each, cluster=str(at // 10)) for at, each in enumerate(values)]
    together = accuracy(items)
    assert together.num_clusters == 40
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


@pytest.mark.parametrize(("value", "low", "high"), [(1.0, 0.722, 1.0), (0.0, 0.0, 0.278)])
def test_ten_of_ten_are_not_certainly_all(value: float, low: float, high: float) -> None:
    """Wilson's interval of 10 of 10 is [.722, 1]; statsmodels' proportion_confint has the same."""
    found = accuracy(items_of(*[value] * 10))
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_a_single_cluster_says_almost_nothing() -> None:
    found = accuracy(items_of(1.0, 1.0, 0.0, 0.0, cluster="page"))
    assert found.num_clusters == 1
    assert found.high - found.low > 0.85


def test_an_item_is_not_taken_for_the_cluster_of_its_name() -> None:
    items = [scored_item("page", 1.0), scored_item("x", 0.0, cluster="page")]
    assert accuracy(items).num_clusters == 2


def test_scores_between_right_and_wrong_have_a_narrower_interval() -> None:
    numbers = random.Random(1)
    soft = accuracy(items_of(*(0.4 + 0.2 * numbers.random() for _ in range(100))))
    hard = accuracy(items_of(*(float(at % 2) for at in range(100))))
    assert soft.high - soft.low < 0.3 * (hard.high - hard.low)


@pytest.mark.parametrize(
    "settings",
    [{"level": 0.0}, {"level": 1.0}, {"level": 95}, {"rounds": 3}, {"seed": -1}, {"seed": 0.5}],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(EvaluationError, match=next(iter(settings))):
        accuracy(items_of(1.0, 0.0), **settings)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize(("most", "icc"), [(1, 0.0), (12, ICC)])
def test_the_interval_covers_the_truth_as_often_as_it_says(
    share: float, most: int, icc: float
) -> None:
    """400 runs, so that the share itself is known to .025; `coverage.py` has the whole table."""
    held, _ = coverage(Case(share, 60, most, icc), 400)
    assert 0.92 <= held <= 0.985


@pytest.mark.parametrize("form", ["soft", "macro", "units"])
def test_intervals_of_other_metrics_cover_the_truth_as_well(form: str) -> None:
    held, _ = coverage(Case(0.5, 90, 6, ICC, form), 200)
    assert 0.9 <= held <= 0.99


def test_a_small_group_that_decides_the_error_widens_the_interval() -> None:
    """Of 400 runs .96 hold the truth; without the degrees of the groups .92 did."""
    held, _ = coverage(Case(0.6, 100, form="two"), 400, seed=1)
    assert held >= 0.935


@pytest.mark.parametrize("value", [float("nan"), -0.1, 1.5, float("inf"), 100.0])
def test_a_score_outside_of_0_to_1_is_refused_with_its_item(value: float) -> None:
    items = [scored_item("a", 1.0), scored_item("b", value)]
    with pytest.raises(EvaluationError, match=r"data\.tsv:b: the item 'b' has the score"):
        estimate_metrics(items, [ACCURACY])
