"""RefCOCO: boxes in the units of the family that answers, and never in two."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit.errors import EvaluationError, UnknownFamilyError
from qwenvl_kit.evaluation.benchmarks.refcoco import RefCOCO
from qwenvl_kit.evaluation.evaluating import evaluate, score_answers
from tests.evaluation.benchmarks.film_files import chat_that, write_parquet, write_tsv

WIDTH, HEIGHT = 640, 480


def png(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


def hub_row(**changes: Any) -> dict[str, Any]:
    """A row of lmms-lab/RefCOCO on Hugging Face: x, y, width and height."""
    return {
        "question_id": "1719310",
        "image": {"bytes": png(), "path": None},
        "question": "Please carefully observe the area circled in the image and come up with a "
        "caption for the area.",
        "answer": ["the lady with the blue shirt", "lady in blue"],
        "segmentation": [1.0, 2.0, 3.0],
        "bbox": [64.0, 48.0, 320.0, 240.0],
        "iscrowd": 0,
        "file_name": "COCO_train2014_000000581857_16.jpg",
        **changes,
    }


def tsv_row(**changes: Any) -> dict[str, Any]:
    """A row of VLMEvalKit's RefCOCO.tsv: corners as fractions (its issue 1330 shows one)."""
    return {
        "index": 119,
        "image": base64.b64encode(png()).decode(),
        "question": "Please provide the bounding box coordinate of the region this sentence "
        "describes: <ref>lady in blue</ref>",
        "answer": "[0.100000, 0.100000, 0.600000, 0.600000]",
        "category": "RefCOCO+ test-A",
        **changes,
    }


def sent_row(**changes: Any) -> dict[str, Any]:
    """A row of Qwen-VL's refcoco_val.jsonl: corners in pixels."""
    return {
        "image": "coco/train2014/COCO_train2014_000000581857.jpg",
        "sent": "lady in blue",
        "bbox": [64.0, 48.0, 384.0, 288.0],
        "height": HEIGHT,
        "width": WIDTH,
        **changes,
    }


def test_the_columns_of_hugging_face_are_read(tmp_path: Path) -> None:
    items = list(RefCOCO(write_parquet(tmp_path / "testA.parquet", [hub_row()])))
    assert [item.id for item in items] == ["1719310/0", "1719310/1"]  # a question for each sentence
    assert [item.question for item in items] == ["the lady with the blue shirt", "lady in blue"]
    assert items[0].targets == ("[64, 48, 384, 288]",)
    assert items[0].cluster == items[1].cluster == "COCO_train2014_000000581857_16.jpg"


def test_the_file_of_vlmevalkit_is_read(tmp_path: Path) -> None:
    rows = [tsv_row(), tsv_row(category="RefCOCOg val"), tsv_row(category="RefCOCO test-B")]
    asked = RefCOCO(write_tsv(tmp_path / "RefCOCO.tsv", rows))
    assert [item.id for item in asked] == [
        "RefCOCO+_testA_119",
        "RefCOCOg_val_119",
        "RefCOCO_testB_119",
    ]
    assert asked[0].question == "lady in blue"
    assert asked[0].targets == ("[0.1, 0.1, 0.6, 0.6]",)
    assert asked[0].groups == {"split": "RefCOCO+_testA"}
    assert asked.metrics[0].name == "mean over splits"


def test_the_files_of_qwen_vl_are_read(tmp_path: Path) -> None:
    (tmp_path / "refcoco_val.jsonl").write_text(json.dumps(sent_row()) + "\n")
    asked = RefCOCO(tmp_path / "refcoco_val.jsonl", folder=tmp_path)
    assert asked[0].question == "lady in blue"
    assert asked[0].targets == ("[64, 48, 384, 288]",)
    assert [metric.name for metric in asked.metrics] == ["accuracy", "strict accuracy"]


def test_corners_in_columns_of_their_own_are_read() -> None:
    # The columns of RefCOCO-M (VLMEvalKit, pull request 1524).
    row = tsv_row(bbox_x1=64, bbox_y1=48, bbox_x2=384, bbox_y2=288, width=WIDTH, height=HEIGHT)
    assert RefCOCO([row])[0].targets == ("[64, 48, 384, 288]",)


def test_other_columns_are_named_with_their_form() -> None:
    # A row of VLM-R1's files (om-ai-lab/VLM-R1, issue 11).
    row = {
        "image": png(),
        "problem": "Please provide the bounding box coordinate of ...: the lady.",
        "normal_caption": "the lady",
        "solution": [103.93, 299.99, 238.15, 477.41],
        "id": 0,
    }
    columns = {"question": "normal_caption", "targets": "solution"}
    with pytest.raises(EvaluationError, match="box_format='xywh', 'xyxy' or 'fractions'"):
        RefCOCO([row], columns=columns)
    (item,) = RefCOCO([row], columns=columns, box_format="xyxy")
    assert (item.question, item.targets) == ("the lady", ("[103.93, 299.99, 238.15, 477.41]",))


