"""No text makes a rule fail, and what must hold for every rule holds."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.evaluation.items import EvaluationItem
from qwenvl_kit.evaluation.scoring.by_name import RULES, scorer_named
from qwenvl_kit.evaluation.scoring.mathvista import mathvista_extraction, mathvista_score
from qwenvl_kit.evaluation.scoring.options import option_letter
from qwenvl_kit.evaluation.scoring.reading import without_thoughts

CHOICES = ("a cat", "a dog", "two birds", "none of them")
TARGETS = {
    "option": ("B", "a cat"),
    "yes_no": ("yes", "no"),
    "number": ("14", "1,000"),
    "iou": ("[0, 0, 10, 10]", "[5, 5, 20, 20]"),
}
"""Right answers of rules that take no others."""

PIECES = (
    *(
        "A",
        "B",
        "(C)",
        "I",
        "**D**",
        "\\boxed{",
        "}",
        "The answer is ",
        "答案是",
        "选",
        "Ｂ",
        "so ",
        " or ",
    ),
    *(
        "yes",
        "No,",
        "是",
        "14",
        "1,000",
        "-",
        "%",
        ".5",
        "[",
        "]",
        "(1,2),(3,4)",
        '{"bbox_2d": [1, 2, 3, 4]}',
    ),
    *("<think>", "</think>", "<|box_start|>", "the ", "don't", "'s", "\n", " ", "\u3000", "İ", "ß"),
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=8).map("".join)
BY_TEXT = ("exact", "contains", "anls", "vqa", "relaxed")
"""Rules whose right answers may be any text."""

QUICK = settings(derandomize=True, deadline=None, max_examples=80)

HOSTILE = {
    "marks": "*_`" * 7000,
    "brackets": "([{<" * 5000,
    "statements": "the answer is " * 2000,
    "letters": "A or B, " * 3000,
    "boxes": "\\boxed{" * 3000,
    "numbers": "1,000." * 4000,
    "lists": "[1, 2" * 4000,
    "lines": "A.\nB.\n" * 3000,
    "Chinese": "答案选不是" * 4000,
    "thoughts": "<think></think>" * 1500,
    "spaces": " \t\n" * 7000 + "x",
    "quotes": "answer\"')" * 2500,
}


def item(*targets: str) -> EvaluationItem:
    return EvaluationItem(id="1", question="?", targets=targets, choices=CHOICES)


@pytest.mark.parametrize("name", RULES)
@QUICK
@given(answer=TEXTS, targets=st.lists(TEXTS, min_size=1, max_size=12))
def test_every_rule_scores_every_text(name: str, answer: str, targets: list[str]) -> None:
    right = TARGETS.get(name, tuple(targets))
    found = scorer_named(name)(answer, item(*right))
    assert 0 <= found.value <= 1
    assert found.strict is None or 0 <= found.strict <= 1
    assert found.is_read or found.value == 0
    assert without_thoughts(answer) or not found.is_read
    shuffled = random.Random(0).sample(right, len(right))
    assert scorer_named(name)(answer, item(*shuffled)) == found


@pytest.mark.parametrize("name", BY_TEXT)
@QUICK
@given(target=TEXTS, others=st.lists(TEXTS, max_size=2))
def test_a_right_answer_is_right_for_itself(name: str, target: str, others: list[str]) -> None:
    said = without_thoughts(target)
    if said:
        found = scorer_named(name)(target, item(*others, said))
        assert found.value == 1.0
        assert found.strict in (None, 1.0)


@pytest.mark.parametrize(
    ("name", "right"), [(name, each) for name in TARGETS for each in TARGETS[name]]
)
def test_a_right_answer_of_its_kind_is_right_for_itself(name: str, right: str) -> None:
    assert scorer_named(name)(right, item(right)).value == 1.0


@QUICK
@given(
    answer=TEXTS,
    target=TEXTS,
    answer_type=st.sampled_from(("integer", "float", "list", "text")),
    question_type=st.sampled_from(("multi_choice", "free_form")),
    precision=st.sampled_from((None, 1, 2, 1.0)),
)
def test_mathvista_scores_every_text(
    answer: str, target: str, answer_type: str, question_type: str, precision: float | None
) -> None:
    kind = {"question_type": question_type, "answer_type": answer_type}
    extracted = mathvista_extraction(answer, choices=CHOICES, **kind)
    for text in (answer, extracted or ""):
        found = mathvista_score(text, target, choices=CHOICES, precision=precision, **kind)
        assert {found.value, found.strict} <= {0.0, 1.0, None}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_text_of_twenty_thousand_characters_is_scored(name: str, text: str) -> None:
    assert scorer_named(name)(text, item(*TARGETS.get(name, ("a cat",)))).value == 0.0


@QUICK
@given(answer=TEXTS, number=st.integers(0, 26))
def test_a_letter_is_always_one_of_the_options(answer: str, number: int) -> None:
    choices = [f"option number {at}" for at in range(number)]
    letter = option_letter(answer, choices)
    assert letter is None or not choices or ord(letter) - ord("A") < number
