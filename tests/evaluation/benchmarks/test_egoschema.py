"""EgoSchema: the 500 questions with public answers, as lmms-lab/egoschema has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.egoschema import EgoSchema
from tests.evaluation.benchmarks.film_files import only_film, with_films, write_parquet

UID = "001d2d1b-d2f9-4c39-810e-6e2087ff9d5a"
OPTIONS = [
    "A. C shopped carefully, selecting fridge items.",
    "B. C acted meticulously in the store.",
    "C. C's behavior appeared cautious and observant.",
    "D. C's behavior could be described as vigilant.",
    "E. C was in a hurry.",
]


def row(**changes: Any) -> dict[str, Any]:
    return {
        "question_idx": "00001",
        "question": "How would you describe c's behavior in the grocery store?",
        "video_idx": UID,
        "option": OPTIONS,
        "answer": "3",
        **changes,
    }


@pytest.fixture
def films(tmp_path: Path) -> Path:
    return with_films(tmp_path / "videos", [f"{UID}.mp4"])


def test_its_columns_are_read(tmp_path: Path, films: Path) -> None:
    (item,) = EgoSchema(write_parquet(tmp_path / "subset.parquet", [row()]), folder=films)
    assert item.id == "00001"
    assert item.targets == ("D",)
    assert item.choices[0] == "C shopped carefully, selecting fridge items."
    assert item.choices[2] == "C's behavior appeared cautious and observant."
    assert item.cluster == UID
    assert only_film(item).source == str(films / f"{UID}.mp4")


def test_the_prompts_are_as_published(films: Path) -> None:
    asked = EgoSchema([row()], folder=films, prompt="lmms_eval")
    # The value of `egoschema_doc_to_text` of lmms-eval for this row.
    question = row()["question"]
    assert asked.prompt_text(asked[0]) == "\n".join(
        [question, *OPTIONS, "Answer with the option's letter from the given choices directly."]
    )
    asked = EgoSchema([row()], folder=films)
    assert "only the letter (A, B, C, D, or E) of" in asked.prompt_text(asked[0])


@pytest.mark.parametrize("letter", [False, True])
def test_options_with_and_without_letters_are_the_same(films: Path, letter: bool) -> None:
    options = OPTIONS if letter else [option[3:] for option in OPTIONS]
    (item,) = EgoSchema([row(option=options)], folder=films)
    assert item.choices == tuple(option[3:] for option in OPTIONS)


def test_options_that_only_look_lettered_stay_as_they_are(films: Path) -> None:
    options = ["A. C walks", "C. walks", "E", "F", "G"]
    assert EgoSchema([row(option=options)], folder=films)[0].choices == tuple(options)


@pytest.mark.parametrize("hidden", [None, ""])
def test_the_full_set_has_no_answers_and_is_refused(films: Path, hidden: str | None) -> None:
    with pytest.raises(EvaluationError, match=r"500 of its 5,031 questions are public"):
        EgoSchema([row(answer=hidden)], folder=films)


def makers_row(uid: str = UID) -> dict[str, Any]:
    """A row of questions.json of github.com/egoschema/EgoSchema."""
    options = {f"option {at}": option[3:] for at, option in enumerate(OPTIONS)}
    return {"q_uid": uid, "google_drive_id": "1abc", "question": row()["question"], **options}


def test_the_files_of_its_makers_are_read(tmp_path: Path, films: Path) -> None:
    (tmp_path / "questions.json").write_text(json.dumps([makers_row(), makers_row("other")]))
    (tmp_path / "subset_answers.json").write_text(json.dumps({UID: 3}))
    (item,) = EgoSchema(
        tmp_path / "questions.json", answers=tmp_path / "subset_answers.json", folder=films
    )  # the question without a public answer is left out, and so is its film
    assert (item.id, item.targets) == (UID, ("D",))
    assert item.choices == tuple(option[3:] for option in OPTIONS)
    assert only_film(item).source == str(films / f"{UID}.mp4")


def test_the_questions_of_its_makers_alone_are_refused(films: Path) -> None:
    with pytest.raises(EvaluationError, match=r"subset_answers\.json"):
        EgoSchema([makers_row()], folder=films)


@pytest.mark.parametrize("content", ["[]", "{", '{"a": []}'])
def test_answers_of_another_form_are_refused(tmp_path: Path, films: Path, content: str) -> None:
    (tmp_path / "answers.json").write_text(content)
    with pytest.raises(EvaluationError, match=r"answers=|a is a list"):
        EgoSchema([makers_row()], answers=tmp_path / "answers.json", folder=films)


@pytest.mark.parametrize(
    ("answer", "value", "read"),
    [
        ("D", 1.0, "D"),
        ("C's behavior could be described as vigilant.", 1.0, "D"),  # C names the camera wearer
        ("", 0.0, None),  # lmms-eval draws one of five letters by chance
        ("C moves around the store.", 0.0, None),
        ("The best answer is: D. C's behavior could be described as vigilant.", 1.0, "D"),
        ("E", 0.0, "E"),
    ],
)
def test_an_answer_is_never_guessed(
    films: Path, answer: str, value: float, read: str | None
) -> None:
    asked = EgoSchema([row()], folder=films)
    score = asked.score(asked[0], answer)
    assert (score.value, score.read) == (value, read)


@pytest.mark.parametrize("options", [["a", None, "c", "d", "e"], "['a', None, 'c', 'd', 'e']"])
def test_an_empty_option_is_refused_since_it_would_move_letters(films: Path, options: Any) -> None:
    with pytest.raises(EvaluationError, match="an empty one between them"):
        EgoSchema([row(option=options)], folder=films)


def test_an_empty_option_of_the_makers_file_is_refused(films: Path) -> None:
    made = {f"option {at}": None if at == 1 else f"text {at}" for at in range(5)}
    rest = {"q_uid": UID, "question": "?", "answer": "3"}
    with pytest.raises(EvaluationError, match="an empty one between them"):
        EgoSchema([{**rest, **made}], folder=films)
