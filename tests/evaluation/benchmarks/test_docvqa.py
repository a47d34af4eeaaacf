"""DocVQA: the files of its organisers, of hubs and of VLMEvalKit give the same items."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.docvqa import DocVQA
from qwenvl_kit.evaluation.evaluating import score_answers
from tests.evaluation.data.files import in_base64, png, write_parquet, write_tsv

CONTENT = png()
QUESTION, ANSWERS = "What is the Date?", ["1/8/93", "1/8/1993"]


def vlmevalkit(folder: Path) -> DocVQA:
    rows = [
        {"index": "337", "image": in_base64(CONTENT), "question": QUESTION, "answer": f"{ANSWERS}"},
        {"index": "338", "image": "337", "question": "Who?", "answer": "['P. \"Mac\" Carter']"},
    ]
    return DocVQA(write_tsv(folder / "DocVQA_VAL.tsv", rows))


def hub_row(number: int, **more: object) -> dict[str, object]:
    return {
        "questionId": str(number),
        "question": QUESTION,
        "question_types": ["handwritten", "form"],
        "image": {"bytes": CONTENT, "path": None},
        "docId": 279,
        "ucsf_document_id": "xnbl0037",
        "ucsf_document_page_no": "1",
        "answers": ANSWERS,
        "data_split": "val",
        **more,
    }


def hub(folder: Path) -> DocVQA:
    rows = [hub_row(337), hub_row(338, question_types=["form"], ucsf_document_id="other")]
    write_parquet(folder / "validation-00000-of-00001.parquet", rows)
    return DocVQA(folder, split="validation")


def test_vlmevalkits_file_is_read(tmp_path: Path) -> None:
    benchmark = vlmevalkit(tmp_path)
    first, second = benchmark
    assert (first.id, first.question, first.targets) == ("337", QUESTION, tuple(ANSWERS))
    assert second.targets == ('P. "Mac" Carter',)
    assert first.media == second.media
    assert first.cluster == second.cluster == "337"
    assert benchmark.name == "DocVQA"


def test_the_rows_of_a_hub_are_read(tmp_path: Path) -> None:
    first, second = hub(tmp_path)
    assert (first.id, first.question, first.targets) == ("337", QUESTION, tuple(ANSWERS))
    assert first.tags == {"question type": ("handwritten", "form")}
    assert [first.cluster, second.cluster] == ["xnbl0037", "other"]
    assert len(first.media) == 1


def test_the_organisers_file_is_read(tmp_path: Path) -> None:
    row = hub_row(49153, image="documents/xnbl0037_1.png")
    file = {"dataset_name": "SP-DocVQA", "dataset_split": "val", "data": [row]}
    (tmp_path / "val_v1.0.json").write_text(json.dumps(file), encoding="utf-8")
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/xnbl0037_1.png").write_bytes(CONTENT)
    (item,) = DocVQA(tmp_path / "val_v1.0.json")
    assert item.targets == tuple(ANSWERS)
    assert Path(str(item.media[0].source)).read_bytes() == CONTENT


def test_the_prompts_are_the_published_ones(tmp_path: Path) -> None:
    """Values of VLMEvalKit's qwen2_vl/prompt.py, image_vqa.py and qwen3_vl/prompt.py."""
    asked = {}
    for name in DocVQA.prompts:
        benchmark = DocVQA([hub_row(1)], prompt=name)
        asked[name] = benchmark.prompt_text(benchmark[0])
    assert asked == {
        "qwen": f"{QUESTION}\nPlease try to answer the question with short words or phrases if "
        "possible.",
        "vlmevalkit": f"{QUESTION}\nAnswer the question using a single word or phrase.",
        "qwen3": f"{QUESTION}\nPlease answer concisely with short words or phrases when possible.",
    }


def test_the_score_is_anls(tmp_path: Path) -> None:
    result = score_answers(hub(tmp_path), {"337": "1/8/93", "338": "1/8/98"})
    assert [each.score.value for each in result.answered if each.score] == [1.0, 1 - 1 / 6]
    assert list(result.estimates) == ["ANLS"]
    assert result.by_group["question type"]["handwritten"].value == 1.0
    assert result.by_group["question type"]["form"].value == pytest.approx(1 - 1 / 12)


def test_an_empty_answer_counts_as_wrong_and_unread(tmp_path: Path) -> None:
    result = score_answers(hub(tmp_path), {"337": "", "338": " \n"})
    assert (result.score, result.num_unread, result.num_failed) == (0.0, 2, 0)


@pytest.mark.parametrize("answers", [None, [], "", [""]])
def test_the_test_split_is_refused_with_the_place_where_it_is_scored(answers: object) -> None:
    """lmms-eval gives an empty score for it (its issue 553)."""
    with pytest.raises(EvaluationError, match="no right answer in 'answers'") as caught:
        DocVQA([hub_row(1, answers=answers)])
    assert "rrc.cvc.uab.es" in caught.value.hint
    assert caught.value.where == "rows[0]"


def test_a_test_file_without_a_column_of_answers_is_refused_alike() -> None:
    row = hub_row(1)
    del row["answers"]
    with pytest.raises(EvaluationError, match="no right answer") as caught:
        DocVQA([row])
    assert "rrc.cvc.uab.es" in caught.value.hint


def test_an_answer_cell_that_is_no_list_is_refused(tmp_path: Path) -> None:
    rows = [{"index": "1", "image": in_base64(CONTENT), "question": "q", "answer": "1/8/93"}]
    with pytest.raises(EvaluationError, match="'1/8/93', which is no list") as caught:
        DocVQA(write_tsv(tmp_path / "a.tsv", rows))
    assert caught.value.where == "a.tsv:2"


@pytest.mark.parametrize("image", [None, "", {"bytes": None, "path": None}])
def test_a_row_without_a_picture_is_not_asked_without_one(image: object) -> None:
    benchmark = DocVQA([hub_row(1, image=image)])
    with pytest.raises(EvaluationError, match="the row has no picture") as caught:
        benchmark.request(benchmark[0])
    assert caught.value.where == "rows[0]"


def test_two_items_with_one_id_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"the id '1': rows\[0\] and rows\[1\]"):
        DocVQA([hub_row(1), hub_row(1)])


def test_a_missing_column_is_named_with_those_there_are() -> None:
    with pytest.raises(EvaluationError, match="no column for question") as caught:
        DocVQA([{"questionId": 1, "answers": ["a"]}])
    assert "'questionId', 'answers'" in caught.value.hint
    with pytest.raises(EvaluationError, match="no column for image"):
        DocVQA([{"questionId": 1, "question": "q", "answers": ["a"]}])


def test_a_rule_of_ones_own_is_no_argument() -> None:
    with pytest.raises(TypeError, match="scorer"):
        DocVQA([hub_row(1)], scorer="exact")  # type: ignore[call-arg]
