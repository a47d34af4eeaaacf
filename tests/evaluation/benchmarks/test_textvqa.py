"""TextVQA: ten answers of people, and questions with their capitals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.textvqa import TextVQA
from qwenvl_kit.evaluation.evaluating import score_answers
from tests.evaluation.data.files import in_base64, png, write_parquet, write_tsv

CONTENT = png()
QUESTION = "what is the brand of this Nokia phone?"
ANSWERS = ["nokia"] * 7 + ["Nokia", "toshiba", "the nokia"]


def hub_row(number: int, **more: object) -> dict[str, object]:
    return {
        "image_id": "003a8ae2ef43b901",
        "question_id": number,
        "question": QUESTION,
        "image": {"bytes": CONTENT, "path": None},
        "answers": ANSWERS,
        "ocr_tokens": ["NOKIA"],
        "set_name": "val",
        **more,
    }


def test_the_rows_of_a_hub_are_read(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data/validation-00000-of-00003.parquet", [hub_row(34602)])
    write_parquet(tmp_path / "data/validation-00001-of-00003.parquet", [hub_row(34603)])
    write_parquet(tmp_path / "data/validation-00002-of-00003.parquet", [hub_row(34604)])
    items = TextVQA(tmp_path, split="validation")
    assert [item.id for item in items] == ["34602", "34603", "34604"]
    assert items[0].targets == tuple(ANSWERS)
    assert {item.cluster for item in items} == {"003a8ae2ef43b901"}


def test_vlmevalkits_file_is_read(tmp_path: Path) -> None:
    picture = in_base64(CONTENT)
    rows = [{"index": "0", "image": picture, "question": QUESTION, "answer": f"{ANSWERS}"}]
    (item,) = TextVQA(write_tsv(tmp_path / "TextVQA_VAL.tsv", rows))
    assert item.targets == tuple(ANSWERS)


def test_the_makers_file_is_read(tmp_path: Path) -> None:
    row = hub_row(34602)
    del row["image"]
    file = {"dataset_type": "val", "dataset_name": "textvqa", "data": [row]}
    (tmp_path / "TextVQA_0.5.1_val.json").write_text(json.dumps(file), encoding="utf-8")
    (tmp_path / "train_images").mkdir()
    (tmp_path / "train_images/003a8ae2ef43b901.jpg").write_bytes(CONTENT)
    path, folder = tmp_path / "TextVQA_0.5.1_val.json", tmp_path / "train_images"
    (item,) = TextVQA(path, folder=folder)
    assert Path(str(item.media[0].source)).read_bytes() == CONTENT


def test_questions_keep_their_capitals() -> None:
    """lmms-eval takes them away by `capitalize()` (tasks/textvqa/utils.py)."""
    for name in TextVQA.prompts:
        benchmark = TextVQA([hub_row(1)], prompt=name)
        assert benchmark.prompt_text(benchmark[0]).startswith(QUESTION + "\n")


@pytest.mark.parametrize(
    ("answer", "value"),
    [("nokia", 1.0), ("Nokia.", 1.0), ("a NOKIA", 1.0), ("toshiba", 0.3), ("sony", 0.0)],
)
def test_the_score_is_vqa_accuracy_with_each_person_left_out(answer: str, value: float) -> None:
    """The values are those of lmms-eval's `EvalAIAnswerProcessor`, tasks/textvqa/utils.py."""
    benchmark = TextVQA([hub_row(1)])
    assert benchmark.score(benchmark[0], answer).value == pytest.approx(value)


def test_the_test_split_is_refused_with_the_place_where_it_is_scored() -> None:
    with pytest.raises(EvaluationError, match="no right answer in 'answers'") as caught:
        TextVQA([hub_row(1, answers=[""] * 10)])
    assert "EvalAI" in caught.value.hint


def test_a_picture_that_cannot_be_decoded_is_a_failure_of_its_item(tmp_path: Path) -> None:
    """VLMEvalKit's TextVQA_VAL once had such a cell, and nothing ran (its issue 237)."""
    rows = [
        {"index": "0", "image": in_base64(CONTENT), "question": "q", "answer": "['a', 'b']"},
        {"index": "1", "image": "A" * 5000, "question": "q", "answer": "['a', 'b']"},
    ]
    benchmark = TextVQA(write_tsv(tmp_path / "a.tsv", rows))
    assert len(benchmark[0].media) == 1
    with pytest.raises(Exception, match="no base64 of a picture"):
        benchmark.request(benchmark[1])


def test_items_without_an_answer_are_failures() -> None:
    result = score_answers(TextVQA([hub_row(1), hub_row(2)]), {"1": "nokia"})
    assert (result.score, result.num_failed) == (1.0, 1)


def test_answers_that_are_missing_among_ten_are_counted() -> None:
    asked = TextVQA([hub_row(1, answers=["x"] * 3 + [None] * 7)])
    assert len(asked[0].targets) == 10
    assert asked.score(asked[0], "x").value == pytest.approx((3 * 2 / 3 + 7 * 1) / 10)