def test_a_given_form_goes_before_that_of_the_columns() -> None:
    (item,) = RefCOCO([hub_row(answer=["a"])], box_format="xyxy")
    assert item.targets == ("[64, 48, 320, 240]",)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"bbox": [64.0, 48.0, 320.0]}, "the box has 3 numbers"),
        ({"bbox": [64.0, 48.0, 0.0, 240.0]}, "width and height above 0"),
        ({"bbox": [64.0, 48.0, -3.0, 240.0]}, "width and height above 0"),
        ({"bbox": ["a", "b", "c", "d"]}, "expected four numbers"),
        ({"bbox": [float("nan")] * 4}, "box"),
        ({"answer": []}, "no sentence"),
        ({"answer": [" "]}, "no sentence"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(EvaluationError, match=problem):
        RefCOCO([hub_row(**changes)])


def test_pixels_are_not_taken_for_fractions() -> None:
    with pytest.raises(EvaluationError, match=r"in \[0, 1\].*box_format="):
        RefCOCO([tsv_row(answer="[64, 48, 384, 288]")])


def test_a_form_that_there_is_not_is_refused() -> None:
    with pytest.raises(EvaluationError, match="box_format='cxcywh' was given"):
        RefCOCO([hub_row()], box_format="cxcywh")  # type: ignore[arg-type]
    with pytest.raises(UnknownFamilyError):
        RefCOCO([hub_row()], family="gpt")


def test_a_question_of_an_unknown_form_is_refused() -> None:
    with pytest.raises(EvaluationError, match="sentence in an unknown form"):
        RefCOCO([tsv_row(question="Give the bounding box of lady in blue")])
    assert RefCOCO([tsv_row(question="lady in blue")])[0].question == "lady in blue"


@pytest.mark.parametrize(
    ("family", "prompt"),
    [
        ("qwen2_vl", "Find lady in blue in this image with grounding."),
        (
            "qwen2_5_vl",
            "Locate lady in blue in this image and output the bbox coordinates in JSON format.",
        ),
        (
            "qwen3_vl",
            'Locate every object that matches the description "lady in blue" in the image. '
            "Report bbox coordinates in JSON format.",
        ),
    ],
)
def test_each_family_is_asked_as_it_was_evaluated(family: str, prompt: str) -> None:
    asked = RefCOCO([tsv_row()], family=family)
    assert asked.prompt_text(asked[0]) == prompt
    assert asked.conditions == {"family": family}


def test_the_prompt_of_vlmevalkit_is_the_question_of_its_file() -> None:
    asked = RefCOCO([tsv_row()], prompt="vlmevalkit")
    assert asked.prompt_text(asked[0]) == tsv_row()["question"]


BOX = {"x1": 64, "y1": 48, "x2": 384, "y2": 288}
"""The right box in pixels of the picture: from .1 to .6 of each side."""


def _thousandths(text: str) -> str:
    return text.format(100, 100, 600, 600)


ROWS = [tsv_row(), {**hub_row(answer=["lady in blue"])}]


@pytest.mark.parametrize("row", ROWS, ids=["fractions", "pixels"])
@pytest.mark.parametrize(
    ("family", "answer"),
    [
        ("qwen2_vl", "lady in blue(100,100),(600,600)"),
        (
            "qwen2_vl",
            "<|object_ref_start|>lady<|object_ref_end|><|box_start|>(100,100),(600,600)<|box_end|>",
        ),
        ("qwen3_vl", '```json\n[{"bbox_2d": [100, 100, 600, 600], "label": "lady"}]\n```'),
        ("qwen3_5", '[{"bbox_2d": [100, 100, 600, 600]}]'),
    ],
)
def test_thousandths_are_read_without_a_plan(row: dict[str, Any], family: str, answer: str) -> None:
    asked = RefCOCO([row], family=family)
    score = asked.score(asked[0], answer)
    assert (score.value, score.strict) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("answer", "value", "is_read"),
    [
        ('{"bbox_2d": [100, 100, 600, 600]}', 1.0, True),
        ('{"bbox_2d": [100, 100, 600, 400]}', 1.0, True),  # 0.6
        ('{"bbox_2d": [100, 100, 600, 350]}', 1.0, True),  # a half
        ('{"bbox_2d": [100, 100, 600, 340]}', 0.0, True),
        ('{"bbox_2d": [64, 48, 384, 288]}', 0.0, True),  # pixels: lmms-eval would take them as well
        ('{"bbox_2d": [600, 600, 100, 100]}', 1.0, True),  # corners in the wrong order
        ("There is no such lady.", 0.0, False),
        ("", 0.0, False),
        ('{"point_2d": [300, 300]}', 0.0, False),
        ('[{"bbox_2d": [0, 0, 5, 5]}, {"bbox_2d": [100, 100, 600, 600]}]', 0.0, True),  # the first
        ('{"bbox_2d": [100, 100, 1600, 1600]}', 0.0, True),
    ],
)
def test_the_first_box_counts(answer: str, value: float, is_read: bool) -> None:
    asked = RefCOCO([hub_row(answer=["lady in blue"])], family="qwen3_vl")
    score = asked.score(asked[0], answer)
    assert (score.value, score.is_read) == (value, is_read)


