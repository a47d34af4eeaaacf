"""MathVista: hints, types of answers, skills, and a judge for what no rule can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.mathvista import MathVista
from qwenvl_kit.evaluation.evaluating import score_answers
from qwenvl_kit.evaluation.result import load_result
from tests.evaluation.data.files import in_base64, png, write_parquet, write_tsv

CONTENT = png()
OPTION_HINT = (
    "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at "
    "the end."
)
ONE_PLACE = (
    "Hint: Please answer the question requiring a floating-point number with one decimal place and "
    "provide the final value, e.g., 1.2, 1.3, 1.4, at the end."
)


def hub_row(pid: str, answer: str, **more: Any) -> dict[str, Any]:
    skills = more.pop("skills", ["geometry reasoning", "algebraic reasoning"])
    task = more.pop("task", "geometry problem solving")
    row: dict[str, Any] = {
        "pid": pid,
        "question": "How long is AB?",
        "image": f"images/{pid}.jpg",
        "decoded_image": {"bytes": CONTENT, "path": None},
        "choices": None,
        "unit": None,
        "precision": None,
        "answer": answer,
        "question_type": "free_form",
        "answer_type": "integer",
        "metadata": {"task": task, "skills": skills, "split": "testmini"},
        "query": "the query of the data",
    }
    return {**row, **more}


def option_row(pid: str = "1", **more: Any) -> dict[str, Any]:
    given = {"question_type": "multi_choice", "answer_type": "text", "choices": ["3", "4", "5"]}
    return hub_row(pid, **{"answer": "5", **given, **more})


def test_the_rows_of_a_hub_are_read(tmp_path: Path) -> None:
    rows = [option_row(), hub_row("2", "1.5", answer_type="float", precision=1.0, unit="cm")]
    write_parquet(tmp_path / "data/testmini-00000-of-00001-725687bf7a18d64b.parquet", rows)
    option, number = MathVista(tmp_path / "data", split="testmini")
    assert (option.id, option.targets, option.choices) == ("1", ("C",), ("3", "4", "5"))
    assert (number.id, number.targets, number.choices) == ("2", ("1.5",), ())
    assert option.groups["task"] == "geometry problem solving"
    assert option.tags == {"skill": ("geometry reasoning", "algebraic reasoning")}
    assert len(option.media) == 1
    assert option.media[0].source == CONTENT


def test_the_makers_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/1.jpg").write_bytes(CONTENT)
    row = option_row()
    del row["decoded_image"]
    (tmp_path / "testmini.json").write_text(json.dumps({"1": row}), encoding="utf-8")
    (item,) = MathVista(tmp_path / "testmini.json")
    assert (item.id, item.targets) == ("1", ("C",))
    assert Path(str(item.media[0].source)).read_bytes() == CONTENT


def test_vlmevalkits_file_is_read(tmp_path: Path) -> None:
    query = f"{OPTION_HINT}\nQuestion: How long is AB? (Unit: cm)\nChoices:\n(A) 3\n(B) 4\n(C) 5"
    rows = [
        {
            "index": "1",
            "image": in_base64(CONTENT),
            "question": query,
            "answer": "5",
            "answer_option": "C",
            "choices": "['3', '4', '5']",
            "question_type": "multi_choice",
            "answer_type": "text",
            "task": "geometry problem solving",
            "skills": "['geometry reasoning', 'algebraic reasoning']",
        }
    ]
    path = write_tsv(tmp_path / "MathVista_MINI.tsv", rows)
    (item,) = MathVista(path)
    assert (item.question, item.targets) == ("How long is AB? (Unit: cm)", ("C",))
    assert item.tags == {"skill": ("geometry reasoning", "algebraic reasoning")}
    asked = {name: MathVista(path, prompt=name).prompt_text(item) for name in MathVista.prompts}
    ask = "Please try to answer the question with short words or phrases if possible."
    assert asked["qwen"] == f"{query}\n{ask}"
    assert asked["vlmevalkit"] == query
    assert asked["lmms_eval"] == (
        "How long is AB? (Unit: cm)\nA. 3\nB. 4\nC. 5\n"
        "Answer with the option's letter from the given choices directly."
    )


def test_the_query_of_the_data_is_asked_where_there_is_one() -> None:
    benchmark = MathVista([hub_row("1", "5")], prompt="vlmevalkit")
    assert benchmark.prompt_text(benchmark[0]) == "the query of the data"


@pytest.mark.parametrize(
    ("row", "query", "direct"),
    [
        (
            option_row(unit="cm"),
            f"{OPTION_HINT}\nQuestion: How long is AB? (Unit: cm)\nChoices:\n(A) 3\n(B) 4\n(C) 5",
            "How long is AB? (Unit: cm)\nA. 3\nB. 4\nC. 5\n"
            "Answer with the option's letter from the given choices directly.",
        ),
        (
            hub_row("1", "5"),
            "Hint: Please answer the question requiring an integer answer and provide the final "
            "value, e.g., 1, 2, 3, at the end.\nQuestion: How long is AB?",
            "How long is AB?\nAnswer the question using a single integer number.",
        ),
        (
            hub_row("1", "1.5", answer_type="float", precision=1.0, unit="m"),
            f"{ONE_PLACE}\nQuestion: How long is AB? (Unit: m)",
            "How long is AB? (Unit: m)\nAnswer the question using a single floating-point number "
            "with one decimal place.",
        ),
        (
            hub_row("1", "[1, 2]", answer_type="list"),
            "Hint: Please answer the question requiring a Python list as an answer and provide the "
            "final list, e.g., [1, 2, 3], [1.2, 1.3, 1.4], at the end.\nQuestion: How long is AB?",
            "How long is AB?\nAnswer the question using a Python list.",
        ),
    ],
)
def test_the_prompts_are_the_published_ones(row: dict[str, Any], query: str, direct: str) -> None:
    """Parts of `create_one_query` of lmms-eval; the hint stands first, as in the data's queries."""
    for name, asked in (("vlmevalkit", query), ("lmms_eval", direct)):
        benchmark = MathVista([{**row, "query": None}], prompt=name)
        assert benchmark.prompt_text(benchmark[0]) == asked


