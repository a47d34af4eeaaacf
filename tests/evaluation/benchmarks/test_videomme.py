"""Video-MME: films of three lengths, with and without their subtitles."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import MediaPolicy, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import EvaluationError, JournalError, MediaForbiddenError
from qwenvl_kit.evaluation.benchmarks.videomme import VideoMME
from qwenvl_kit.evaluation.evaluating import evaluate
from tests.evaluation.benchmarks.film_files import (
    chat_that,
    only_film,
    with_films,
    write_parquet,
    write_tsv,
)
from tests.evaluation.benchmarks.test_subtitles import VIDEOMME as SRT
from tests.videos import write_video

OPTIONS = ["A. Apples.", "B. Candles.", "C. Berries.", "D. The three kinds are of the same number."]
QUESTION = "Which decorations appear in the video?"


def row(**changes: Any) -> dict[str, Any]:
    """A row of lmms-lab/Video-MME on Hugging Face."""
    return {
        "video_id": "001",
        "duration": "short",
        "domain": "Knowledge",
        "sub_category": "Humanity & History",
        "url": "https://www.youtube.com/watch?v=fFjv93ACGo8",
        "videoID": "fFjv93ACGo8",
        "question_id": "001-1",
        "task_type": "Counting Problem",
        "question": QUESTION,
        "options": OPTIONS,
        "answer": "C",
        **changes,
    }


@pytest.fixture
def films(tmp_path: Path) -> Path:
    return with_films(tmp_path / "data", ["fFjv93ACGo8.mp4", "other.mp4"])


@pytest.fixture
def subtitles(tmp_path: Path) -> Path:
    folder = tmp_path / "subtitle"
    folder.mkdir()
    (folder / "fFjv93ACGo8.srt").write_text(SRT)
    return folder


def test_the_columns_of_hugging_face_are_read(tmp_path: Path, films: Path) -> None:
    (item,) = VideoMME(write_parquet(tmp_path / "test.parquet", [row()]), folder=films)
    assert item.id == "001-1"
    assert item.targets == ("C",)
    assert item.choices == ("Apples.", "Candles.", "Berries.", OPTIONS[3][3:])
    assert item.cluster == "fFjv93ACGo8"
    assert item.groups == {
        "duration": "short",
        "domain": "Knowledge",
        "sub_category": "Humanity & History",
        "task_type": "Counting Problem",
    }
    film = only_film(item)
    assert (film.source, film.fps, film.max_frames) == (str(films / "fFjv93ACGo8.mp4"), 2.0, 768)


def test_the_file_of_vlmevalkit_is_read(tmp_path: Path, films: Path) -> None:
    rows = [
        {
            "index": 0,
            "video": "fFjv93ACGo8",
            "video_path": "./video/fFjv93ACGo8.mp4",
            "duration": "long",
            "domain": "Knowledge",
            "candidates": str(OPTIONS),
            "sub_category": "Law",
            "task_type": "OCR Problems",
            "subtitle_path": "./subtitle/fFjv93ACGo8.srt",
            "question": QUESTION,
            "answer": "B",
        }
    ]
    (item,) = VideoMME(write_tsv(tmp_path / "Video-MME.tsv", rows), folder=films)
    assert (item.id, item.targets, item.groups["duration"]) == ("0", ("B",), "long")
    assert item.choices[1] == "Candles."


def test_questions_about_one_film_are_one_cluster(films: Path) -> None:
    rows = [row(), row(question_id="001-2"), row(question_id="002-1", videoID="other")]
    clusters = [item.cluster for item in VideoMME(rows, folder=films)]
    assert clusters == ["fFjv93ACGo8", "fFjv93ACGo8", "other"]


LISTED = "\n".join(OPTIONS)
SELECT = "Select the best answer to the following multiple-choice question based on the video"
ONLY = "Respond with only the letter (A, B, C, or D) of the correct option."


def test_the_prompts_without_subtitles_are_as_published(films: Path) -> None:
    def asked(prompt: str) -> str:
        made = VideoMME([row()], folder=films, prompt=prompt)
        return made.prompt_text(made[0])

    # `build_videomme_prompt` of QwenLM/Qwen3-VL
    assert asked("qwen") == (
        f"{SELECT}. {ONLY}\nQuestion: {QUESTION}\n{LISTED}\nThe best answer is:"
    )
    # `build_prompt` of VLMEvalKit, its two texts joined
    assert asked("vlmevalkit") == (
        f"\nThese are the frames of a video. {SELECT}. {ONLY}\n"
        f"Question: {QUESTION}\n{LISTED}\nAnswer: "
    )
    # `videomme_doc_to_text` of lmms-eval with the `post_prompt` of videomme.yaml
    assert asked("lmms_eval") == (
        f"{SELECT} and the subtitles. {ONLY}\n{QUESTION}\n{LISTED}\n"
        "\nAnswer with the option's letter from the given choices directly."
    )


def _with_subtitles(tmp_path: Path, subtitles: Path, prompt: str, **options: Any) -> str:
    films = tmp_path / "real"
    films.mkdir(exist_ok=True)
    write_video(films / "fFjv93ACGo8.mp4", 40, width=64, height=64, fps=10)  # 4 s
    asked = VideoMME([row()], folder=films, subtitles=subtitles, prompt=prompt, **options)
    return asked.messages(asked[0])[0].text


def test_the_prompts_with_subtitles_are_as_published(tmp_path: Path, subtitles: Path) -> None:
    heard = "Hello there. Two lines of words"  # "The end" comes after the end of the film
    assert _with_subtitles(tmp_path, subtitles, "qwen") == (
        f"This video's subtitles are listed below:\n{heard}\n"
        f"{SELECT}. {ONLY}\nQuestion: {QUESTION}\n{LISTED}\nThe best answer is:"
    )
    # VLMEvalKit gives a line to each frame that has a subtitle: here at 1.3, 2.6 and 3.9 s.
    assert _with_subtitles(tmp_path, subtitles, "vlmevalkit", num_frames=4) == (
        "\nThese are the frames of a video. This video's subtitles are listed below:\n"
        f"Hello there.\nTwo lines of words\nTwo lines of words\n{SELECT}. {ONLY}\n"
        f"Question: {QUESTION}\n{LISTED}\nAnswer: "
    )
    assert _with_subtitles(tmp_path, subtitles, "lmms_eval") == (
        f"This video's subtitles are listed below: \n{heard}\n"
        f"{SELECT} and the subtitles. {ONLY}\n{QUESTION}\n{LISTED}\nThe best answer is:"
    )


def test_fewer_frames_hear_fewer_subtitles(tmp_path: Path, subtitles: Path) -> None:
    text = _with_subtitles(tmp_path, subtitles, "qwen", num_frames=2)  # at 0 and 3.9 s
    assert text.startswith(
        f"This video's subtitles are listed below:\nTwo lines of words\n{SELECT}"
    )


def test_a_prompt_of_ones_own_may_have_the_subtitles(tmp_path: Path, subtitles: Path) -> None:
    text = _with_subtitles(tmp_path, subtitles, "{question} Heard: {subtitles}")
    assert text == f"{QUESTION} Heard: Hello there. Two lines of words"


def test_films_without_subtitles_are_asked_without(films: Path, subtitles: Path) -> None:
    rows = [row(), row(question_id="002-1", videoID="other")]
    asked = VideoMME(rows, folder=films, subtitles=subtitles)
    assert asked.conditions["subtitles"] == "of 1 of 2 items"
    assert asked.messages(asked[1])[0].text.startswith(SELECT)


def test_subtitles_are_part_of_what_a_journal_and_a_record_know(
    films: Path, subtitles: Path
) -> None:
    asked = VideoMME([row()], folder=films, subtitles=subtitles)
    text = asked.prompt_text(asked[0])  # no film is opened
    assert "[fFjv93ACGo8.srt, SHA-256 " in text
    (subtitles / "fFjv93ACGo8.srt").write_text(SRT.replace("Hello", "Bye"))
    assert asked.prompt_text(asked[0]) != text
    assert "subtitles" not in VideoMME([row()], folder=films).conditions


def test_a_folder_without_subtitles_of_these_films_is_refused(films: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(EvaluationError, match=r"no subtitles of any film.*fFjv93ACGo8\.srt"):
        VideoMME([row()], folder=films, subtitles=tmp_path / "empty")


@pytest.mark.parametrize(
    ("answer", "value", "read"),
    [
        ("C", 1.0, "C"),
        ("Best answer: C", 1.0, "C"),  # VLMEvalKit reads B: two commas are missing in its list
        ("Best option: C", 1.0, "C"),
        ("The best option is C", 1.0, "C"),
        ("The correct option is C", 1.0, "C"),
        ("(C) Berries.", 1.0, "C"),
        ("Berries.", 1.0, "C"),
        ("A", 0.0, "A"),
        ("All of them can be seen Because they Do", 0.0, None),
        ("", 0.0, None),
    ],
)
def test_an_answer_is_scored_by_its_letter(
    films: Path, answer: str, value: float, read: str | None
) -> None:
    asked = VideoMME([row()], folder=films)
    score = asked.score(asked[0], answer)
    assert (score.value, score.read) == (value, read)


@pytest.mark.parametrize("answer", ["E", "c", "Berries.", "CD", "1"])
def test_an_answer_cell_that_is_no_letter_of_an_option_is_refused(films: Path, answer: str) -> None:
    with pytest.raises(EvaluationError, match="one of the letters A, B, C, D"):
        VideoMME([row(answer=answer)], folder=films)


def test_it_is_evaluated_by_groups(tmp_path: Path) -> None:
    films = tmp_path / "real"
    films.mkdir()
    for name in ("a", "b"):
        write_video(films / f"{name}.mp4", 10, width=64, height=64, fps=10)
    rows = [
        row(question_id="1", videoID="a"),
        row(question_id="2", videoID="b", duration="long", answer="B"),
    ]
    with chat_that(lambda request: "The answer is C.") as chat:
        result = evaluate(chat, VideoMME(rows, folder=films), progress=False)
    assert result.score == 0.5
    assert result.by_group["duration"]["short"].value == 1.0
    assert result.by_group["duration"]["long"].value == 0.0
    assert result.record.conditions == {"fps": "2", "max_frames": "768"}


def test_a_film_that_cannot_be_decoded_costs_its_item_alone(tmp_path: Path) -> None:
    films = tmp_path / "real"
    films.mkdir()
    write_video(films / "a.mp4", 10, width=64, height=64, fps=10)
    (films / "b.mp4").write_bytes(b"no film")
    subtitles = tmp_path / "subtitle"
    subtitles.mkdir()
    (subtitles / "b.srt").write_text(SRT)
    rows = [row(question_id="1", videoID="a"), row(question_id="2", videoID="b")]
    for options in ({}, {"subtitles": subtitles}):
        with chat_that(lambda request: "C") as chat:
            asked = VideoMME(rows, folder=films, **options)  # type: ignore[arg-type]
            result = evaluate(chat, asked, progress=False)
        assert (result.score, result.num_failed) == (1.0, 1)


def test_a_journal_is_refused_if_other_frames_were_shown(tmp_path: Path) -> None:
    films = tmp_path / "real"
    films.mkdir()
    write_video(films / "fFjv93ACGo8.mp4", 10, width=64, height=64, fps=10)
    journal = tmp_path / "run.jsonl"
    with chat_that(lambda request: "C") as chat:
        evaluate(chat, VideoMME([row()], folder=films), journal=journal, progress=False)
        asked = VideoMME([row()], folder=films, num_frames=2)
        with pytest.raises(JournalError, match="conditions"):
            evaluate(chat, asked, journal=journal, progress=False)


def test_items_can_be_sent_to_another_process(films: Path) -> None:
    item = pickle.loads(pickle.dumps(VideoMME([row()], folder=films)[0]))
    assert only_film(item).source == str(films / "fFjv93ACGo8.mp4")


def test_films_are_measured_by_the_media_policy_of_the_chat(
    tmp_path: Path, subtitles: Path
) -> None:
    films = tmp_path / "real"
    films.mkdir()
    write_video(films / "fFjv93ACGo8.mp4", 10, width=64, height=64, fps=10)
    (tmp_path / "allowed").mkdir()
    policy = MediaPolicy(allow_folders=(tmp_path / "allowed",))
    asked = VideoMME([row()], folder=films, subtitles=subtitles)
    with (
        VisionChat(ScriptedBackend(["C"]), media=policy) as chat,
        pytest.raises(MediaForbiddenError),
    ):
        asked.for_chat(chat).messages(asked[0])
    assert asked.messages(asked[0])
