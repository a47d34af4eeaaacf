"""Options keep their letters, and a part of a benchmark keeps what belongs together."""

from __future__ import annotations

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation import Benchmark, HallusionBench
from qwenvl_kit.evaluation.evaluating import chosen_items


def test_a_gap_between_options_is_refused_since_it_would_move_letters() -> None:
    row = {"question": "?", "A": "cat", "B": None, "C": "dog", "answer": "C"}
    with pytest.raises(EvaluationError, match="the options A, C, and an empty one between"):
        Benchmark([row], scorer="option")


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
