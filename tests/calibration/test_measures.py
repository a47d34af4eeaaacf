"""Measures of confidence are those of their definitions."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from qwenvl_kit.calibration import CalibrationReport
from qwenvl_kit.calibration.measures import (
    area_under_risk,
    auroc,
    brier_score,
    expected_calibration_error,
    precision_at,
    risk_coverage,
)
from qwenvl_kit.errors import CalibrationError

ANSWERS = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=60)


def arrays(answers):
    confidences = numpy.array([step / 20 for step, _ in answers])
    return confidences, numpy.array([float(right) for _, right in answers])


@settings(deadline=None)
@given(ANSWERS)
def test_auroc_and_brier_are_those_of_scikit_learn(answers):
    confidences, correct = arrays(answers)
    assert brier_score(confidences, correct) == pytest.approx(
        brier_score_loss(correct, confidences, pos_label=1)
    )
    found = auroc(confidences, correct)
    if 0 < correct.sum() < len(correct):
        assert found == pytest.approx(roc_auc_score(correct, confidences))
    else:
        assert found is None


@settings(deadline=None)
@given(ANSWERS)
def test_the_error_of_calibration_is_that_of_its_bins_one_by_one(answers):
    confidences, correct = arrays(answers)
    total = 0.0
    for place in range(15):
        inside = [at for at, sure in enumerate(confidences) if min(int(sure * 15), 14) == place]
        if inside:
            apart = abs(correct[inside].mean() - confidences[inside].mean())
            total += len(inside) / len(confidences) * apart
    assert expected_calibration_error(confidences, correct) == pytest.approx(total)


@settings(deadline=None)
@given(ANSWERS)
def test_risk_is_that_of_the_surest_answers_and_equal_ones_go_together(answers):
    confidences, correct = arrays(answers)
    coverages, risks = risk_coverage(confidences, correct)
    for coverage, risk in zip(coverages, risks):
        given_ = sorted(zip(-confidences, correct))[: round(coverage * len(correct))]
        least = -given_[-1][0]
        surest = confidences >= least
        assert surest.mean() == pytest.approx(coverage)
        assert risk == pytest.approx(1 - correct[surest].mean())
    assert coverages[-1] == 1.0
    assert risks[-1] == pytest.approx(1 - correct.mean())
    assert 0.0 <= area_under_risk(confidences, correct) <= 1.0
    assert precision_at(1.0, confidences, correct) == pytest.approx(correct.mean())


def test_answers_that_are_right_as_often_as_they_say_are_calibrated():
    confidences = [0.25] * 4 + [0.75] * 4
    correct = [True, False, False, False, True, True, True, False]
    report = CalibrationReport.of(confidences, correct)
    assert report.ece == pytest.approx(0.0)
    assert report.auroc == pytest.approx(0.75)
    assert report.precision_at(0.5) == pytest.approx(0.75)
    assert report.bins[0].count == 4
    assert "ECE" in str(report)
    assert "<table>" in report._repr_html_()


def test_a_report_is_drawn(tmp_path):
    report = CalibrationReport.of([0.2, 0.6, 0.9, 0.9], [False, True, True, False])
    report.plot(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("confidences", "correct"),
    [([], []), ([0.5], []), ([1.5], [True]), ([float("nan")], [True]), ([0.5], ["yes"])],
)
def test_what_cannot_be_judged_is_refused(confidences, correct):
    with pytest.raises(CalibrationError):
        CalibrationReport.of(confidences, correct)


@pytest.mark.parametrize("coverage", [0.0, -1.0, 1.1, float("nan")])
def test_a_coverage_is_a_share(coverage):
    with pytest.raises(CalibrationError, match="coverage"):
        CalibrationReport.of([0.5], [True]).precision_at(coverage)
