"""A headline that no answer counts in is told of; no other metric takes its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation import Benchmark
from qwenvl_kit.evaluation.comparing import compare_runs
from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.result import EvaluationResult
from qwenvl_kit.evaluation.scored_run import metrics_of
from qwenvl_kit.evaluation.sweeping import sweep
from tests.evaluation.benches import chat_that, right_answer, rows
from tests.evaluation.making import scored_item
from tests.evaluation.results import result_of

METRICS = (
    Metric(name="mean", of=("aAcc", "fAcc")),
    Metric(name="aAcc"),
    Metric(name="fAcc", unit=("figure",)),
)


def without_figures(*values: float) -> EvaluationResult:
    """Questions without a figure, such as those of HallusionBench's category VS."""
    items = [
        scored_item(str(at), value, facts={"figure": None}, strict=0.0)
        for at, value in enumerate(values)
    ]
    return result_of(items, METRICS)


def test_a_score_that_nothing_counts_in_is_an_error_with_the_metrics_there_are() -> None:
    found = without_figures(1.0, 0.0)
    for read in (lambda: found.score, lambda: found.interval):
        with pytest.raises(EvaluationError, match=r"no unit of the metric 'mean' .*'aAcc'"):
            read()


def test_the_table_and_the_page_show_the_other_metrics(tmp_path: Path) -> None:
    found = without_figures(1.0, 0.0)
    assert "no unit of mean was answered, so that there is no score" in str(found)
    assert "aAcc" in str(found)
    found.write_html(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "no score" in page
    assert "aAcc" in page


def test_a_comparison_shows_the_others_and_has_no_difference() -> None:
    found = compare_runs(without_figures(1.0, 0.0), without_figures(1.0, 1.0))
    assert list(found.differences) == ["aAcc"]
    assert "no unit of mean was answered in both runs" in str(found)
    for read in (lambda: found.difference, lambda: found.is_different, lambda: found.interval):
        with pytest.raises(EvaluationError, match=r"'mean'.*'aAcc'"):
            read()


class WithoutFigures(Benchmark):
    metrics = METRICS

    def item(self, row: object) -> EvaluationItem:
        return replace(super().item(row), facts={"figure": None})  # type: ignore[arg-type]


def test_a_sweep_compares_nothing_by_another_metric() -> None:
    with chat_that(right_answer) as chat:
        found = sweep(chat, WithoutFigures(rows(4)), ["quick", "standard"], progress=False)
    assert [row["difference"] for row in found.rows] == [None, None]
    assert [row[-1] for row in found.table().rows] == ["-", "-"]
    assert "quick: no unit of mean was answered" in str(found)


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        ((Metric(name="a", of=("b",)), Metric(name="b", of=("a",))), "'b' is a mean of 'a'"),
        ((Metric(name="a", of=("a",)),), "'a' is a mean of 'a'"),
        ((Metric(name="a", of=("b",)),), "no metric 'b'"),
        ((Metric(name="a"), Metric(name="a", over="kind")), "two metrics 'a'"),
        ((), "no metrics"),
    ],
)
def test_metrics_without_an_estimate_are_refused(metrics: tuple[Metric, ...], told: str) -> None:
    class Odd(Benchmark):
        pass

    odd = Odd(rows(2))
    odd.metrics = metrics
    with pytest.raises(EvaluationError, match=told):
        metrics_of(odd)
