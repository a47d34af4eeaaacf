"""What a budget of visual tokens costs in quality."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import PixelBudget
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.errors import BudgetError, EvaluationError, GenerationError, MissingPackageError
from qwenvl_kit.evaluation import Benchmark
from qwenvl_kit.evaluation.sweeping import SweepResult, sweep
from tests.evaluation.benches import chat_that, number_of, right_answer, rows

SMALL = PixelBudget(4, 16)


def large_pictures(number: int = 12) -> Benchmark:
    made = [{**row, "image": PIL.Image.new("RGB", (800, 600), "red")} for row in rows(number)]
    return Benchmark(made, name="colours", cluster="picture")


def sharp_eyed(request: BackendRequest) -> str:
    """Right answers, of every other question only if the picture is large."""
    is_easy = number_of(request) % 2 == 0
    return right_answer(request) if is_easy or request.plan.visual_tokens > 500 else "mauve"


def swept(budgets: Any = ("standard", SMALL), answer: Any = sharp_eyed, **more: Any) -> SweepResult:
    with chat_that(answer) as chat:
        asked = large_pictures(more.pop("number", 12))
        return sweep(chat, asked, list(budgets), progress=False, **more)


def test_each_budget_has_its_score_tokens_and_time() -> None:
    found = swept()
    assert [run.budget for run in found.runs] == ["min_tokens 4, max_tokens 16", "standard"]
    small, large = found.rows
    assert (small["score"], large["score"]) == (0.5, 1.0)
    assert small["visual_tokens"] < 20
    assert large["visual_tokens"] > 500
    assert small["seconds_per_item"] > 0
    assert small["low"] < 0.5 < small["high"]


def test_differences_are_those_from_the_most_visual_tokens_whatever_the_order() -> None:
    for budgets in (("standard", SMALL), (SMALL, "standard")):
        small, large = swept(budgets, number=40).rows
        assert small["difference"] == -0.5
        assert small["difference_high"] < 0
        assert large["difference"] is None


def test_a_sweep_reads_as_a_table() -> None:
    text = str(swept())
    assert "standard" in text
    assert "against the largest" in text
    assert "<td" in swept()._repr_html_()


def test_failures_are_told_by_budget() -> None:
    def fail(request: BackendRequest) -> str:
        if number_of(request) == 3 and request.plan.visual_tokens < 20:
            raise GenerationError("too small to see")
        return right_answer(request)

    found = swept(answer=fail)
    assert "min_tokens 4, max_tokens 16: 1 of 12 items failed" in str(found)
    assert [row["num_failed"] for row in found.rows] == [1, 0]


def test_a_budget_at_which_all_fails_has_no_score_and_no_difference() -> None:
    def fail(request: BackendRequest) -> str:
        if request.plan.visual_tokens < 20:
            raise GenerationError("too small to see")
        return right_answer(request)

    (lost, _) = swept(answer=fail).rows
    assert (lost["score"], lost["difference"], lost["visual_tokens"]) == (None, None, None)


def test_a_stopped_sweep_goes_on_from_its_journals(tmp_path: Path) -> None:
    asked = []

    def count(request: BackendRequest) -> str:
        asked.append(number_of(request))
        return sharp_eyed(request)

    first = swept(answer=count, journal_folder=tmp_path / "journals", limit=5)
    assert len(asked) == 10
    second = swept(answer=count, journal_folder=tmp_path / "journals", limit=8)
    assert len(asked) == 16
    again = swept(answer=count, journal_folder=tmp_path / "journals", limit=8)
    assert len(asked) == 16
    assert first.rows[0]["num_answered"] == 5
    assert all(row["seconds_per_item"] > 0 for row in second.rows)
    assert [row["seconds_per_item"] for row in again.rows] == [None, None]
    assert [row["score"] for row in again.rows] == [row["score"] for row in second.rows]
    assert len(list((tmp_path / "journals").iterdir())) == 2


def test_a_journal_with_a_torn_first_line_is_begun_anew(tmp_path: Path) -> None:
    torn = tmp_path / "colours.standard.jsonl"
    torn.write_text('{"qwenvl_kit_jour')
    (row,) = swept(("standard",), journal_folder=tmp_path).rows
    assert (row["score"], row["num_answered"]) == (1.0, 12)
    assert row["seconds_per_item"] > 0


def test_the_seconds_of_an_item_are_those_of_all_by_the_items_that_were_asked(
    tmp_path: Path,
) -> None:
    for folder in (None, tmp_path):
        (run,) = swept(("standard",), number=2, journal_folder=folder).runs
        seconds = run.result.record.seconds
        assert seconds is not None
        assert run.seconds_per_item == pytest.approx(seconds / 2)


def test_a_plot_is_saved(tmp_path: Path) -> None:
    found = swept()
    figure = found.plot(tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").stat().st_size > 5000
    assert figure.axes[0].get_xlabel().startswith("visual tokens")
    figure = found.plot(against="seconds_per_item", ax=figure.axes[0])
    assert figure.axes[0].get_xlabel().startswith("seconds")


def test_a_plot_against_nothing_is_refused() -> None:
    with pytest.raises(EvaluationError, match="against='money'"):
        swept().plot(against="money")  # type: ignore[arg-type]


def test_a_plot_needs_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    found = swept()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackageError, match="matplotlib"):
        found.plot()


@pytest.mark.parametrize("budgets", [[], "standard", None, 3])
def test_no_list_of_budgets_is_refused(budgets: Any) -> None:
    with chat_that(sharp_eyed) as chat, pytest.raises(EvaluationError, match="budgets="):
        sweep(chat, large_pictures(), budgets, progress=False)


def test_a_budget_that_there_is_not_is_refused_before_anything_is_asked() -> None:
    asked: list[int] = []

    def count(request: BackendRequest) -> str:
        asked.append(number_of(request))
        return "red"

    with pytest.raises(BudgetError, match="enormous"):
        swept(("quick", "enormous"), count)
    assert not asked


def test_a_budget_that_is_given_twice_is_refused() -> None:
    with pytest.raises(EvaluationError, match="twice"):
        swept(("quick", "quick"))
