"""Rows are read with their lines, and what is no JSON is an error in its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qwenvl_kit.errors import TrainingDataError
from qwenvl_kit.training.examples.files import read_rows

ROWS = [{"query": f"q{at}", "response": "a\u2028b"} for at in range(3)]


def lines_of(path: Path) -> list[int]:
    return [int(row.where.rpartition(":")[2]) for row in read_rows(path)]


def test_lines_of_a_jsonl_are_counted_with_the_empty_ones(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    assert [row.value for row in read_rows(path)] == ROWS
    assert lines_of(path) == [1, 3, 5]


def test_a_mark_of_byte_order_is_no_part_of_the_first_row(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROWS[0]).encode())
    assert [row.value for row in read_rows(path)] == ROWS[:1]


@pytest.mark.parametrize("indent", [None, 2])
def test_elements_of_an_array_have_the_lines_on_which_they_begin(
    tmp_path: Path, indent: int | None
) -> None:
    path = tmp_path / "train.json"
    path.write_text(json.dumps(ROWS, indent=indent), encoding="utf-8")
    assert [row.value for row in read_rows(path)] == ROWS
    assert lines_of(path) == ([1, 1, 1] if indent is None else [2, 6, 10])


def test_an_array_in_a_file_of_lines_is_read_as_an_array(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(ROWS, indent=1), encoding="utf-8")
    assert [row.value for row in read_rows(path)] == ROWS


@pytest.mark.parametrize("text", ["{}\n", '{"a": 1}\n{"a": 2}', '{\n "a": 1\n}\n'])
def test_a_json_file_may_hold_one_row_or_rows_that_follow_each_other(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "train.json"
    path.write_text(text, encoding="utf-8")
    assert all(isinstance(row.value, dict) for row in read_rows(path))


def test_a_line_that_is_no_json_costs_itself_alone(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"a": 1}\n{"a": \n{"a": 3}\n', encoding="utf-8")
    first, second, third = read_rows(path)
    assert (first.value, third.value) == ({"a": 1}, {"a": 3})
    assert isinstance(second.value, TrainingDataError)
    assert second.value.where == f"{path}:2"


@pytest.mark.parametrize(
    "text", ['[{"a": 1}, {"a": 2}', '[{"a": 1} {"a": 2}]', '[{"a": 1},\n oops]']
)
def test_a_damaged_array_gives_the_rows_before_the_fault(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.json"
    path.write_text(text, encoding="utf-8")
    *whole, last = read_rows(path)
    assert [row.value for row in whole][:1] == [{"a": 1}]
    assert isinstance(last.value, TrainingDataError)


def test_a_key_that_stands_twice_in_a_row_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"query": "q", "response": "a", "response": "b"}', encoding="utf-8")
    (row,) = read_rows(path)
    assert isinstance(row.value, TrainingDataError)
    assert "'response' stands twice" in str(row.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train.csv", b"query,response", "ends in '.csv'"),
        ("missing.jsonl", None, "cannot be read"),
        ("train.jsonl", "{}".encode("utf-16"), "no text in UTF-8"),
    ],
)
def test_a_file_of_another_kind_is_refused_by_its_name(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TrainingDataError, match=words):
        list(read_rows(path))
