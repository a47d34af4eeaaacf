"""PerceptionTest: multiple choice about films, as lmms-lab/PerceptionTest_Val has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.errors import EvaluationError, MediaNotFoundError
from qwenvl_kit.evaluation.benchmarks.perceptiontest import PerceptionTest
from qwenvl_kit.evaluation.evaluating import evaluate, score_answers
from tests.evaluation.benchmarks.film_files import (
    chat_that,
    only_film,
    with_films,
    write_parquet,
)

OPTIONS = ["The cup moved.", "The cup fell.", "Nothing happened."]


def row(**changes: Any) -> dict[str, Any]:
    return {
        "video_name": "video_8241",
        "question": "What happened to the cup?",
        "question_id": "34",
        "options": OPTIONS,
        "answer_id": "1",
        "area": "physics",
        "reasoning": "descriptive",
        "tag": ["motion", "object tracking"],
        **changes,
    }


@pytest.fixture
def films(tmp_path: Path) -> Path:
    return with_films(tmp_path / "videos", ["video_8241.mp4", "video_2.mp4"])


def test_its_columns_are_read(tmp_path: Path, films: Path) -> None:
    file = write_parquet(tmp_path / "mc_question_val.parquet", [row()])
    (item,) = PerceptionTest(file, folder=films)
    assert item.id == "video_8241/34"
    assert item.question == "What happened to the cup?"
    assert item.choices == tuple(OPTIONS)
    assert item.targets == ("B",)
    assert item.groups == {"area": "physics", "reasoning": "descriptive"}
    assert item.tags == {"tag": ("motion", "object tracking")}
    assert item.cluster == "video_8241"
    assert only_film(item).source == str(films / "video_8241.mp4")


def test_questions_are_numbered_anew_for_each_film(films: Path) -> None:
    # The annotations of PerceptionTest number questions from 0 in each film.
    rows = [row(question_id="0"), row(question_id="0", video_name="video_2"), row(question_id="1")]
    items = PerceptionTest(rows, folder=films)
    assert [item.id for item in items] == ["video_8241/0", "video_2/0", "video_8241/1"]


def test_the_prompts_are_as_published(films: Path) -> None:
    asked = PerceptionTest([row()], folder=films)
    assert asked.prompt_text(asked[0]) == (
        "Select the best answer to the following multiple-choice question based on the video. "
        "Respond with only the letter (A, B, or C) of the correct option.\n"
        "Question: What happened to the cup?\n"
        "A. The cup moved.\nB. The cup fell.\nC. Nothing happened.\nThe best answer is:"
    )
    asked = PerceptionTest([row()], folder=films, prompt="lmms_eval")
    # The value of `perceptiontest_val_doc_to_text` of lmms-eval for this row.
    assert asked.prompt_text(asked[0]) == (
        "What happened to the cup?\nA. The cup moved.\nB. The cup fell.\nC. Nothing happened.\n"
        "Answer with the option's letter from the given choices directly."
    )


@pytest.mark.parametrize(
    ("answer", "value", "read"),
    [
        ("B", 1.0, "B"),
        ("B. The cup fell.", 1.0, "B"),
        ("The answer is (B).", 1.0, "B"),
        ("The cup fell.", 1.0, "B"),
        ("A", 0.0, "A"),
        ("A person moved it, so B", 1.0, "B"),  # lmms-eval's `\\b[A-D]\\b` reads A
        ("D", 0.0, None),  # there is no fourth option
        ("", 0.0, None),
        ("I cannot tell.", 0.0, None),
        ("b", 1.0, "B"),
    ],
)
def test_an_answer_is_scored_by_its_letter(
    films: Path, answer: str, value: float, read: str | None
) -> None:
    asked = PerceptionTest([row()], folder=films)
    score = asked.score(asked[0], answer)
    assert (score.value, score.read) == (value, read)


@pytest.mark.parametrize("hidden", [None, "", " "])
def test_a_split_without_answers_is_refused(films: Path, hidden: str | None) -> None:
    with pytest.raises(EvaluationError, match=r"rows.*no right answer.*eval\.ai"):
        PerceptionTest([row(answer_id=hidden)], folder=films)


@pytest.mark.parametrize("place", ["3", "-1", "B", "1.5"])
def test_an_answer_that_is_no_option_is_refused(films: Path, place: str) -> None:
    with pytest.raises(EvaluationError, match="whole number from 0 to 2"):
        PerceptionTest([row(answer_id=place)], folder=films)


def test_a_place_that_is_a_number_is_read_as_well(films: Path) -> None:
    assert PerceptionTest([row(answer_id=2)], folder=films)[0].targets == ("C",)
    assert PerceptionTest([row(answer_id=2.0)], folder=films)[0].targets == ("C",)


def test_missing_films_are_told_before_anything_runs(films: Path) -> None:
    names = ["video_8241", *(f"video_{at}" for at in range(100, 108)), "video_100"]
    rows = [row(video_name=name, question_id=str(at)) for at, name in enumerate(names)]
    with pytest.raises(EvaluationError) as caught:
        PerceptionTest(rows, folder=films)
    text = str(caught.value)
    assert "the films of 9 of 10 items are missing, 8 in all: video_100, video_101" in text
    assert "video_105" not in text  # some names are enough
    assert str(films) in text
    assert "missing='fail'" in text


def test_items_whose_films_are_missing_may_be_failures(films: Path) -> None:
    rows = [row(), row(video_name="gone")]
    asked = PerceptionTest(rows, folder=films, missing="fail")
    assert asked.missing == {"gone/34": "gone"}
    with pytest.raises(MediaNotFoundError, match="no film 'gone'"):
        asked[1].media  # noqa: B018
    with chat_that(lambda request: "B") as chat:
        result = evaluate(
            chat, PerceptionTest(rows[1:], folder=films, missing="fail"), progress=False
        )
    assert result.num_failed == 1
    assert "gone" in str(result.failed[0].error)


def test_a_wrong_choice_about_missing_films_is_refused(films: Path) -> None:
    with pytest.raises(EvaluationError, match="missing='skip' was given"):
        PerceptionTest([row()], folder=films, missing="skip")  # type: ignore[arg-type]


def test_rows_without_a_folder_of_films_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"folder=\.\.\."):
        PerceptionTest([row()])


def test_the_frames_are_part_of_the_conditions(films: Path) -> None:
    assert PerceptionTest([row()], folder=films).conditions == {"fps": "2", "max_frames": "768"}
    asked = PerceptionTest([row()], folder=films, num_frames=8)
    assert asked.conditions == {"num_frames": "8"}
    assert only_film(asked[0]).num_frames == 8


def test_answers_of_other_tools_are_scored_without_films(films: Path) -> None:
    asked = PerceptionTest([row(), row(question_id="35", answer_id="0")], folder=films)
    result = score_answers(asked, {"video_8241/34": "B", "video_8241/35": ""})
    assert result.score == 0.5
    assert result.num_unread == 1
