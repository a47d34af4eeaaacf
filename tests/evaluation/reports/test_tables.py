"""The table of a result says what was counted, and what was not."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import pytest

from qwenvl_kit.evaluation.items import ReplyFacts
from qwenvl_kit.evaluation.metrics import ACCURACY, Metric
from qwenvl_kit.evaluation.reports.tables import result_table
from qwenvl_kit.results import FinishReason
from tests.evaluation.making import scored_item
from tests.evaluation.results import result_of, small_result


def test_scores_are_times_100_with_their_interval_and_number_of_items() -> None:
    table = result_table(result_of([scored_item(str(at), float(at < 43)) for at in range(100)]))
    (row,) = table.rows
    assert (row[0], row[1], row[3]) == ("accuracy", "43.0", "100")
    assert re.fullmatch(r"\[3[34]\.\d, 5[23]\.\d\]", row[2])  # Wilson's is [33.7, 52.8]


def test_a_mean_over_fewer_items_says_so_and_names_the_first_error() -> None:
    notes = "\n".join(result_table(small_result()).notes)
    assert "mean over 3 of 4 items: 1 failed" in notes
    assert "the first failure, d: out of luck" in notes


def test_unread_answers_are_counted() -> None:
    assert "1 answer (33.3%) could not be read, and count as wrong" in str(small_result())


def test_answers_that_were_cut_are_counted() -> None:
    assert "length" in get_args(FinishReason)
    facts = ReplyFacts(finish_reason="length", visual_tokens=10, completion_tokens=128, seconds=1.0)
    result = result_of([scored_item("a", 0.0, kept_facts=facts), scored_item("b", 1.0)])
    assert "1 answer (50.0%) ended at the greatest length" in str(result)


def test_the_share_of_a_judge_is_said_beside_the_score() -> None:
    items = [scored_item("a", 1.0, judge_answer="B"), scored_item("b", 1.0)]
    text = str(result_of(items, judge={"model": "some/judge"}))
    assert "1 answer (50.0%) went to a judge, some/judge" in text


def test_the_strict_figure_stands_beside_the_published_one() -> None:
    table = result_table(small_result())
    names = [row[0] for row in table.rows]
    assert names[:2] == ["accuracy", "accuracy, strict"]
    assert [row[1] for row in table.rows[:2]] == ["50.0", "33.3"]


def test_a_strict_metric_of_the_benchmark_is_not_told_twice() -> None:
    result = small_result()
    metrics = (ACCURACY, Metric(name="by the letter", is_strict=True))
    names = [row[0] for row in result_table(replace(result, metrics=metrics)).rows]
    assert names[:2] == ["accuracy", "by the letter"]
    assert "accuracy, strict" not in names


def test_strict_scores_that_are_the_published_ones_are_not_told() -> None:
    items = [scored_item("a", 1.0, strict=1.0), scored_item("b", 0.0)]
    assert [row[0] for row in result_table(result_of(items)).rows] == ["accuracy"]


def test_groups_have_their_rows() -> None:
    names = [row[0] for row in result_table(small_result()).rows]
    assert names[2:] == ["  kind: x", "  kind: y"]


def test_many_groups_are_told_in_part() -> None:
    items = [scored_item(str(at), 1.0, groups={"set": f"{at:03}"}) for at in range(100)]
    table = result_table(result_of(items))
    assert len(table.rows) < 70
    assert any("more are in result.by_group" in note for note in table.notes)


def test_a_part_of_the_data_says_so_with_its_seed() -> None:
    assert "4 of 5,349 items were asked, drawn by seed 7" in str(small_result(num_all=5349, seed=7))


def test_units_and_clusters_are_told() -> None:
    items = [
        scored_item(str(at), 1.0, cluster=str(at // 2), facts={"set": at // 2}) for at in range(4)
    ]
    result = result_of(items, [Metric(name="qAcc", unit=("set",))])
    assert result_table(result).rows[0][3] == "4 (2)"
    assert "intervals by 2 clusters" in str(result)


def test_a_result_without_answers_has_no_score_and_says_why() -> None:
    failed = [each for each in small_result().items if each.is_failed]
    text = str(result_of(failed))
    assert "none of 1 items was answered" in text
    assert "out of luck" in text


@pytest.mark.parametrize("text", ["\x1b[31mred", "two\nlines", "\u202eback"])
def test_what_others_wrote_steers_no_terminal(text: str) -> None:
    shown = str(result_of([scored_item("a", 1.0, groups={"kind": text})], benchmark=text))
    assert text not in shown
    assert "\x1b" not in shown
