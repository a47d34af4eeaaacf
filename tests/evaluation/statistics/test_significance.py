"""Tests of significance have the values of other packages."""

from __future__ import annotations

import pytest

from qwenvl_kit.evaluation.statistics.quantiles import (
    normal_quantile,
    score_interval,
    student_quantile,
)
from qwenvl_kit.evaluation.statistics.significance import holm, mcnemar, student_p_value


@pytest.mark.parametrize(
    ("better", "worse", "p_value"),
    [  # scipy.stats.binomtest(min, sum).pvalue
        (5, 0, 0.0625),
        (0, 6, 0.03125),
        (10, 4, 0.179565),
        (4, 10, 0.179565),
        (60, 40, 0.0568879),
        (700, 600, 0.00601579),
        (3, 3, 1.0),
        (0, 0, 1.0),
        (1, 0, 1.0),
    ],
)
def test_mcnemars_test_is_exact(better: int, worse: int, p_value: float) -> None:
    assert mcnemar(better, worse) == pytest.approx(p_value, rel=1e-5)


def test_mcnemars_test_takes_any_number_of_items() -> None:
    assert mcnemar(20_000, 10_000) == pytest.approx(0.0, abs=1e-300)


@pytest.mark.parametrize(
    ("statistic", "degrees", "p_value"),
    [  # 2 * scipy.stats.t.sf(statistic, degrees)
        (2.0, 1, 0.295167),
        (2.0, 2, 0.183503),
        (2.0, 3, 0.139326),
        (-2.0, 10, 0.073388),
        (1.0, 41, 0.323176),
        (2.5, 200, 0.013223),
        (0.0, 7, 1.0),
        (50.0, 30, 0.0),
    ],
)
def test_students_p_value_is_exact(statistic: float, degrees: int, p_value: float) -> None:
    assert student_p_value(statistic, degrees) == pytest.approx(p_value, abs=2e-6)


@pytest.mark.parametrize(
    ("probability", "degrees", "quantile"),
    [  # scipy.stats.t.ppf(probability, degrees)
        (0.975, 1, 12.7062),
        (0.975, 2, 4.30265),
        (0.975, 3, 3.18245),
        (0.975, 5, 2.57058),
        (0.975, 39, 2.02269),
        (0.9, 5, 1.47588),
        (0.995, 10, 3.16927),
        (0.975, 100_000, 1.95999),
    ],
)
def test_students_quantile_is_right_to_two_parts_in_a_thousand(
    probability: float, degrees: int, quantile: float
) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(quantile, rel=2e-3)


@pytest.mark.parametrize(
    ("right", "number", "low", "high"),
    [  # scipy.stats.binomtest(right, number).proportion_ci(method="wilson")
        (10, 10, 0.722467, 1.0),
        (0, 10, 0.0, 0.277533),
        (43, 100, 0.337333, 0.527846),
        (1, 1, 0.206549, 1.0),
    ],
)
def test_the_score_interval_is_wilsons(right: int, number: int, low: float, high: float) -> None:
    found = score_interval(right / number, number, normal_quantile(0.975))
    assert found == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


def test_many_tests_are_corrected_for_their_number() -> None:
    """The values of R: p.adjust(c(.01, .04, .03, .005), "holm")."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
