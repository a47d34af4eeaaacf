"""Subtitle files as people have them: read whole, however they are malformed."""

from __future__ import annotations

import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit.media.subtitles.formats import parse_subtitles

A_AND_B = [(1.0, 2.0, "A"), (3.0, 4.0, "B")]


def cues_of(text: str) -> list[tuple[float, float, str]]:
    parsed = parse_subtitles(text)
    assert parsed is not None
    return [(cue.start_seconds, cue.end_seconds, cue.text) for cue in parsed.cues]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # cdown/srt issue 55
        ("9999\n00:00:0,500 --> 00:00:2,00\nad\n", [(0.5, 2.0, "ad")]),
        # byroot/pysrt issue 25
        (
            "1\n00:00:20 --> 00:00:24\nI\n\n2\n00:00:24 --> 00:00:27\nWe\n",
            [(20, 24, "I"), (24, 27, "We")],
        ),
        # smacke/ffsubsync issue 123
        (
            "1\n00:00:01 --> 00:00:06,250000\nhello\n\n"
            "2\n00:00:06,250000 --> 00:00:11,500000\nyou\n",
            [(1, 6.25, "hello"), (6.25, 11.5, "you")],
        ),
        # tkarabela/pysubs2 issue 11
        (
            "392\n00:29:27,46 --> 00:29:29,83\nI'm Liza..\n\n393\n00:00:00,00 --> 00:00:00,00\n\n"
            "394\n00:00:00,00 --> 00:00:00,00\n",
            [(1767.46, 1769.83, "I'm Liza.."), (0, 0, ""), (0, 0, "")],
        ),
        # KBlixt/subcleaner issue 51: numbers from 0 on
        ("0\n00:00:01,000 --> 00:00:02,000\nA\n\n1\n00:00:03,000 --> 00:00:04,000\nB\n", A_AND_B),
        # no blank lines, no numbers, blank lines everywhere
        ("1\n00:00:01,000 --> 00:00:02,000\nA\n2\n00:00:03,000 --> 00:00:04,000\nB\n", A_AND_B),
        ("00:00:01,000 --> 00:00:02,000\nA\n\n00:00:03,000 --> 00:00:04,000\nB", A_AND_B),
        (
            "1\n\n00:00:01,000 --> 00:00:02,000\n\nA\n\n2\n\n00:00:03,000 --> 00:00:04,000\n\nB\n",
            A_AND_B,
        ),
        # line ends of old Macs and of Windows
        ("1\r00:00:01,000 --> 00:00:02,000\rA\r\r2\r00:00:03,000 --> 00:00:04,000\rB\r", A_AND_B),
        (
            "1\r\n00:00:01,000 --> 00:00:02,000\r\nA\r\n\r\n"
            "2\r\n00:00:03.000 --> 00:00:04.000\r\nB",
            A_AND_B,
        ),
        # full-width marks, arrows of one dash, coordinates, minutes alone
        ("1\n00：00：01，000 --> 00：00：02，000\nA\n", A_AND_B[:1]),
        ("1\n00:00:01,000 -> 00:00:02,000\nA\n\n2\n00:00:03,000-->00:00:04,000\nB", A_AND_B),
        ("1\n00:00:01,000 --> 00:00:02,000 X1:117 X2:619 Y1:042 Y2:428\nA\n", A_AND_B[:1]),
        ("1\n00:01,000 --> 00:02,000\nA\n", A_AND_B[:1]),
        ("1\n100:00:01,000 --> 100:00:02,000\nA\n", [(360001, 360002, "A")]),
        # words that look like numbers, times and marks
        (
            "1\n00:00:01,000 --> 00:00:02,000\n1984\n\n2\n00:00:03,000 --> 00:00:04,000\n42",
            [(1, 2, "1984"), (3, 4, "42")],
        ),
        (
            "00:00:01,000 --> 00:00:02,000\n1984\n\n00:00:03,000 --> 00:00:04,000\nB",
            [(1, 2, "1984"), (3, 4, "B")],
        ),
        (
            "1\n00:00:01,000 --> 00:00:02,000\ngo --> there, 10 -> 20\n",
            [(1, 2, "go --> there, 10 -> 20")],
        ),
        (
            "1\n00:00:01,000 --> 00:00:02,000\nI <3 you, 1 < 2 & {x}\n",
            [(1, 2, "I <3 you, 1 < 2 & {x}")],
        ),
        (
            '1\n00:00:01,000 --> 00:00:02,000\n<font color="red">a</font> {\\an8}b &amp; c\\Nd',
            [(1, 2, "a b & c d")],
        ),
        ("1\n00:00:01,000 --> 00:00:02,000\na\x00b\n", [(1, 2, "ab")]),
        ("1\n-00:00:01,000 --> 00:00:02,000\nA\n", [(-1, 2, "A")]),
    ],
)
def test_subrip_is_read_as_it_is_found(text: str, expected: list[tuple[float, float, str]]) -> None:
    assert cues_of(text) == [(pytest.approx(a), pytest.approx(b), c) for a, b, c in expected]


def test_webvtt_is_read_without_notes_styles_names_and_marks() -> None:
    text = """WEBVTT - a title

NOTE the first

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.000 align:start position:0%
<v Bob>Hello &amp; <c.red>red</c> <00:01.500>words

NOTE a comment
of two lines

00:00:03.000 --> 00:00:04.000
- A
- B

the end
00:05.000 --> 00:06.000
Bye
"""
    assert cues_of(text) == [(1, 2, "Hello & red words"), (3, 4, "- A - B"), (5, 6, "Bye")]


