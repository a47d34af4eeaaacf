"""A unit of which an item failed is not right, and not wrong: it is left out, and counted."""

from __future__ import annotations

import pytest

from qwenvl_kit.errors import GenerationError
from qwenvl_kit.evaluation.comparing import compare_runs
from qwenvl_kit.evaluation.items import ScoredItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.result import EvaluationResult
from tests.evaluation.making import scored_item
from tests.evaluation.results import result_of

CIRCULAR = Metric(name="CircularEval", unit=("rotated",))
ALL = Metric(name="all rotations")


def rotation(name: str, value: float | None, question: str, category: str = "c") -> ScoredItem:
    error = GenerationError("no") if value is None else None
    facts, groups = {"rotated": question}, {"category": category}
    return scored_item(name, value, facts=facts, groups=groups, error=error)


def run_of(*values: float | None) -> EvaluationResult:
    """Rotations of questions, two each."""
    found = [rotation(f"{at:02}", value, str(at // 2)) for at, value in enumerate(values)]
    return result_of(found, (CIRCULAR, ALL))


def test_a_question_with_a_rotation_that_failed_is_in_no_mean_of_questions() -> None:
    found = run_of(1.0, None, 1.0, 0.0, 1.0, 1.0)
    assert found.estimates["CircularEval"].num_units == 2
    assert found.score == 0.5
    assert "CircularEval: 1 of 3 units are left out, as an item of them failed" in str(found)


def test_means_over_items_still_count_the_rotations_that_were_answered() -> None:
    found = run_of(1.0, None, 1.0, 0.0).estimates["all rotations"]
    assert (found.value, found.num_items) == (pytest.approx(2 / 3), 3)


def test_a_unit_that_nobody_answered_in_whole_gives_no_score() -> None:
    found = run_of(1.0, None)
    assert list(found.estimates) == ["all rotations"]
    assert "CircularEval: 1 of 1 units are left out" in str(found)


def test_a_value_of_a_group_is_told_by_no_other_metric_if_its_units_are_lost() -> None:
    items = [
        *(rotation(f"a{at}", 1.0, "a", "whole") for at in range(2)),
        *(rotation(f"b{at}", (1.0, None)[at], "b", "torn") for at in range(2)),
    ]
    assert list(result_of(items, (CIRCULAR, ALL)).by_group["category"]) == ["whole"]


def test_a_comparison_leaves_out_a_unit_of_which_an_item_failed_in_one_run() -> None:
    found = compare_runs(run_of(1.0, 1.0, 1.0, 1.0), run_of(1.0, None, 1.0, 0.0))
    circular = found.differences["CircularEval"]
    assert (circular.first, circular.second, circular.num_units) == (1.0, 0.0, 1)
    assert found.differences["all rotations"].num_units == 3
    assert found.by_group["category"]["c"].num_units == 1
    assert "CircularEval: 1 of 2 units are left out, as an item of them failed" in str(found)