@pytest.mark.parametrize(
    ("row", "answer", "value", "is_read"),
    [
        (option_row(), "C", 1.0, True),
        (option_row(), "The correct answer is (C) 5.", 1.0, True),
        (option_row(), "5", 1.0, True),
        (option_row(), "B", 0.0, True),
        (option_row(), "It is hard to say.", 0.0, False),
        (hub_row("1", "14"), "14", 1.0, True),
        (hub_row("1", "14"), "14.0", 1.0, True),
        (hub_row("1", "14"), "The answer is 14.", 1.0, True),
        (hub_row("1", "14"), "There are 14 of them, and 3 more.", 0.0, False),
        (hub_row("1", "1.5", answer_type="float", precision=1.0), "1.50", 1.0, True),
        (hub_row("1", "1.45", answer_type="float", precision="2"), "1.45", 1.0, True),
        (hub_row("1", "[2007, 2008]", answer_type="list"), "[2007, 2008]", 1.0, True),
        (hub_row("1", "14"), "", 0.0, False),
    ],
)
def test_answers_are_read_by_their_type(
    row: dict[str, Any], answer: str, value: float, is_read: bool
) -> None:
    """VLMEvalKit counts no list right, nor "14.0" for 14 (its issue 1679)."""
    benchmark = MathVista([row])
    score = benchmark.score(benchmark[0], answer)
    assert (score.value, score.is_read) == (value, is_read)


def test_a_judge_extracts_what_no_rule_can_read() -> None:
    benchmark = MathVista([hub_row("1", "14"), option_row("2")])
    number, option = benchmark
    answer = "There are {query} 14 of them, and 3 more."
    asked = benchmark.judge_prompt(number, answer)
    assert asked.endswith(f"the query of the data\n\nModel response: {answer}\n\nExtracted answer:")
    assert asked.count("Extracted answer:") == 6
    assert benchmark.score_judged(number, answer, "14").value == 1.0
    assert benchmark.score_judged(number, answer, "Extracted answer: 14\n").value == 1.0
    assert benchmark.score_judged(number, answer, "3").value == 0.0
    assert benchmark.score_judged(number, answer, "").read is None
    assert benchmark.score_judged(option, answer, "(C)").value == 1.0


def test_gaps_of_a_table_are_no_units_and_no_places() -> None:
    gap = float("nan")
    benchmark = MathVista([hub_row("1", "5", unit=gap, precision=gap, query=gap)])
    assert benchmark.prompt_text(benchmark[0]).endswith(
        "Question: How long is AB?\nPlease try to answer the question with short words or phrases "
        "if possible."
    )


def test_a_saved_result_keeps_the_skills(tmp_path: Path) -> None:
    rows = [hub_row("1", "5"), hub_row("2", "6", skills=["geometry reasoning"])]
    result = score_answers(MathVista(rows), {"1": "5", "2": "7"})
    result.save(tmp_path / "result.json")
    result.write_csv(tmp_path / "result.csv")
    assert load_result(tmp_path / "result.json").by_group == result.by_group
    assert "group:skill" in (tmp_path / "result.csv").read_text(encoding="utf-8-sig")


def test_results_are_told_by_task_and_by_each_skill() -> None:
    rows = [hub_row("1", "5"), hub_row("2", "6", skills=["geometry reasoning"], task="other")]
    result = score_answers(MathVista(rows), {"1": "5", "2": "7"})
    assert result.score == 0.5
    skills = {name: each.value for name, each in result.by_group["skill"].items()}
    assert skills == {"algebraic reasoning": 1.0, "geometry reasoning": 0.5}
    assert set(result.by_group["task"]) == {"geometry problem solving", "other"}


def test_the_test_split_is_refused() -> None:
    with pytest.raises(EvaluationError, match="no right answer in 'answer'") as caught:
        MathVista([hub_row("1", "")])
    assert "testmini" in caught.value.hint


def test_an_answer_that_is_none_of_the_options_is_refused() -> None:
    with pytest.raises(EvaluationError, match="'9' is none of the options"):
        MathVista([option_row(answer="9")])


def test_a_precision_that_is_no_number_is_refused() -> None:
    with pytest.raises(EvaluationError, match="the precision is 'two'"):
        MathVista([hub_row("1", "5", precision="two")])


def test_a_precision_that_a_table_has_made_a_float_is_read() -> None:
    (item,) = MathVista([hub_row("2", "1.5", answer_type="float", precision="1.0")])
    assert item.facts["precision"] == 1
    with pytest.raises(EvaluationError, match=r"the precision is '1\.5'"):
        MathVista([hub_row("2", "1.5", answer_type="float", precision="1.5")])