def test_several_boxes_are_no_strict_hit() -> None:
    asked = RefCOCO([tsv_row()], family="qwen3_vl")
    answer = '[{"bbox_2d": [100, 100, 600, 600]}, {"bbox_2d": [0, 0, 5, 5]}]'
    score = asked.score(asked[0], answer)
    assert (score.value, score.strict) == (1.0, 0.0)


@pytest.mark.parametrize("row", ROWS, ids=["fractions", "pixels"])
@pytest.mark.parametrize("budget", [None, "quick"])
def test_pixels_of_a_resized_picture_are_mapped_by_the_plan(
    row: dict[str, Any], budget: str | None
) -> None:
    """Qwen2.5-VL writes pixels of the picture that it saw, whatever its size."""

    def answer(request: Any) -> str:
        (plan,) = request.plan.images
        seen = plan.resized
        box = [0.1 * seen.width_px, 0.1 * seen.height_px, 0.6 * seen.width_px, 0.6 * seen.height_px]
        return json.dumps([{"bbox_2d": [round(side) for side in box], "label": "lady"}])

    with chat_that(answer, family="qwen2_5_vl") as chat:
        result = evaluate(chat, RefCOCO([row]), budget=budget, progress=False)
    assert result.score == 1.0
    assert result.record.conditions == {"family": "qwen2_5_vl"}
    sides = json.loads(result.items[0].read or "")
    scale = 1 if sides[2] <= 1 else WIDTH
    assert sides[0] / scale == pytest.approx(0.1, abs=0.01)


def test_a_family_of_thousandths_is_mapped_by_the_plan_as_well() -> None:
    with chat_that(lambda request: "lady(100,100),(600,600)", family="qwen2_vl") as chat:
        result = evaluate(chat, RefCOCO([hub_row()]), progress=False)
    assert result.score == 1.0
    assert len(result.items) == 2


def test_a_benchmark_keeps_no_family_of_a_chat() -> None:
    asked = RefCOCO([tsv_row()])
    with chat_that(lambda request: "", family="qwen3_vl") as chat:
        evaluate(chat, asked, progress=False)
    assert asked.family is None


def test_answers_without_a_plan_are_refused_where_their_unit_is_not_known() -> None:
    asked = RefCOCO([tsv_row()], family="qwen2_5_vl")
    with pytest.raises(EvaluationError, match="pixels of the picture that it saw"):
        asked.score(asked[0], '{"bbox_2d": [100, 100, 600, 600]}')
    asked = RefCOCO([tsv_row()])
    with pytest.raises(EvaluationError, match=r"family=\.\.\., such as 'qwen3_vl'"):
        asked.score(asked[0], '{"bbox_2d": [100, 100, 600, 600]}')


def test_of_several_splits_each_counts_alike() -> None:
    rows = [tsv_row(index=at) for at in range(3)] + [tsv_row(category="RefCOCOg val")]
    asked = RefCOCO(rows, family="qwen3_vl")
    right, wrong = '{"bbox_2d": [100, 100, 600, 600]}', '{"bbox_2d": [0, 0, 5, 5]}'
    answers = {item.id: wrong if "RefCOCOg" in item.id else right for item in asked}
    result = score_answers(asked, answers)
    assert result.score == 0.5
    assert result.estimates["accuracy"].value == 0.75
    assert result.by_group["split"]["RefCOCO+_testA"].value == 1.0


def test_a_picture_that_cannot_be_decoded_costs_its_item_alone() -> None:
    rows = [tsv_row(), tsv_row(index=2, image=base64.b64encode(png()[:60]).decode())]
    with chat_that(lambda request: "(100,100),(600,600)", family="qwen2_vl") as chat:
        result = evaluate(chat, RefCOCO(rows), progress=False)
    assert (result.score, result.num_failed) == (1.0, 1)


def test_boxes_in_a_journal_are_read_by_the_plan_that_was_kept(tmp_path: Path) -> None:
    def answer(request: Any) -> str:
        seen = request.plan.images[0].resized
        sides = (
            0.1 * seen.width_px,
            0.1 * seen.height_px,
            0.6 * seen.width_px,
            0.6 * seen.height_px,
        )
        return json.dumps({"bbox_2d": [round(side) for side in sides]})

    for script in (answer, lambda request: "not asked again"):
        with chat_that(script, family="qwen2_5_vl") as chat:
            asked = RefCOCO([hub_row()])
            result = evaluate(
                chat, asked, budget="quick", journal=tmp_path / "run.jsonl", progress=False
            )
        assert result.score == 1.0


def test_a_row_with_two_pictures_fails_when_it_is_asked() -> None:
    asked = RefCOCO([hub_row(image=[png(), png()])], family="qwen3_vl")
    for use in (lambda: asked.score(asked[0], "[1, 2, 3, 4]"), lambda: asked[0].media):
        with pytest.raises(EvaluationError, match="the row has 2 pictures") as caught:
            use()
        assert caught.value.where == "rows[0]"
    result = evaluate(chat_that(lambda request: "[1, 2, 3, 4]"), asked, progress=False)
    assert result.num_failed == len(asked)
