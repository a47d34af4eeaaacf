"""JSON Lines and JSON files hold rows in the forms in which benchmarks are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.data.opening import open_rows
from tests.evaluation.data.files import in_base64, png

ROWS = [{"id": at, "question": f"q\u2028{at}", "answers": ["a", "b"]} for at in range(3)]
PICTURE = in_base64(png())


def written(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", ["jsonl", "ndjson", "jsonlines"])
def test_each_line_of_json_lines_is_a_row(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n", encoding="utf-8")
    rows = open_rows(path)
    assert [dict(row) for row in rows] == ROWS
    assert [row.where for row in rows] == [f"a.{ending}:{line}" for line in (1, 2, 3)]


def test_a_list_of_objects_is_rows(tmp_path: Path) -> None:
    assert [dict(row) for row in open_rows(written(tmp_path / "a.json", ROWS))] == ROWS


def test_the_list_under_data_is_rows_as_docvqa_has_it(tmp_path: Path) -> None:
    path = written(tmp_path / "val_v1.0.json", {"dataset_name": "DocVQA", "data": ROWS})
    rows = open_rows(path)
    assert [dict(row) for row in rows] == ROWS
    assert [row.where for row in rows][1] == "val_v1.0.json: data[1]"


def test_an_object_of_objects_is_rows_as_mathvista_has_it(tmp_path: Path) -> None:
    path = written(tmp_path / "testmini.json", {"1": {"pid": "1"}, "2": {"pid": "2"}})
    rows = open_rows(path)
    assert [dict(row) for row in rows] == [{"key": "1", "pid": "1"}, {"key": "2", "pid": "2"}]
    assert [row.where for row in rows] == ["testmini.json: 1", "testmini.json: 2"]


def test_columns_are_those_that_any_row_has(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", [{"a": 1}, {"b": 2}])
    assert list(open_rows(path).columns) == ["a", "b"]


def test_pictures_of_json_lines_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"id": at, "image": PICTURE}) for at in range(2)]
    path.write_text("\n".join(lines), encoding="utf-8")
    read = list(open_rows(path, heavy=("image",)))
    assert not any(row.is_in_memory("image") for row in read)
    assert [row["image"] for row in read] == [PICTURE, PICTURE]
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(EvaluationError, match="was changed"):
        read[0]["image"]


@pytest.mark.parametrize(
    ("name", "text", "problem", "where"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', "no JSON", "a.jsonl:2"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "a row is a list", "a.jsonl:2"),
        ("a.jsonl", '{"a": 1, "a": 2}', "stands twice", "a.jsonl:1"),
        ("a.json", '[{"a": 1}, {"a": 2}', "cut off", "a.json:1"),
        ("a.json", '["a"]', "a row is a str", "a.json:1"),
    ],
)
def test_what_is_no_row_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, problem: str, where: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(EvaluationError, match=problem) as caught:
        open_rows(tmp_path / name)
    assert caught.value.where.endswith(where)
