"""The largest budget of a sweep is known by its limits, or by what it cost; it is never guessed."""

from __future__ import annotations

import pytest

from qwenvl_kit import PixelBudget, VisionChat
from qwenvl_kit.evaluation import Benchmark
from qwenvl_kit.evaluation.budget_order import order_of_budgets
from qwenvl_kit.evaluation.sweeping import SweepResult, sweep
from qwenvl_kit.options import BudgetChoice
from tests.evaluation.benches import rows


def order(
    *budgets: BudgetChoice, tokens: tuple[float | None, ...] | None = None
) -> list[int] | None:
    told = tokens or (None,) * len(budgets)
    return order_of_budgets(budgets, told, [True] * len(budgets))


def test_budgets_are_ordered_by_their_limits() -> None:
    assert order("fine", "quick", "standard") == [1, 2, 0]
    assert order(PixelBudget(max_tokens=900), PixelBudget(max_tokens=80)) == [1, 0]


def test_failures_of_large_pictures_do_not_make_a_large_budget_small() -> None:
    assert order("fine", "quick", tokens=(200.0, 300.0)) == [1, 0]


@pytest.mark.parametrize(
    "budgets",
    [
        ("native", "quick"),
        (PixelBudget(max_tokens=512), "quick"),
        (PixelBudget(max_tokens=512), PixelBudget(max_pixels=512)),
        (PixelBudget(10, 900), PixelBudget(20, 800)),
    ],
)
def test_limits_that_have_no_order_leave_it_to_what_was_spent(
    budgets: tuple[BudgetChoice, ...],
) -> None:
    assert order(*budgets) is None
    assert order(*budgets, tokens=(None, 100.0)) is None
    assert order(*budgets, tokens=(200.0, 100.0)) == [1, 0]


def test_a_budget_at_which_nothing_was_answered_needs_no_tokens() -> None:
    assert order_of_budgets(["native", "quick"], [50.0, None], [True, False]) == [1, 0]


def swept(*budgets: BudgetChoice) -> SweepResult:
    asked = Benchmark(
        [{**row, "choices": ["red", "blue"], "answer": "A"} for row in rows(2)], scorer="option"
    )
    chat = VisionChat.from_pretrained()
    return sweep(chat, asked, budgets, method="probability", progress=False)


def test_probabilities_that_tell_no_tokens_are_compared_with_the_largest_limits() -> None:
    found = swept("fine", "quick")
    assert [run.budget for run in found.runs] == ["quick", "fine"]
    assert [row["visual_tokens"] for row in found.rows] == [None, None]
    assert [row["difference"] is None for row in found.rows] == [False, True]


def test_nothing_is_compared_where_nobody_knows_the_largest_budget() -> None:
    found = swept("native", "quick")
    assert [row["difference"] for row in found.rows] == [None, None]
    assert "nothing is compared: no budget is known as the largest" in str(found)
