"""The items as CSV, which no spreadsheet runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from qwenvl_kit.errors import EvaluationError
from tests.evaluation.making import scored_item
from tests.evaluation.results import result_of, small_result


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_each_item_is_a_line(tmp_path: Path) -> None:
    small_result().write_csv(tmp_path / "items.csv")
    rows = read(tmp_path / "items.csv")
    assert [row["id"] for row in rows] == ["a", "b", "c", "d"]
    assert [row["score"] for row in rows] == ["1.0", "0.5", "0.0", ""]
    assert [row["group:kind"] for row in rows] == ["x", "y", "y", "x"]
    assert rows[3]["error"] == "GenerationError: out of luck"
    assert json.loads(rows[0]["targets"]) == ["yes"]
    assert (rows[1]["answer"], rows[1]["strict"]) == ("1,950", "0.0")


@pytest.mark.parametrize(
    "cell",
    [
        '=HYPERLINK("http://example.com")',
        "+1+1",
        "-1+1",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "\uff1d1+1",
        "=cmd|' /C calc'!A0",
        "  =1+1",
    ],
)
def test_a_formula_is_made_harmless(tmp_path: Path, cell: str) -> None:
    item = scored_item(cell, 1.0, answer=cell, question=cell, groups={"kind": cell}, read=cell)
    result_of([item]).write_csv(tmp_path / "items.csv")
    (row,) = read(tmp_path / "items.csv")
    for name in ("id", "question", "answer", "read", "group:kind"):
        assert row[name][0] == "'"
        assert row[name][1:] == cell


def test_names_of_groups_are_made_harmless_too(tmp_path: Path) -> None:
    result_of([scored_item("a", 1.0, groups={"=1": "x"})]).write_csv(tmp_path / "items.csv")
    assert "group:=1" in read(tmp_path / "items.csv")[0]


def test_quotes_lines_and_scripts_stay(tmp_path: Path) -> None:
    texts = ['a "quote"', "two\nlines", "a,b;c", "日本語 العربية 🙂", "nul\x00", "half \ud800"]
    items = [scored_item(str(at), 1.0, answer=text) for at, text in enumerate(texts)]
    result_of(items).write_csv(tmp_path / "items.csv")
    found = [row["answer"] for row in read(tmp_path / "items.csv")]
    assert found[:4] == texts[:4]
    assert found[4] == "nul\ufffd"
    assert found[5] == "half ?"


def test_a_cell_is_not_split_where_semicolons_separate(tmp_path: Path) -> None:
    result_of([scored_item("a", 1.0, answer="red;=1+1")]).write_csv(tmp_path / "items.csv")
    assert '"red;=1+1"' in (tmp_path / "items.csv").read_text(encoding="utf-8-sig")


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="cannot be written"):
        small_result().write_csv(tmp_path)
