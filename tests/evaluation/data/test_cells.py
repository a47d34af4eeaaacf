"""Cells are read as data: texts, lists of texts and records, never as programs."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy
import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.data.cells import answers_cell, is_empty, list_cell, text_cell
from qwenvl_kit.evaluation.data.record_cells import records_cell


def listed(value: Any, **options: Any) -> list[str]:
    return list_cell(value, "a.tsv:2", "targets", **options)


@pytest.mark.parametrize("value", [None, math.nan, "", "  \n", numpy.float64("nan")])
def test_a_cell_without_a_value_is_empty(value: Any) -> None:
    assert is_empty(value)
    assert not text_cell(value, "", "id").strip()


@pytest.mark.parametrize("value", ["None", "nan", 0, 0.0, False, [], "NA"])
def test_a_cell_with_a_value_is_not_empty(value: Any) -> None:
    assert not is_empty(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (" a ", " a "),
        (3, "3"),
        (3.0, "3"),
        (numpy.int64(3), "3"),
        (numpy.float64(3.0), "3"),
        (0.1, "0.1"),
        (numpy.float32(0.1), "0.1"),
        (numpy.float16(0.1), "0.1"),
        (-2.0, "-2"),
        (1e300, "1e+300"),
        (True, "True"),
        (numpy.str_("a"), "a"),
        (math.inf, "inf"),
    ],
)
def test_numbers_are_read_as_texts(value: Any, text: str) -> None:
    assert text_cell(value, "", "id") == text


@pytest.mark.parametrize("value", [["a"], {"a": 1}, b"a", object()])
def test_what_is_no_text_is_refused_with_its_place(value: Any) -> None:
    with pytest.raises(EvaluationError, match="question is a") as caught:
        text_cell(value, "a.tsv:2", "question")
    assert caught.value.where == "a.tsv:2"


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (["a", "b"], ["a", "b"]),
        (("a",), ["a"]),
        (numpy.array(["a", "b"], dtype=object), ["a", "b"]),
        (numpy.array([1, 2]), ["1", "2"]),
        ("['a', 'b']", ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        ("""['it\\'s', "it's", 'say "x"']""", ["it's", "it's", 'say "x"']),
        ("['a', None, 'c']", ["a", "", "c"]),
        ('["a", null]', ["a", ""]),
        (["a", None, "c"], ["a", "", "c"]),
        ("[1.50, 2, -3e5]", ["1.50", "2", "-3e5"]),
        ("['1/8/93']", ["1/8/93"]),
        ("['a',]", ["a"]),
        ("['Größe', '大']", ["Größe", "大"]),
        ('["\\u5927", "a\\/b"]', ["大", "a/b"]),
        ("['\\\\frac { a } { b }']", ["\\frac { a } { b }"]),
        ("['two\\nlines']", ["two\nlines"]),
        ("  ['a']\n", ["a"]),
        ("a", ["a"]),
        (" a ", [" a "]),
        ("[a]", ["[a]"]),
        ("[Yes, No]", ["[Yes, No]"]),
        ("['a' + 'b']", ["['a' + 'b']"]),
        ("[x for x in ['a']]", ["[x for x in ['a']]"]),
        ("[] + [__import__('os')]", ["[] + [__import__('os')]"]),
        (7, ["7"]),
        (7.0, ["7"]),
        (False, ["False"]),
    ],
)
def test_lists_are_read_as_data(value: Any, texts: list[str]) -> None:
    assert listed(value) == texts


@pytest.mark.parametrize(
    "value", [None, math.nan, "", "  ", [], "[]", [""], ["", " "], "['']", [None]]
)
def test_a_list_of_nothing_is_empty(value: Any) -> None:
    """The test split of TextVQA has ten empty texts for answers."""
    assert listed(value) == []


def test_a_blank_answer_among_others_stays() -> None:
    assert listed(["a", ""]) == ["a", ""]


def test_short_floats_of_numpy_are_the_numbers_that_they_show() -> None:
    assert listed(numpy.array([0.1, 2.0], dtype=numpy.float32)) == ["0.1", "2"]