def test_substation_is_read_without_comments_drawings_and_marks() -> None:
    text = """\ufeff[Script Info]
; a script
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:02.50,Default,Bob,0,0,0,,Hello, {\\i1}big{\\i0}\\Nworld
Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,hidden
Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,{\\p1}m 0 0 l 100 0{\\p0}
dialogue: 0,-1:59:59.90,0:00:01.90,jp,,0000,0000,0000,,before{a note} it
Dialogue: broken
"""
    parsed = parse_subtitles(text)
    assert parsed is not None
    assert parsed.num_unread == 1
    assert [(cue.start_seconds, cue.end_seconds, cue.text) for cue in parsed.cues] == [
        (1, 2.5, "Hello, big world"),
        (3, 4, ""),
        (pytest.approx(-7199.9), 1.9, "before it"),
    ]


def test_another_order_of_fields_is_that_of_the_file() -> None:
    text = "[Events]\nFormat: Start, Text, End\nDialogue: 0:00:01.00,no comma,0:00:02.00\n"
    assert cues_of(text) == [(1, 2, "no comma")]


@pytest.mark.parametrize("text", ["", "hello\nworld", "{}", "a - b", "1\n2\n3", "10 -> 20"])
def test_what_is_no_subtitle_file_is_none(text: str) -> None:
    assert parse_subtitles(text) is None


def test_times_that_cannot_be_read_are_counted() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nA\n\n2\nsoon --> later\nB\n"
    parsed = parse_subtitles(text)
    assert parsed is not None
    assert parsed.num_unread == 0  # it stands within the words of the first
    assert parse_subtitles("1\nsoon --> later\nB\n") is not None


WORDS = st.text(st.characters(codec="utf-8", categories=("Lu", "Ll", "Lo", "Po")), min_size=1)
CUES = st.lists(
    st.tuples(st.integers(0, 10**7), st.integers(0, 10**5), WORDS), min_size=1, max_size=20
)


def clock(milliseconds: int, comma: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{comma}{rest:03}"


@given(CUES, st.booleans(), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_what_is_written_is_read_back(
    cues: list[tuple[int, int, str]], is_webvtt: bool, has_numbers: bool, line_end: str
) -> None:
    comma = "." if is_webvtt else ","
    kept = [(start, lasts, words) for start, lasts, words in cues if _is_plain(words)]
    blocks = ["WEBVTT"] if is_webvtt else []
    for number, (start, lasts, words) in enumerate(kept, 1):
        times = f"{clock(start, comma)} --> {clock(start + lasts, comma)}"
        blocks.append(line_end.join([*([str(number)] if has_numbers else []), times, words]))
    text = (2 * line_end).join(blocks)
    expected = [
        (pytest.approx(s / 1000), pytest.approx((s + lasts) / 1000), w) for s, lasts, w in kept
    ]
    parsed = parse_subtitles(text)
    found = () if parsed is None else parsed.cues
    assert [(cue.start_seconds, cue.end_seconds, cue.text) for cue in found] == expected


def _is_plain(words: str) -> bool:
    marks = "<>{}&\\\u2028"
    return not any(mark in words for mark in marks) and not words.isdecimal() and words != "NOTE"


@given(CUES)
def test_well_formed_files_are_read_as_pysubs2_reads_them(cues: list[tuple[int, int, str]]) -> None:
    pysubs2 = pytest.importorskip("pysubs2")
    kept = [(start, lasts, words) for start, lasts, words in cues if _is_plain(words)]
    lines = [pysubs2.SSAEvent(start=s, end=s + lasts, text=words) for s, lasts, words in kept]
    script = pysubs2.SSAFile()
    script.events = lines
    for form in ("srt", "vtt", "ass", "ssa"):
        text = script.to_string(form)
        theirs = pysubs2.SSAFile.from_string(text, format_=form)
        parsed = parse_subtitles(text)
        ours = sorted(
            (round(cue.start_seconds, 3), round(cue.end_seconds, 3), cue.text)
            for cue in (parsed.cues if parsed else ())
            if cue.text
        )
        assert ours == sorted(
            (each.start / 1000, each.end / 1000, " ".join(each.plaintext.split()))
            for each in theirs
            if each.plaintext.split()
        )


@given(st.text(max_size=300), st.text("0123456789:,.-> \n[]Eventsdialogue{}\\p<>", max_size=300))
def test_no_text_breaks_the_reader(anything: str, alike: str) -> None:
    parse_subtitles(anything)
    parse_subtitles(alike)
    parse_subtitles(f"[events]\ndialogue: {alike}")


@pytest.mark.alone
@pytest.mark.parametrize(
    "text",
    [
        "-" * 10**6,
        " " * 10**6 + "-",
        "{\\p1" * 300_000,
        "<a" * 400_000,
        "00:00:01,000 --> 00:00:02,000\n" * 30_000,
        "[events]\nDialogue: " + "," * 10**6,
        "[events]\nDialogue: 0,0:00:01.00,0:00:02.00,D,,0,0,0,," + "{\\p1" * 200_000,
        "0" * 10**6 + " --> ",
        "1:" * 400_000 + " --> ",
    ],
)
def test_long_nonsense_is_read_in_linear_time(text: str) -> None:
    started = time.perf_counter()
    parse_subtitles(text)
    assert time.perf_counter() - started < 5


def test_a_hundred_thousand_lines_are_read() -> None:
    text = io.StringIO()
    for at in range(100_000):
        text.write(
            f"{at + 1}\n{clock(at * 1000, ',')} --> {clock(at * 1000 + 900, ',')}\nline {at}\n\n"
        )
    cues = cues_of(text.getvalue())
    assert len(cues) == 100_000
    assert cues[-1] == (99_999, pytest.approx(99_999.9), "line 99999")
