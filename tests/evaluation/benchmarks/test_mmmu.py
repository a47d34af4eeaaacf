"""MMMU: questions with options and open ones, with pictures before the text and in it."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import ImagePart, TextPart
from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.mmmu import MMMU
from qwenvl_kit.evaluation.benchmarks.mmmu_answers import open_score
from qwenvl_kit.evaluation.benchmarks.mmmu_subjects import SUBJECTS, discipline_of, subject_of
from qwenvl_kit.evaluation.evaluating import score_answers
from tests.evaluation.benchmarks.film_files import write_parquet, write_tsv


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (56, 56), colour).save(buffer, "PNG")
    return buffer.getvalue()


def row(**changes: Any) -> dict[str, Any]:
    """A row of MMMU/MMMU on Hugging Face."""
    pictures = {f"image_{at}": None for at in range(1, 8)}
    return {
        "id": "validation_Art_Theory_3",
        "question": "<image 1> What is the total?",
        "options": "['$6', '$7', '<image 2>', '$9']",
        "explanation": "",
        **pictures,
        "image_1": {"bytes": png("red"), "path": "a.png"},
        "image_2": {"bytes": png("blue"), "path": "b.png"},
        "img_type": "['Tables']",
        "answer": "B",
        "topic_difficulty": "Easy",
        "question_type": "multiple-choice",
        "subfield": "Theory",
        **changes,
    }


def tsv_row(**changes: Any) -> dict[str, Any]:
    """A row of VLMEvalKit's MMMU_DEV_VAL.tsv."""
    return {
        "index": 1,
        "question": "What is it? <image 1>",
        "A": "a cat",
        "B": "a dog",
        "C": "",
        "D": "",
        "answer": "B",
        "question_type": "multiple-choice",
        "id": "validation_Design_1",
        "category": "Design",
        "l2-category": "Art and Design",
        "split": "validation",
        "image": base64.b64encode(png("red")).decode(),
        **changes,
    }


def test_the_columns_of_hugging_face_are_read(tmp_path: Path) -> None:
    (item,) = MMMU(write_parquet(tmp_path / "validation.parquet", [row()]))
    assert item.id == "validation_Art_Theory_3"
    assert item.choices == ("$6", "$7", "<image 2>", "$9")
    assert item.targets == ("B",)
    assert item.groups == {
        "discipline": "Art and Design",
        "subject": "Art_Theory",
        "kind": "multiple choice",
    }
    assert len(item.media) == 2
    assert all(isinstance(part, ImagePart) for part in item.media)


def test_the_file_of_vlmevalkit_is_read(tmp_path: Path) -> None:
    rows = [tsv_row(), tsv_row(index=2, id="dev_Design_1", split="dev")]
    (item,) = MMMU(write_tsv(tmp_path / "MMMU_DEV_VAL.tsv", rows))  # the validation split alone
    assert item.id == "validation_Design_1"
    assert (item.choices, item.targets) == (("a cat", "a dog"), ("B",))
    assert item.groups["discipline"] == "Art and Design"


def test_another_split_may_be_asked(tmp_path: Path) -> None:
    rows = [tsv_row(), tsv_row(index=2, id="dev_Design_1", split="dev")]
    file = write_tsv(tmp_path / "MMMU_DEV_VAL.tsv", rows)
    assert [item.id for item in MMMU(file, split="dev")] == ["dev_Design_1"]


def test_data_without_the_validation_split_are_refused(tmp_path: Path) -> None:
    file = write_tsv(tmp_path / "a.tsv", [tsv_row(split="dev")])
    with pytest.raises(EvaluationError, match=r"no row has the split 'validation'.*split='dev'"):
        MMMU(file)


@pytest.mark.parametrize("hidden", ["?", None, ""])
def test_the_test_split_has_no_answers_and_is_refused(hidden: str | None) -> None:
    with pytest.raises(EvaluationError, match=r"no right answer.*eval\.ai"):
        MMMU([row(answer=hidden)])


