"""ChartQA: relaxed accuracy over questions of people and of machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.evaluation.benchmarks.chartqa import ChartQA
from qwenvl_kit.evaluation.evaluating import score_answers
from tests.evaluation.data.files import in_base64, png, write_parquet, write_tsv

CONTENT = png()


def hub_row(answer: Any, kind: str = "human_test") -> dict[str, Any]:
    image = {"bytes": CONTENT, "path": None}
    return {"type": kind, "question": "How many?", "answer": answer, "image": image}


def test_the_rows_of_lmms_lab_are_read(tmp_path: Path) -> None:
    rows = [hub_row("14"), hub_row("Yes", "augmented_test")]
    items = ChartQA(write_parquet(tmp_path / "test-00000-of-00001.parquet", rows))
    assert [item.targets for item in items] == [("14",), ("Yes",)]
    assert [item.groups["questions"] for item in items] == ["human", "augmented"]
    assert items[0].id == "test-00000-of-00001.parquet:1"


def test_the_rows_of_huggingfacem4_are_read(tmp_path: Path) -> None:
    image = {"bytes": CONTENT, "path": None}
    rows = [
        {"image": image, "query": "How many?", "label": ["14"], "human_or_machine": at}
        for at in (0, 1)
    ]
    items = ChartQA(write_parquet(tmp_path / "test-00000-of-00001.parquet", rows))
    assert [item.groups["questions"] for item in items] == ["human", "augmented"]
    assert items[0].targets == ("14",)
    assert items[0].question == "How many?"


def test_vlmevalkits_file_is_read(tmp_path: Path) -> None:
    picture = in_base64(CONTENT)
    rows = [
        {"index": "0", "image": picture, "question": "q", "answer": "14", "split": "test_human"},
        {"index": "1", "image": "0", "question": "q", "answer": "3", "split": "test_augmented"},
    ]
    items = ChartQA(write_tsv(tmp_path / "ChartQA_TEST.tsv", rows))
    assert [item.groups["questions"] for item in items] == ["human", "augmented"]
    assert [item.cluster for item in items] == ["0", "0"]
    assert len(ChartQA(tmp_path / "ChartQA_TEST.tsv", split="test_human")) == 1


def test_the_makers_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "png").mkdir()
    (tmp_path / "png/41699051005347.png").write_bytes(CONTENT)
    rows = [{"imgname": "41699051005347.png", "query": "How many food item?", "label": "14"}]
    path = tmp_path / "test_human.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    (item,) = ChartQA(path, folder=tmp_path / "png")
    assert (item.question, item.targets, item.cluster) == (
        "How many food item?",
        ("14",),
        "41699051005347.png",
    )
    assert Path(str(item.media[0].source)).exists()
    assert item.groups == {}


@pytest.mark.parametrize("answer", ["[2014, 2017]", "['a', 'b']", "[Yes, No]"])
def test_an_answer_that_looks_like_a_list_is_one_answer(answer: str) -> None:
    (item,) = ChartQA([hub_row(answer)])
    assert item.targets == (answer,)


def test_the_prompt_of_lmms_eval_asks_for_a_word() -> None:
    benchmark = ChartQA([hub_row("14")], prompt="lmms_eval")
    asked = benchmark.prompt_text(benchmark[0])
    assert asked == "How many?\nAnswer the question with a single word."


def test_the_published_rule_has_a_strict_one_beside_it() -> None:
    """1950 is right for the year 2000 by the published code, and "1,000" is wrong for 1000."""
    benchmark = ChartQA([hub_row("2000"), hub_row("1000", "augmented_test")])
    ids = [item.id for item in benchmark]
    result = score_answers(benchmark, dict(zip(ids, ["1950", "1,000"])))
    values = [(each.score.value, each.score.strict) for each in result.answered if each.score]
    assert values == [(1.0, 0.0), (0.0, 1.0)]
    assert result.estimates["relaxed accuracy"].value == 0.5
    assert result.by_group["questions"]["human"].value == 1.0
    assert result.by_group["questions"]["augmented"].value == 0.0
