"""Statistics beside those of other kits, on the same data; their values are recorded here.

The functions of lmms-eval are those of `lmms_eval/api/metrics.py` (EvolvingLMMs-Lab/lmms-eval, main
of 2026), which follow Miller, "Adding Error Bars to Evals", 2024 (arXiv:2411.00640).
"""

from __future__ import annotations

import math

import pytest

from qwenvl_kit.evaluation.metrics import ACCURACY
from qwenvl_kit.evaluation.statistics.estimates import estimate_metrics, sample_means
from qwenvl_kit.evaluation.statistics.paired import paired_differences
from qwenvl_kit.evaluation.statistics.sample_size import items_needed
from qwenvl_kit.evaluation.statistics.units import cluster_places, in_order, units_of
from tests.evaluation.making import scored_item


@pytest.mark.parametrize(
    ("sizes", "theirs"),
    [  # lmms-eval: clustered_stderr(values, clusters)
        ([4] * 30, 0.0343711),
        ([1 + at * 3 % 7 for at in range(30)], 0.0351529),
    ],
)
def test_the_spread_of_clusters_is_the_clustered_standard_error(
    sizes: list[int], theirs: float
) -> None:
    items = [
        scored_item(f"{at:02} {turn}", float((at * 7 + turn * at) % 5 < 3), cluster=f"page {at}")
        for at, size in enumerate(sizes)
        for turn in range(size)
    ]
    places = cluster_places(items)
    units = units_of(in_order(items), ACCURACY, places)
    assert units is not None
    sampled = sample_means({"accuracy": units}, len(places), 4000, 0)
    ours = math.sqrt(sampled.variance({"accuracy": 1.0}) * 29 / 30)
    assert ours == pytest.approx(theirs, rel=0.03)  # 4,000 samples know it to .011


def test_a_paired_difference_of_partial_scores_is_that_of_the_paired_test() -> None:
    """lmms-eval: paired_ttest has .05 [.045291, .054709]."""
    first = [(at * at % 11) / 11 for at in range(220)]
    second = [min(1.0, value + (at % 5) / 40) for at, value in enumerate(first)]
    found = paired_differences(
        [scored_item(f"{at:03}", value) for at, value in enumerate(first)],
        [scored_item(f"{at:03}", value) for at, value in enumerate(second)],
        [ACCURACY],
    )["accuracy"]
    assert found.difference == pytest.approx(0.05)
    assert (found.low, found.high) == (
        pytest.approx(0.045291, abs=8e-4),
        pytest.approx(0.054709, abs=8e-4),
    )


@pytest.mark.parametrize(
    ("difference", "agreement", "theirs"),
    [  # lmms-eval: power_analysis(difference, .5, .5, correlation=1 - 2 * (1 - agreement))
        (0.02, 0.8, 3925),
        (0.03, 0.9, 873),
    ],
)
def test_items_needed_are_those_of_a_power_analysis(
    difference: float, agreement: float, theirs: int
) -> None:
    """They leave the difference itself out of the variance, which is a few items."""
    assert items_needed(difference, agreement=agreement) == pytest.approx(theirs, rel=0.005)


@pytest.mark.parametrize(
    ("number", "upper"),
    [  # statsmodels, proportion_confint(0, n, method="wilson"), in lm-evaluation-harness #4090
        (307, 0.012358257599447291),
        (123, 0.030285514345309572),
        (1324, 0.002893010152059771),
        (250, 0.015133299495444574),
    ],
)
def test_no_right_answer_is_not_certainty(number: int, upper: float) -> None:
    """lm-evaluation-harness #4070: 0.0 +- 0.0000, whether of 25 questions or of 5,000."""
    items = [scored_item(str(at), 0.0) for at in range(number)]
    found = estimate_metrics(items, [ACCURACY])["accuracy"]
    assert (found.low, found.high) == (0.0, pytest.approx(upper, abs=1e-12))


@pytest.mark.parametrize(
    ("right", "number", "error"),
    [  # lm-evaluation-harness #3966: published errors of 0.0, and what they should have been
        (263, 307, 0.020031),
        (152, 193, 0.029519),
        (71, 123, 0.044725),
        (47, 135, 0.041153),
    ],
)
def test_scores_between_none_and_all_have_the_interval_of_their_error(
    right: int, number: int, error: float
) -> None:
    items = [scored_item(f"{at:03}", float(at < right)) for at in range(number)]
    found = estimate_metrics(items, [ACCURACY])["accuracy"]
    assert found.high - found.low == pytest.approx(2 * 1.97 * error, rel=0.06)


def test_a_paired_test_sees_what_an_unpaired_one_does_not() -> None:
    """lm-evaluation-harness #3831: it divides by the errors of both runs, as if unrelated."""
    first = [float(at % 10 < 6) for at in range(220)]
    second = [1.0 if at % 10 == 6 else value for at, value in enumerate(first)]
    unpaired = 0.1 / math.sqrt((0.6 * 0.4 + 0.7 * 0.3) / 220)
    assert 1.9 < unpaired < 2.3
    found = paired_differences(
        [scored_item(f"{at:03}", value) for at, value in enumerate(first)],
        [scored_item(f"{at:03}", value) for at, value in enumerate(second)],
        [ACCURACY],
    )["accuracy"]
    assert found.p_value < 1e-5


def test_the_same_answers_have_the_same_interval() -> None:
    """lmarena/arena-hard-auto #8: the copy of a model had another interval."""
    answers = [float(at * at % 7 < 4) for at in range(300)]
    runs = [[scored_item(f"{at:03}", value) for at, value in enumerate(answers)] for _ in "ab"]
    ours, theirs = (estimate_metrics(run, [ACCURACY]) for run in runs)
    assert ours == theirs
