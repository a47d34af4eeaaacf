"""Options keep their letters, and a part of a benchmark keeps what belongs together."""

from __future__ import annotations

import math
from typing import Any

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation import Benchmark, HallusionBench
from qwenvl_kit.evaluation.evaluating import chosen_items


def test_a_gap_between_options_is_refused_since_it_would_move_letters() -> None:
    row = {"question": "?", "A": "cat", "B": None, "C": "dog", "answer": "C"}
    with pytest.raises(EvaluationError, match="the options A, C, and an empty one between"):
        Benchmark([row], scorer="option")


@pytest.mark.parametrize("choices", [["a", None, "c"], "['a', None, 'c']", ["a", " ", "c"]])
def test_an_empty_option_in_a_list_is_refused_as_a_gap_between_columns_is(choices: Any) -> None:
    row = {"question": "?", "choices": choices, "answer": "C"}
    with pytest.raises(EvaluationError, match="the options A, C, and an empty one between"):
        Benchmark([row], scorer="option")


def test_a_letter_that_has_no_column_is_a_gap() -> None:
    row = {"question": "?", "A": "cat", "B": "dog", "D": "cow", "answer": "D"}
    with pytest.raises(EvaluationError, match="the options A, B, D, and an empty one between"):
        Benchmark([row], scorer="option")


def test_empty_options_at_the_end_of_a_list_are_left_out() -> None:
    for texts in (("a", "b"), tuple("abcdefghijklmnopqrstuvwxyz")):
        (item,) = Benchmark([{"question": "?", "choices": [*texts, None], "answer": "B"}])
        assert item.choices == texts
    with pytest.raises(EvaluationError, match="the row has 27 options"):
        Benchmark([{"question": "?", "choices": ["x"] * 27, "answer": "B"}])


@pytest.mark.parametrize("question", [None, math.nan, "", " \n"])
def test_a_row_without_a_question_is_refused_with_its_place(question: Any) -> None:
    with pytest.raises(EvaluationError, match="no question in 'question'") as caught:
        Benchmark([{"question": question, "answer": "a"}])
    assert caught.value.where == "rows[0]"


@pytest.mark.parametrize(
    ("row", "targets"),
    [
        ({"answer": "[12, 30, 200, 180]"}, ("[12, 30, 200, 180]",)),
        ({"answer": [12, 30, 200, 180]}, ("[12, 30, 200, 180]",)),
        ({"answers": "[12, 30, 200, 180]"}, ("[12, 30, 200, 180]",)),
        ({"answers": [[12, 30, 200, 180], [1, 2, 3, 4]]}, ("[12, 30, 200, 180]", "[1, 2, 3, 4]")),
    ],
)
def test_four_numbers_are_one_box(row: dict[str, Any], targets: tuple[str, ...]) -> None:
    asked = Benchmark([{"question": "?", **row}], scorer="iou")
    assert asked[0].targets == targets
    assert asked.score(asked[0], "[12, 30, 200, 180]").value == 1.0


def test_an_answer_in_brackets_is_one_answer() -> None:
    asked = Benchmark([{"question": "?", "answer": "[1, 2]"}])
    assert asked[0].targets == ("[1, 2]",)
    assert asked.score(asked[0], "[1, 2]").value == 1.0
    assert asked.score(asked[0], "1").value == 0.0


def test_people_who_gave_no_answer_count_for_vqa_and_for_no_other_rule() -> None:
    row = {"question": "?", "answers": ["x"] * 2 + [None] * 8}
    counted = Benchmark([row], scorer="vqa")
    assert len(counted[0].targets) == 10
    assert counted.score(counted[0], "x").value == pytest.approx((2 * 1 + 8 * 2) / 30)
    assert Benchmark([row], scorer="contains")[0].targets == ("x", "x")


@pytest.mark.parametrize(
    ("scorer", "right"),
    [("option", "zzz"), ("yes_no", "maybe"), ("number", "a few"), ("iou", "7"), ("iou", "a box")],
)
def test_a_right_answer_that_is_none_for_the_rule_is_refused_before_anything_is_asked(
    scorer: str, right: str
) -> None:
    good = {"option": "A", "yes_no": "no", "number": "1", "iou": "[1, 2, 3, 4]"}[scorer]
    rows = [
        {"id": at, "question": "?", "answer": each, "A": "cat", "B": "dog"}
        for at, each in enumerate([good, right])
    ]
    with pytest.raises(EvaluationError, match=f"the right answer of '1' is '{right}'") as caught:
        Benchmark(rows, scorer=scorer)
    assert caught.value.where == "rows[1]"


def test_empty_options_at_the_end_are_left_out() -> None:
    row = {"question": "?", "A": "cat", "B": "dog", "C": "", "D": None, "answer": "B"}
    (item,) = Benchmark([row], scorer="option")
    assert item.choices == ("cat", "dog")


def test_a_part_of_hallusionbench_has_whole_sets() -> None:
    rows = [
        {
            "index": f"VD_figure_{number}_{figure}_{question}",
            "category": "VD",
            "l2-category": "VD_figure",
            "question": "?",
            "answer": "Yes",
            "image": b"",
        }
        for number in range(12)
        for figure in range(2)
        for question in range(2)
    ]
    bench = HallusionBench(rows)
    for limit in (4, 10, 30):
        chosen = chosen_items(bench, limit, 3)
        sets = [item.cluster for item in chosen]
        assert all(sets.count(each) == 4 for each in sets)
        assert len(chosen) >= limit - 3