def test_pictures_stand_before_the_text_as_in_qwens_code() -> None:
    asked = MMMU([row()])
    first, second, text = asked.messages(asked[0])[0].parts
    assert isinstance(first, ImagePart)
    assert isinstance(second, ImagePart)
    # The text of `build_mmmu_prompt` of QwenLM/Qwen3-VL: places stay in it as text.
    assert text == TextPart(
        "Question: <image 1> What is the total?\nOptions:\nA. $6\nB. $7\nC. <image 2>\nD. $9\n"
        "Please select the correct answer from the options above."
    )


@pytest.mark.parametrize("prompt", ["vlmevalkit", "lmms_eval"])
def test_pictures_stand_at_their_places_elsewhere(prompt: str) -> None:
    asked = MMMU([row()], prompt=prompt)
    parts = asked.messages(asked[0])[0].parts
    pictures = [part for part in parts if isinstance(part, ImagePart)]
    assert pictures == list(asked[0].media)
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    assert not any("<image" in text for text in texts)
    if prompt == "vlmevalkit":
        assert texts[0] == "Question: "
    assert texts[-2].endswith("C. ")
    assert texts[-1].startswith("\nD. $9\n")


def test_a_picture_that_is_named_twice_is_shown_twice() -> None:
    asked = MMMU([row(question="<image 1> or <image 1>?")], prompt="vlmevalkit")
    parts = asked.messages(asked[0])[0].parts
    assert sum(isinstance(part, ImagePart) for part in parts) == 3


def test_a_picture_that_is_named_and_not_there_costs_its_item() -> None:
    asked = MMMU([row(question="<image 3>")], prompt="vlmevalkit")
    with pytest.raises(EvaluationError, match="<image 3>, and the item has 2 pictures"):
        asked.messages(asked[0])


def test_a_gap_between_pictures_costs_its_item() -> None:
    asked = MMMU([row(image_1=None)])
    with pytest.raises(EvaluationError, match="'image_1' is empty, and a later one is not"):
        asked[0].media  # noqa: B018


def test_the_texts_are_as_published() -> None:
    asked = MMMU([row(question_type="open", options="[]", answer="7", question="How many?")])
    assert asked.prompt_text(asked[0]) == "Question: How many?"
    rows = [row(), row(id="validation_Math_1", options="[]", answer="7", question="How many?")]
    asked = MMMU(rows, prompt="lmms_eval")
    # The values of `construct_prompt` of lmms-eval with the prompts of mmmu_val.yaml.
    assert asked.prompt_text(asked[0]) == (
        "<image 1> What is the total?\nA. $6\nB. $7\nC. <image 2>\nD. $9\n\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert asked.prompt_text(asked[1]) == (
        "How many?\n\nAnswer the question using a single word or phrase."
    )


@pytest.mark.parametrize(
    ("answer", "value", "read"),
    [
        ("B", 1.0, "B"),
        ("$7", 1.0, "B"),
        ("**Answer: B**", 1.0, "B"),
        ("The answer is C", 0.0, "C"),
        ("", 0.0, None),  # MMMU's own code draws a letter by chance
        ("Sorry, I can't recognize the image", 0.0, None),  # MMMU-Benchmark/MMMU, issue 72
        ("<think>A or C</think>B", 1.0, "B"),
    ],
)
def test_a_letter_is_never_drawn_by_chance(answer: str, value: float, read: str | None) -> None:
    asked = MMMU([row()])
    score = asked.score(asked[0], answer)
    assert (score.value, score.read) == (value, read)


