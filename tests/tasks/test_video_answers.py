"""Times that answers about films cite, chapters, and summaries with subtitles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import Sampling, Subtitle, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import JournalError, MediaDecodeError
from qwenvl_kit.tasks import Chapter, ask_video, read_chapters, summarize_video
from tests.by_hand import picture
from tests.videos import add_quicktime_text, write_video

SHORT = Sampling(max_new_tokens=40)


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "minute.mp4"
    return write_video(path, 121, width=64, height=36, fps=2)


def chat_of(script: Any, family: str = "qwen3_vl") -> VisionChat:
    return VisionChat(ScriptedBackend(script, family=family))


def requests_of(chat: VisionChat) -> list[Any]:
    return chat._slot.pipeline.backend.requests  # type: ignore[attr-defined,no-any-return]


def test_an_answer_cites_times(minute: Path) -> None:
    text = "At 0:12 and 14.5 s he turns; <20.0 seconds>, 第30秒, and at 00:00:40,500 again."
    answer = ask_video(chat_of([text]), minute, "When?", fps=1)
    assert answer.times == (12, 14.5, 20, 30, 40.5)
    assert answer.warnings == ()


def test_times_beyond_the_film_are_left_out_and_told(minute: Path) -> None:
    answer = ask_video(chat_of(["At 0:12 and at 5:00."]), minute, "When?", fps=1)
    assert answer.times == (12,)
    assert answer.warnings == ("the answer names times that were not shown: 300 s",)


@pytest.mark.parametrize(
    ("family", "text", "times"),
    [
        ("qwen3_vl", "At 35 s.", (35,)),
        ("qwen3_vl", "At 5 s.", ()),
        ("qwen2_5_vl", "At 5 s.", (35,)),
        ("qwen2_5_vl", "At 35 s.", (35,)),
    ],
)
def test_a_part_of_a_film_has_times_of_the_whole(
    minute: Path, family: str, text: str, times: tuple[float, ...]
) -> None:
    answer = ask_video(chat_of([text], family), minute, "When?", start_seconds=30, end_seconds=50)
    assert answer.times == times


def test_a_summary_shows_each_window_its_lines(minute: Path) -> None:
    lines = [Subtitle(at, at + 0.4, f"at {at}") for at in range(60)]
    chat = chat_of(["one", "two", "both"])
    part = VideoPart(minute, fps=1, subtitles=lines)
    summarize_video(chat, part, window_seconds=30, sampling=SHORT)
    first, second, _ = (request.messages[0].text for request in requests_of(chat))
    assert ("<29.0 seconds> at 29\n" in first, "at 31\n" in first) == (True, False)
    assert ("at 29\n" in second, "<31.0 seconds> at 31\n" in second) == (False, True)


def test_a_summary_of_frames_shows_each_window_its_lines() -> None:
    frames = [picture(28, 28, at) for at in range(20)]
    part = VideoPart(frames, fps=1, subtitles=[Subtitle(at, at, f"at {at}") for at in range(20)])
    chat = chat_of(["one", "two", "both"])
    summary = summarize_video(chat, part, window_seconds=10, sampling=SHORT)
    first, second, _ = (request.messages[0].text for request in requests_of(chat))
    assert ("at 3\n" in first, "at 15\n" in first) == (True, False)
    assert ("at 3\n" in second, "at 15\n" in second) == (False, True)
    assert summary.warnings == ()


def test_a_summary_tells_what_is_wrong_with_its_subtitles(minute: Path) -> None:
    part = VideoPart(minute, fps=1, subtitles="auto")
    summary = summarize_video(chat_of(["one"]), part, sampling=SHORT)
    assert "no subtitles were found" in summary.warnings[0]


def test_another_subtitle_is_another_journal(minute: Path, tmp_path: Path) -> None:
    def run(words: str | None) -> None:
        lines = None if words is None else [Subtitle(1, 2, words)]
        part = VideoPart(minute, fps=1, subtitles=lines)
        journal = tmp_path / "run.jsonl"
        summarize_video(chat_of(["one"]), part, sampling=SHORT, journal=journal)

    run("one")
    run("one")
    with pytest.raises(JournalError):
        run("two")


CHAPTERS = [(0, 25, "One"), (25, 60, "二")]


def test_the_chapters_of_a_file_are_read_without_a_model(minute: Path, tmp_path: Path) -> None:
    film = add_quicktime_text(minute, tmp_path / "film.mp4", chapters=CHAPTERS)
    expected = (Chapter(0, 25, "One"), Chapter(25, 60, "二"))
    assert read_chapters(film) == expected
    assert read_chapters(VideoPart(str(film), fps=1)) == expected
    assert read_chapters(film.read_bytes()) == expected
    assert read_chapters(minute) == ()
    assert read_chapters(VideoPart([picture(28, 28)] * 2, fps=1)) == ()
    with pytest.raises(MediaDecodeError):
        read_chapters(b"no film")


def test_a_summary_takes_the_chapters_of_the_file(minute: Path, tmp_path: Path) -> None:
    film = add_quicktime_text(minute, tmp_path / "film.mp4", chapters=CHAPTERS)
    summary = summarize_video(chat_of(["one"]), film, sampling=SHORT, chapters=True)
    assert summary.chapters == (Chapter(0, 25, "One"), Chapter(25, 60, "二"))
    assert str(summary.chapters[0]) == "[0:00:00 - 0:00:25] One"
    assert "二" in summary._repr_html_()
    part = VideoPart(film, fps=1, start_seconds=30)
    summary = summarize_video(chat_of(["one"]), part, sampling=SHORT, chapters=True)
    assert [each.title for each in summary.chapters] == ["二"]


def test_or_the_model_makes_them_window_by_window(minute: Path) -> None:
    def marks(*chapters: tuple[float, float, str]) -> str:
        return json.dumps([{"start": a, "end": b, "title": title} for a, b, title in chapters])

    script = [
        *("one", "two"),
        marks((0, 20, "Start"), (15, 30, "Middle")),
        marks((30, 45, "Middle"), (45, 60, "End")),
        "both",
    ]
    chat = chat_of(script)
    summary = summarize_video(
        chat, minute, window_seconds=30, sampling=SHORT, chapters=True, language="zh"
    )
    assert summary.text == "both"
    assert summary.chapters == (
        Chapter(0, 15, "Start"),
        Chapter(15, 45, "Middle"),
        Chapter(45, 60, "End"),
    )
    assert any("begin before" in warning for warning in summary.warnings)
    assert requests_of(chat)[2].messages[0].text.startswith("将视频划分为若干章节")


def test_a_chapter_with_its_beginning_alone_lasts_to_the_next(minute: Path) -> None:
    script = ["one", "0:00 Intro\n0:25 A goal\n0:40 - End"]
    summary = summarize_video(chat_of(script), minute, sampling=SHORT, chapters=True)
    assert summary.chapters == (
        Chapter(0, 25, "Intro"),
        Chapter(25, 40, "A goal"),
        Chapter(40, 60, "End"),
    )


def test_a_family_without_times_is_not_asked_for_chapters(minute: Path) -> None:
    chat = chat_of(["one"], "qwen2_vl")
    summary = summarize_video(chat, minute, sampling=SHORT, chapters=True)
    assert summary.text == "one"
    assert summary.chapters == ()
    assert any(warning.startswith("no chapters: ") for warning in summary.warnings)


def test_chapters_are_kept_in_the_journal(minute: Path, tmp_path: Path) -> None:
    def run(script: list[str]) -> Any:
        return summarize_video(
            chat_of(script), minute, sampling=SHORT, chapters=True, journal=tmp_path / "run.jsonl"
        )

    first = run(["one", '[{"start": 0, "end": 9, "title": "A"}]'])
    assert run([]).chapters == first.chapters == (Chapter(0, 9, "A"),)