@pytest.mark.parametrize(
    ("value", "one", "several"),
    [
        ("[1, 2]", ["[1, 2]"], ["1", "2"]),
        ("[12, 30, 200, 180]", ["[12, 30, 200, 180]"], ["12", "30", "200", "180"]),
        ("['12', '12 cm']", ["12", "12 cm"], ["12", "12 cm"]),
        ('["a", null]', ["a", ""], ["a", ""]),
        ("[]", [], []),
        ("a", ["a"], ["a"]),
        ("[1, 'a']", ["1", "a"], ["1", "a"]),
        ([1, 2], ["1", "2"], ["1", "2"]),
        ([[12, 30.5, 200, 180]], ["[12, 30.5, 200, 180]"], ["[12, 30.5, 200, 180]"]),
        ("[[1, 2], [3, 4]]", ["[[1, 2], [3, 4]]"], ["[1, 2]", "[3, 4]"]),
        (None, [], []),
    ],
)
def test_numbers_in_brackets_are_one_answer_unless_the_column_is_plural(
    value: Any, one: list[str], several: list[str]
) -> None:
    assert answers_cell(value, "", "targets", is_plural=False) == one
    assert answers_cell(value, "", "targets", is_plural=True) == several


def test_objects_in_brackets_are_one_answer() -> None:
    text = '[{"bbox_2d": [1, 2, 3, 4], "label": "a"}]'
    assert answers_cell(text, "", "targets", is_plural=False) == [text]


def test_strings_without_commas_are_refused() -> None:
    """NumPy prints lists so, and `datasets` writes them so (its issue 6778); Python joins them."""
    for text in ("['a' 'b']", "['a'\n 'b']", '["a" "b" "c"]'):
        with pytest.raises(EvaluationError, match="no commas") as caught:
            listed(text)
        assert caught.value.where == "a.tsv:2"


def test_a_text_is_refused_where_a_list_must_stand() -> None:
    with pytest.raises(EvaluationError, match="targets is 'yes', which is no list") as caught:
        listed("yes", must_be_list=True)
    assert caught.value.where == "a.tsv:2"
    for text in ("['a', 'b'", "[98 117]", "{'a'}"):
        with pytest.raises(EvaluationError, match="no list"):
            listed(text, must_be_list=True)
    assert listed("['a']", must_be_list=True) == ["a"]
    assert listed(None, must_be_list=True) == []


def test_a_list_in_a_list_is_refused() -> None:
    for value in ([["a"]], '[["a"]]', [{"answer": "a"}]):
        with pytest.raises(EvaluationError, match="targets is a"):
            listed(value)


def test_hostile_texts_are_read_quickly_or_refused() -> None:
    started = time.monotonic()
    for text in (
        "[" * 100_000 + "]" * 100_000,
        "[" + "-" * 100_000 + "1]",
        "['" + "\\" * 100_001 + "']",
        "[" + "'a'," * 50_000 + "'b]",
        "[" + "'a' " * 50_000 + "1]",
        "[" + " " * 500_000 + "]",
    ):
        assert listed(text) in ([text], [])
    with pytest.raises(EvaluationError, match="at most 1,048,576"):
        listed("[" + "1," * 600_000 + "1]")
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    "value",
    [
        [{"question": "q", "answer": "it's"}],
        """[{'question': 'q', 'answer': "it's"}]""",
        '[{"question": "q", "answer": "it\'s"}]',
        numpy.array([{"question": "q", "answer": "it's"}], dtype=object),
    ],
)
def test_records_are_read_as_data(value: Any) -> None:
    assert records_cell(value, "", "qa_pairs") == [{"question": "q", "answer": "it's"}]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "[1]",
        "{'question': 'q'}",
        "[{'a': __import__('os').getcwd()}]",
        "[" * 200_000,
        "-" * 200_000 + "1",
        "[{'a': " + "(" * 100_000 + "1" + ")" * 100_000 + "}]",
        "[{'a': 1" + "+1" * 100_000 + "}]",
    ],
)
def test_what_is_no_list_of_records_is_refused(value: Any) -> None:
    with pytest.raises(EvaluationError, match="no list of dicts") as caught:
        records_cell(value, "a.tsv:2", "qa_pairs")
    assert caught.value.where == "a.tsv:2"
    assert len(str(caught.value)) < 400
