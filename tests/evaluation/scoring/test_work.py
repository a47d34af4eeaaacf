"""The work of scoring is bounded: counted in lines of the rules that run, not in time."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import qwenvl_kit.evaluation.scoring
from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.scoring.by_name import RULES, scorer_named
from qwenvl_kit.evaluation.scoring.edit_distance import edit_distance

ROOM = str(Path(qwenvl_kit.evaluation.scoring.__file__).parent)
WORDS = ("invoice", "total", "Amount", "the", "answer", "A", "is", "14", "(B)", "yes", "no", "date")
TARGETS = {"option": ("B",), "yes_no": ("yes",), "number": ("14",), "iou": ("[0, 0, 9, 9]",)}


def text(draw: random.Random, length: int) -> str:
    return " ".join(draw.choices(WORDS, k=length))[:length]


def lines_of(work: Callable[[], object]) -> int:
    """The lines of the scoring room that run."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(ROOM):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("name", RULES)
def test_a_thousand_items_take_few_lines_each(name: str) -> None:
    draw = random.Random(0)
    rule = scorer_named(name)
    targets = TARGETS.get(name, tuple(text(draw, 30) for _ in range(4)))
    item = EvaluationItem(id="1", question="?", targets=targets, choices=("a", "b", "c", "d"))
    answers = [text(draw, draw.choice((2, 20, 2_000))) for _ in range(1_000)]
    assert lines_of(lambda: [rule(answer, item) for answer in answers]) < 1_000 * 1_000


def test_a_long_answer_to_a_short_target_takes_no_more_than_a_short_one() -> None:
    item = EvaluationItem(id="1", question="?", targets=("the total is 14",))
    rule = scorer_named("anls")
    long, short = (
        lines_of(lambda answer=answer: rule(answer, item))  # type: ignore[misc]
        for answer in ("a sum of money " * 130, "a sum of money ")
    )
    assert long < short


def test_two_long_texts_take_a_step_for_each_character_of_the_shorter_one() -> None:
    draw = random.Random(0)
    first, second = text(draw, 2_000), text(draw, 1_500)
    assert lines_of(lambda: edit_distance(first, second)) < 12 * 1_500 + 8 * 2_000


def test_texts_that_cannot_be_near_end_early() -> None:
    first, second = "abcdefgh" * 250, "12345678" * 250
    whole = lines_of(lambda: edit_distance(first, second))
    assert lines_of(lambda: edit_distance(first, second, 1_000)) < 0.7 * whole