PUBLISHED = [
    ("12.345", ["12.35"], 1.0),
    ("The answer is 1,234 m.", ["1234"], 1.0),
    ("x = 5", ["5"], 1.0),
    ("5 apples, so 7", ["7"], 1.0),
    ("It is about 0.333", ["1/3"], 0.0),
    ("So the final result is -3.5", ["-3.5"], 1.0),
    ("It could be red", ["red"], 1.0),
    ("The reddish one", ["red"], 1.0),
    ("no idea", ["a"], 0.0),
    ("option a it is", ["a"], 1.0),
    ("a", ["a"], 1.0),
    ("The value is 24.32", ["24.32", "24.33"], 1.0),
    ("24.33", ["24.32", "24.33"], 1.0),
    ("$6", ["6"], 1.0),
    ("6%", ["6%"], 1.0),
    ("6.0", ["6"], 1.0),
    ("six", ["6"], 0.0),
    ("1e3", ["1000"], 1.0),
    ("the answer is 5\nthe answer is 7", ["5"], 1.0),
    ("The total is 4. Therefore the mean is 2", ["4"], 0.0),
    ("answer: 42", ["42"], 1.0),
    ("1 234", ["1234"], 0.0),
    ("-5", ["5"], 0.0),
    ("5", ["-5"], 0.0),
    ("Trypsin.", ["trypsin"], 1.0),
    ("not trypsin", ["Trypsin"], 1.0),
    ("12,34", ["1234"], 1.0),
    ("3.14159", ["3.14"], 1.0),
    ("about 3.1", ["3.14"], 0.0),
    ("", ["x"], 0.0),
    ("x is greater than y", ["x"], 0.0),
    ("is", ["is"], 1.0),
]
"""Answers, right answers, and the value of `eval_open(target, parse_open_response(answer))` of MMMU
(lmms-eval's copy, tasks/mmmu/utils.py, run on them)."""


@pytest.mark.parametrize(("answer", "targets", "value"), PUBLISHED)
def test_open_answers_are_scored_as_published(
    answer: str, targets: list[str], value: float
) -> None:
    assert open_score(answer, targets).value == value


@pytest.mark.parametrize(
    ("answer", "targets", "strict"),
    [
        ("The reddish one", ["red"], 0.0),
        ("not trypsin", ["trypsin"], 0.0),
        ("It is red", ["Red"], 1.0),
        ("The answer is 24.33", ["24.32", "24.33"], 1.0),
        ("a", ["a"], 1.0),
    ],
)
def test_a_strict_figure_wants_equal_answers(
    answer: str, targets: list[str], strict: float
) -> None:
    assert open_score(answer, targets).strict == strict


@pytest.mark.parametrize("answer", ["", " ", "...", "?!"])
def test_an_open_answer_without_words_is_unread(answer: str) -> None:
    assert not open_score(answer, ["x"]).is_read


@pytest.mark.parametrize(
    "answer", ["nan", "1e999", "Infinity", "９" * 3, "١٢", "½", "\x00", "1" * 400]
)
def test_odd_numbers_are_scored_without_an_error(answer: str) -> None:
    assert open_score(answer, ["5", answer]).value in (0.0, 1.0)


def test_open_questions_are_not_turned_into_options() -> None:
    # VLMEvalKit, issues 110 and 1617: "A" would be right for each open question.
    asked = MMMU([row(options="[]", question_type="open", answer="['24.32', '24.33']")])
    assert asked[0].targets == ("24.32", "24.33")
    assert asked.score(asked[0], "A").value == 0.0
    assert asked.score(asked[0], "It is 24.33").value == 1.0
    assert asked[0].groups["kind"] == "open"


def test_all_values_of_an_open_answer_are_compared() -> None:
    # lmms-eval, issue 1436: of the values of an answer it kept one, character by character.
    assert open_score("The reaction is of order 2, so the rate is 0.5", ["0.5"]).value == 1.0


@pytest.mark.parametrize("answer", ["E", "b", "7", "AB"])
def test_an_answer_cell_that_is_no_letter_is_refused(answer: str) -> None:
    with pytest.raises(EvaluationError, match="one of the letters A, B, C, D"):
        MMMU([row(answer=answer)])


def test_results_are_told_by_subject_and_discipline() -> None:
    rows = [row(), row(id="validation_Math_1"), row(id="validation_Physics_1", answer="C")]
    asked = MMMU(rows)
    result = score_answers(asked, {item.id: "B" for item in asked})
    assert result.by_group["discipline"]["Science"].value == 0.5
    assert result.by_group["subject"]["Math"].value == 1.0


def test_there_are_thirty_subjects_in_six_disciplines() -> None:
    assert (len(SUBJECTS), sum(map(len, SUBJECTS.values()))) == (6, 30)
    for discipline, subjects in SUBJECTS.items():
        for subject in subjects:
            assert subject_of(f"validation_{subject}_12") == subject
            assert discipline_of(subject) == discipline
            assert discipline_of(subject.replace("_", " ")) == discipline
    assert subject_of("17") == discipline_of("Astrology") == ""
