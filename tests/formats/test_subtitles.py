"""Subtitles of films in dicts: written, read back, and refused where a format has no place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import Message, Subtitle, VideoPart, from_dicts, to_openai, to_qwen
from qwenvl_kit.errors import BudgetError, MessageError, UnsupportedFeatureError, VideoTimingError

LINES = (Subtitle(1, 2.5, "Hello"), Subtitle(3, 4, "你好"))


@pytest.mark.parametrize(
    "part",
    [
        VideoPart("a.mp4", subtitles="auto"),
        VideoPart("a.mp4", subtitles="a.srt", max_subtitle_tokens=500),
        VideoPart("a.mp4", subtitles=Path("a.vtt")),
        VideoPart("a.mp4", fps=1, subtitles=LINES),
        VideoPart("a.mp4", subtitles=b"1\n00:00:01,000 --> 00:00:02,000\nA\n"),
    ],
)
def test_dicts_of_qwen_keep_subtitles(part: VideoPart) -> None:
    messages = (Message.user(part, "What?"),)
    assert from_dicts(to_qwen(messages)) == messages


def test_lines_are_plain_dicts_which_json_can_hold() -> None:
    (message,) = to_qwen([Message.user(VideoPart("a.mp4", subtitles=LINES))])
    assert message["content"][0]["subtitles"][0] == {
        "start_seconds": 1.0,
        "end_seconds": 2.5,
        "text": "Hello",
    }


def test_the_format_of_openai_has_no_place_for_them() -> None:
    with pytest.raises(UnsupportedFeatureError, match="subtitles"):
        to_openai([Message.user(VideoPart("a.mp4", subtitles=LINES), "What?")])


@pytest.mark.parametrize(
    ("subtitles", "error"),
    [
        ([{"start": 1, "end": 2, "text": "x"}], MessageError),
        (["words"], MessageError),
        ([{"start_seconds": 2, "end_seconds": 1, "text": "x"}], VideoTimingError),
        ([{"start_seconds": 1, "end_seconds": 2, "text": None}], MessageError),
        (5, MessageError),
    ],
)
def test_lines_of_another_form_are_refused_with_their_place(
    subtitles: Any, error: type[Exception]
) -> None:
    item = {"type": "video", "video": "a.mp4", "subtitles": subtitles}
    with pytest.raises(error) as caught:
        from_dicts([{"role": "user", "content": [item]}])
    assert "subtitles" in caught.value.where  # type: ignore[attr-defined]


def test_a_budget_that_is_no_count_is_refused() -> None:
    item = {"type": "video", "video": "a.mp4", "subtitles": "auto", "max_subtitle_tokens": -1}
    with pytest.raises(BudgetError):
        from_dicts([{"role": "user", "content": [item]}])
