"""Rules are found by their names, and functions of one's own are checked."""

from __future__ import annotations

import math

import numpy
import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.items import UNREAD, EvaluationItem, ItemScore
from qwenvl_kit.evaluation.scoring.by_name import RULES, scorer_named

ITEM = EvaluationItem(
    id="q7",
    question="What is it?",
    targets=("B",),
    choices=("a cat", "a dog", "a bird"),
    where="mine.jsonl:7",
)


def item(*targets: str) -> EvaluationItem:
    return EvaluationItem(id="q7", question="?", targets=targets, where="mine.jsonl:7")


def test_an_unknown_name_lists_the_names() -> None:
    with pytest.raises(EvaluationError, match=r"'anls'.*'yes_no'.*or a function") as caught:
        scorer_named("amls")
    assert "'amls'" in str(caught.value)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("answer", ["", "  \n\t", "<think>It is B", "<think>B</think>  "])
def test_an_empty_answer_is_wrong_and_unread(name: str, answer: str) -> None:
    assert scorer_named(name)(answer, ITEM) is UNREAD


def test_what_was_compared_is_said() -> None:
    assert scorer_named("option")("The answer is **B**.", ITEM) == ItemScore(1.0, "B")
    assert scorer_named("vqa")("The Dog's.", item("dog 's")).read == "dog 's"
    assert scorer_named("number")("The answer is 14.0", item("14")) == ItemScore(1.0, "14.0")
    assert scorer_named("yes_no")("No, it is not.", item("yes")) == ItemScore(0.0, "no")
    assert scorer_named("iou")("(0,0),(10,10)", item("[0, 0, 10, 9]")).read == "[0, 0, 10, 10]"


def test_a_letter_that_cannot_be_read_is_not_guessed() -> None:
    assert scorer_named("option")("I cannot tell.", ITEM) is UNREAD


def test_a_judged_answer_waits_for_its_judge() -> None:
    assert scorer_named("judged")("a dog", ITEM) is UNREAD


def test_the_right_option_may_be_given_by_its_text() -> None:
    by_text = EvaluationItem(id="1", question="?", targets=("a dog",), choices=ITEM.choices)
    assert scorer_named("option")("B", by_text).value == 1.0
    assert scorer_named("option")("It is a dog.", by_text).value == 1.0


def test_two_options_with_one_text_are_told_apart_by_their_letters_alone() -> None:
    twins = EvaluationItem(id="1", question="?", targets=("B",), choices=("a dog", "a dog"))
    assert scorer_named("option")("B", twins).value == 1.0
    assert scorer_named("option")("a dog", twins) is UNREAD


@pytest.mark.parametrize(
    ("name", "right"), [("option", "F"), ("yes_no", "maybe"), ("number", "a few")]
)
def test_a_right_answer_that_is_none_for_the_rule_is_refused_with_its_place(
    name: str, right: str
) -> None:
    wrong = EvaluationItem(
        id="q7", question="?", targets=(right,), choices=ITEM.choices, where="mine.jsonl:7"
    )
    with pytest.raises(EvaluationError, match="'q7'") as caught:
        scorer_named(name)("yes", wrong)
    assert caught.value.where == "mine.jsonl:7"
    assert right in str(caught.value)


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        (1, 1.0),
        (0.25, 0.25),
        (True, 1.0),
        (False, 0.0),
        (numpy.float32(0.5), 0.5),
        (numpy.bool_(True), 1.0),
        (numpy.array(1), 1.0),
    ],
)
def test_a_function_may_return_a_number_or_a_truth_value(returned: object, value: float) -> None:
    found = scorer_named(lambda answer, item: returned)(" a dog ", ITEM)  # type: ignore[arg-type, return-value]
    assert found == ItemScore(value, "a dog")


def test_a_function_may_return_a_score_and_leave_an_answer_unread() -> None:
    given = ItemScore(0.5, "dog", strict=0.0)
    assert scorer_named(lambda answer, item: given)("a dog", ITEM) is given
    assert scorer_named(lambda answer, item: UNREAD)("a dog", ITEM) is UNREAD


@pytest.mark.parametrize(
    "returned",
    [None, "1", 1.5, -0.1, math.nan, ItemScore(2.0, "x"), ItemScore(1.0, "x", strict=7), [1], 1j],
)
def test_any_other_result_is_refused_with_the_name_of_the_item(returned: object) -> None:
    with pytest.raises(EvaluationError, match="'q7'") as caught:
        scorer_named(lambda answer, item: returned)("a dog", ITEM)  # type: ignore[arg-type, return-value]
    assert caught.value.where == "mine.jsonl:7"
