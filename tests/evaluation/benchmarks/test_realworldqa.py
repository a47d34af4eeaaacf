"""RealWorldQA: options in columns or in the question, asked alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenvl_kit.evaluation.benchmarks.realworldqa import RealWorldQA, split_options
from tests.evaluation.data.files import in_base64, png, write_parquet, write_tsv

CONTENT = png()
ASK = "Please answer directly with only the letter of the correct option and nothing else."
WRITTEN = f"Which lane?\n\nA. left\nB. right\n{ASK}"


def hub_row(question: str, answer: str) -> dict[str, object]:
    image = {"bytes": CONTENT, "path": None}
    return {"image": image, "question": question, "answer": answer, "image_path": "0.webp"}


def vlmevalkit(folder: Path, **more: str) -> list[dict[str, str]]:
    row = {"index": "0", "image": in_base64(CONTENT), "question": "Which lane?", "answer": "B"}
    return [{**row, "A": "left", "B": "right", "C": "", "D": "", **more}]


def test_options_are_taken_from_the_question(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "test-00000-of-00001.parquet", [hub_row(WRITTEN, "B")])
    (item,) = RealWorldQA(path)
    assert (item.question, item.choices, item.targets) == (
        "Which lane?",
        ("left", "right"),
        ("B",),
    )


def test_vlmevalkits_file_gives_the_same_item(tmp_path: Path) -> None:
    (item,) = RealWorldQA(write_tsv(tmp_path / "RealWorldQA.tsv", vlmevalkit(tmp_path)))
    assert (item.question, item.choices, item.targets) == (
        "Which lane?",
        ("left", "right"),
        ("B",),
    )


@pytest.mark.parametrize(
    ("more", "name", "asked"),
    [
        (
            {},
            "qwen",
            "Question: Which lane?\nOptions:\nA. left\nB. right\n"
            "Please select the correct answer from the options above.",
        ),
        (
            {"question": "哪条车道？", "A": "左", "B": "右"},
            "qwen",
            "Question: 哪条车道？\nOptions:\nA. 左\nB. 右\n请直接回答选项字母。",
        ),
        (
            {"hint": "Look."},
            "qwen",
            "Hint: Look.\nQuestion: Which lane?\nOptions:\nA. left\nB. right\n"
            "Please select the correct answer from the options above.",
        ),
        (
            {},
            "vlmevalkit",
            "Question: Which lane?\nOptions:\nA. left\nB. right\n"
            "Please select the correct answer from the options above. \n",
        ),
        (
            {},
            "qwen3",
            "Question: Which lane?\nOptions:\nA. left\nB. right\n"
            "Answer with the option letter only.",
        ),
    ],
)
def test_the_prompts_are_those_of_vlmevalkit(
    tmp_path: Path, more: dict[str, str], name: str, asked: str
) -> None:
    """Values of `_build_mcq_prompt` of Qwen2-VL and Qwen3-VL, and of `ImageMCQDataset`."""
    path = write_tsv(tmp_path / "a.tsv", vlmevalkit(tmp_path, **more))
    benchmark = RealWorldQA(path, prompt=name)
    assert benchmark.prompt_text(benchmark[0]) == asked


def test_an_empty_hint_of_a_table_is_no_hint() -> None:
    """A gap of a DataFrame is NaN, which is true."""
    row = {**hub_row(WRITTEN, "B"), "hint": float("nan")}
    benchmark = RealWorldQA([row])
    assert benchmark.prompt_text(benchmark[0]).startswith("Question: Which lane?")


def test_the_prompt_of_lmms_eval_is_the_question_as_it_was_written() -> None:
    benchmark = RealWorldQA([hub_row(WRITTEN, "B")], prompt="lmms_eval")
    assert benchmark.prompt_text(benchmark[0]) == WRITTEN


@pytest.mark.parametrize(
    ("answer", "value", "read"),
    [
        ("B", 1.0, "B"),
        ("B. right", 1.0, "B"),
        ("(B)", 1.0, "B"),
        ("right", 1.0, "B"),
        ("A", 0.0, "A"),
        ("", 0.0, None),
        ("I cannot tell.", 0.0, None),
    ],
)
def test_an_option_is_right_by_its_letter(answer: str, value: float, read: str | None) -> None:
    benchmark = RealWorldQA([hub_row(WRITTEN, "B")])
    score = benchmark.score(benchmark[0], answer)
    assert (score.value, score.read) == (value, read)


@pytest.mark.parametrize(
    ("target", "answer", "value"),
    [("2", "2.", 1.0), ("Downhill", "downhill", 1.0), ("0", "10", 0.0), ("Yes", "No", 0.0)],
)
def test_an_open_question_is_right_by_its_word(target: str, answer: str, value: float) -> None:
    """The values are those of lmms-eval, tasks/realworldqa/utils.py."""
    question = "How many? Please answer directly with a single word or number."
    benchmark = RealWorldQA([hub_row(question, target)])
    assert benchmark[0].choices == ()
    assert benchmark.score(benchmark[0], answer).value == value


@pytest.mark.parametrize(
    "question",
    ["Is A. left of B?", "B. first\nA. second", "A. only one option", "A. one\nC. three"],
)
def test_lines_that_are_no_options_stay_in_the_question(question: str) -> None:
    assert split_options(question) == (question, ())
