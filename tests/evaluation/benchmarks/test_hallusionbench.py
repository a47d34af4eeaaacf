"""HallusionBench: aAcc, fAcc and qAcc, with and without the questions that have no picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.hallusionbench import HallusionBench
from qwenvl_kit.evaluation.evaluating import score_answers
from qwenvl_kit.evaluation.result import EvaluationResult
from tests.evaluation.data.files import in_base64, png, write_parquet, write_tsv

CONTENT = png()
RIGHT = [
    ("VD", "illusion", 0, 0, 0, True),
    ("VD", "illusion", 0, 0, 1, True),
    ("VD", "illusion", 0, 1, 0, True),
    ("VD", "illusion", 0, 1, 1, False),
    ("VS", "chart", 0, 1, 0, True),
    ("VS", "chart", 0, 1, 1, False),
    ("VS", "chart", 0, 2, 0, True),
    ("VS", "chart", 0, 2, 1, True),
    ("VS", "ocr", 0, 1, 0, False),
    ("VD", "ocr", 0, 1, 0, True),
]
"""Category, subcategory, set, figure and question, and True if it was answered right."""

WITHOUT_PICTURE = [("VS", "chart", 0, 0, 0, False), ("VS", "chart", 0, 0, 1, True)]


def makers_row(category: str, kind: str, group: int, figure: int, question: int) -> dict[str, Any]:
    has_picture = not (category == "VS" and figure == 0)
    return {
        "category": category,
        "subcategory": kind,
        "visual_input": "1" if has_picture else "0",
        "set_id": str(group),
        "figure_id": str(figure),
        "sample_note": "none",
        "question_id": str(question),
        "question": "Is the left line longer?",
        "gt_answer_details": "The lines are of one length.",
        "gt_answer": "0" if question else "1",
        "filename": f"./hallusion_bench/{kind}/{group}_{figure}.png" if has_picture else None,
    }


def result_of(benchmark: HallusionBench, cases: list[tuple[Any, ...]]) -> EvaluationResult:
    answers = {}
    for item, case in zip(benchmark, cases):
        is_yes = (item.targets[0] in ("1", "Yes")) == case[-1]
        answers[item.id] = "Yes." if is_yes else "No."
    return score_answers(benchmark, answers)


def values(result: EvaluationResult) -> dict[str, float]:
    return {name: round(100 * each.value, 6) for name, each in result.estimates.items()}


def test_vlmevalkits_file_gives_its_figures(tmp_path: Path) -> None:
    """`Hallusion_rating` (dataset/utils/yorn.py) gives 70, 50 and 50; by VS 60, 33.3 and 33.3."""
    rows = [
        {
            "index": f"hb_{category}_{kind}_{group}_{figure}_{question}",
            "question": "Is the left line longer?",
            "category": category,
            "l2-category": f"{category}_{kind}",
            "answer": "No" if question else "Yes",
            "image": in_base64(CONTENT),
        }
        for category, kind, group, figure, question, _ in RIGHT
    ]
    benchmark = HallusionBench(write_tsv(tmp_path / "HallusionBench.tsv", rows))
    result = result_of(benchmark, RIGHT)
    assert values(result) == {
        "mean of aAcc, fAcc, qAcc": round(170 / 3, 6),
        "aAcc": 70.0,
        "fAcc": 50.0,
        "qAcc": 50.0,
    }
    vs = result.by_group["category"]["VS"].value
    assert vs == pytest.approx((0.6 + 1 / 3 + 1 / 3) / 3)
    assert benchmark[0].id == "hb_VD_illusion_0_0_0"
    assert set(result.by_group["input"]) == {"picture"}
    assert set(result.by_group["subcategory"]) == {"VD_illusion", "VD_ocr", "VS_chart", "VS_ocr"}


def test_the_makers_file_gives_the_figures_of_their_code(tmp_path: Path) -> None:
    """`get_eval_all`, `get_eval_fig` and `get_eval_pair_all` give 8/12, 3/6 and 2/6."""
    cases = [*RIGHT, *WITHOUT_PICTURE]
    path = tmp_path / "HallusionBench.json"
    path.write_text(json.dumps([makers_row(*case[:-1]) for case in cases]), encoding="utf-8")
    benchmark = HallusionBench(path)
    result = result_of(benchmark, cases)
    assert [result.estimates[name].value for name in ("aAcc", "fAcc", "qAcc")] == [
        pytest.approx(8 / 12),
        pytest.approx(3 / 6),
        pytest.approx(2 / 6),
    ]
    assert result.estimates["fAcc"].num_items == 10
    assert set(result.by_group["subcategory"]) == {"VD_illusion", "VD_ocr", "VS_chart", "VS_ocr"}
    assert benchmark[-1].media == ()
    assert len(benchmark[0].media) == 1
    assert [item.id for item in benchmark][-1] == "VS_chart_0_0_1"
    assert {name: each.num_items for name, each in result.by_group["input"].items()} == {
        "picture": 10,
        "no picture": 2,
    }


def test_the_rows_of_a_hub_are_read(tmp_path: Path) -> None:
    row = {**makers_row("VD", "math", 3, 1, 0), "image": {"bytes": CONTENT, "path": None}}
    text = {**makers_row("VS", "map", 3, 0, 0), "image": None}
    write_parquet(tmp_path / "data/image-00000-of-00001.parquet", [row])
    write_parquet(tmp_path / "data/non_image-00000-of-00001.parquet", [text])
    (item,) = HallusionBench(tmp_path / "data", split="image")
    assert (item.id, item.targets, item.cluster) == ("VD_math_3_1_0", ("1",), "VD_math_3")
    assert len(item.media) == 1
    (item,) = HallusionBench(tmp_path / "data", split="non_image")
    assert item.media == ()
    (item,) = HallusionBench([{**row, "image": None, "filename": None}])
    with pytest.raises(EvaluationError, match="no picture"):
        item.media  # noqa: B018  # a property that reads


def test_the_prompts_are_the_published_ones() -> None:
    asked = {}
    for name in HallusionBench.prompts:
        benchmark = HallusionBench([makers_row(*RIGHT[0][:-1])], prompt=name)
        asked[name] = benchmark.prompt_text(benchmark[0])
    question = "Is the left line longer?"
    assert asked == {"qwen": f"{question} Please answer yes or no.", "vlmevalkit": question}


def test_an_answer_that_says_neither_is_unread_and_goes_to_a_judge() -> None:
    cases = [RIGHT[0], WITHOUT_PICTURE[0]]
    benchmark = HallusionBench([makers_row(*case[:-1]) for case in cases])
    seen, unseen = benchmark
    answer = "The {question} cannot be decided."
    assert benchmark.score(seen, answer).read is None
    asked = benchmark.judge_prompt(seen, answer)
    assert "Right answer: Yes. The lines are of one length." in asked
    assert f"Answer: {answer}" in asked
    verdicts = ("correct", "Incorrect.", "unclear", "perhaps")
    scores = [benchmark.score_judged(seen, answer, verdict) for verdict in verdicts]
    assert [score.value for score in scores] == [1.0, 0.0, 0.0, 0.0]
    assert [score.is_read for score in scores] == [True, True, True, False]
    assert benchmark.score_judged(unseen, answer, "unclear").value == 1.0


def test_an_id_that_names_no_figure_is_refused() -> None:
    row = {
        "index": "17",
        "category": "VD",
        "l2-category": "VD_ocr",
        "question": "q",
        "answer": "Yes",
    }
    with pytest.raises(EvaluationError, match="names no set, figure and question") as caught:
        HallusionBench([row])
    assert caught.value.where == "rows[0]"


def test_a_question_may_hold_the_fields_of_the_judges_prompt() -> None:
    row = {**makers_row("VS", "chart", 0, 0, 0), "question": "Is {answer} or {right} shown?"}
    asked = HallusionBench([row])
    text = asked.judge_prompt(asked[0], "It says {question}.")
    assert "Question: Is {answer} or {right} shown?\nRight answer: Yes." in text
    assert "Answer: It says {question}.\n" in text
