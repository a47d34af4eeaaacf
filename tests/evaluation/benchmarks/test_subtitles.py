"""Subtitles are read as their makers wrote them, and those that are heard are chosen."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.subtitles import (
    Subtitle,
    SubtitleFolder,
    read_subtitles,
    shown_by_frame,
    shown_once,
)

VIDEOMME = """1
00:00:00,000 --> 00:00:02,000
<font color="white" size=".72c">Hello there.</font>

2
00:00:02,500 --> 00:00:04,000
<font color="white" size=".72c">Two lines</font>
<font color="white" size=".72c">of words</font>

3
00:00:10,000 --> 00:00:11,000
<font color="white" size=".72c">The end</font>
"""


def _read(tmp_path: Path, text: str | bytes) -> list[Subtitle]:
    path = tmp_path / "a.srt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_subtitles(path)


def test_the_files_of_videomme_are_read(tmp_path: Path) -> None:
    assert _read(tmp_path, VIDEOMME) == [
        Subtitle(0.0, 2.0, "Hello there."),
        Subtitle(2.5, 4.0, "Two lines of words"),
        Subtitle(10.0, 11.0, "The end"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1\r\n00:00:01,000 --> 00:00:02,000\r\nhi\r\n", ["hi"]),
        ("\ufeff1\n00:00:01,000 --> 00:00:02,000\nhi", ["hi"]),
        ("00:00:01.000 --> 00:00:02.000\nhi", ["hi"]),  # a point, and no number
        ("1\n0:00:01,5 --> 0:00:02,5 X1:1 Y1:2\nhi", ["hi"]),
        ("1\n00:00:01,000 --> 00:00:02,000\n\n2\n00:00:03,000 --> 00:00:04,000\nhi", ["", "hi"]),
        # subtitle.js, issue 11: a blank line within the words
        ("1\n00:00:01,000 --> 00:00:02,000\n<b>Kanda\n\nEntrance</b>\n", ["Kanda Entrance"]),
        ("1\n00:00:01,000 --> 00:00:02,000\n<i>a</i> {\\an5}b\\Nc\n", ["a b c"]),
        ("1\n00:00:01,000 --> 00:00:02,000\n3 < 4 &amp; 5 > 2\n", ["3 < 4 & 5 > 2"]),
        ("1\n00:00:01,000 --> 00:00:02,000\n42\n", ["42"]),  # words that are a number
        (
            "1\n00:00:01,000 --> 00:00:02,000\n42\n\n2\n00:00:03,000 --> 00:00:04,000\n43\n",
            ["42", "43"],
        ),
        ("", []),
        ("\n\n", []),
    ],
)
def test_other_forms_are_read(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert [each.text for each in _read(tmp_path, text)] == expected


@pytest.mark.parametrize(
    "text", ["1\n00:00:01,000 –-> 00:00:02,000\nhi", "words alone", b"\xff\xfe1\x00", b"\x80"]
)
def test_a_file_that_holds_no_subtitles_is_refused(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(EvaluationError, match=r"holds no subtitle|cannot be read"):
        _read(tmp_path, text)


SUBTITLES = [Subtitle(0, 2, "a"), Subtitle(2, 4, "b"), Subtitle(2.5, 3, "c"), Subtitle(9, 10, "d")]


@pytest.mark.parametrize(
    ("times", "once", "by_frame"),
    [
        ([0.5, 1.0], "a", "a\na"),
        ([0.0, 2.0], "", ""),  # at its very start and end a subtitle is not there
        ([1, 2.7, 9.5], "a b c d", "a\nb\nd"),
        ([5.0], "", ""),
        ([], "", ""),
    ],
)
def test_those_that_are_heard_at_the_frames_are_chosen(
    times: list[float], once: str, by_frame: str
) -> None:
    assert shown_once(SUBTITLES, times) == once
    assert shown_by_frame(SUBTITLES, times) == by_frame


def test_subtitles_are_named_as_their_films(tmp_path: Path) -> None:
    for name in ("fFjv93ACGo8.srt", "b.SRT", "c.vtt"):
        (tmp_path / name).touch()
    folder = SubtitleFolder.of(tmp_path)
    assert folder.file_of("fFjv93ACGo8") == "fFjv93ACGo8.srt"
    assert folder.file_of("fFjv93ACGo8.mp4") == "fFjv93ACGo8.srt"
    assert folder.file_of("b") == "b.SRT"
    assert folder.file_of("c") == ""
    with pytest.raises(EvaluationError, match="cannot be read"):
        SubtitleFolder.of(tmp_path / "none")


@pytest.mark.parametrize(
    "text",
    [
        f"1\n{'9' * 5000}:00:01,000 --> 00:00:02,000\nwords\n",
        f"1\n{'9' * 400}:00:01,000 --> 00:00:02,000\nwords\n",
        f"1\n00:00:01,000 --> 00:00:02,000\n&#{'9' * 5000};\n",
    ],
)
def test_numbers_of_hundreds_of_digits_are_refused_with_the_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "film.srt"
    path.write_text(text)
    with pytest.raises(EvaluationError, match=r"film\.srt' have a number that cannot be read"):
        read_subtitles(path)
