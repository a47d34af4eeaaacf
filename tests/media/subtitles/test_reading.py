"""Subtitles opened under the media policy: encodings, fences, and what a film holds itself."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from qwenvl_kit import MediaPolicy, Subtitle, VideoPart, VisionChat, read_subtitles
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    InputError,
    MediaDecodeError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaSizeError,
    MediaSourceError,
    MessageError,
    VideoTimingError,
)
from qwenvl_kit.media.fingerprints import identify_content
from qwenvl_kit.media.video_files import read_chapter_marks, read_track
from tests.by_hand import picture
from tests.videos import add_quicktime_text, add_text_track, write_video

HERE = MediaPolicy(isolate_video=False)
SRT = "1\n00:00:01,000 --> 00:00:02,000\n{}\n\n2\n00:00:03,000 --> 00:00:04,000\nok\n"
CHINESE = "你好，这是字幕。我们出发吧"
FRENCH = "Où êtes-vous ? Ça va, c'est l'été à Genève"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", 60, fps=10)


@pytest.mark.parametrize(
    ("words", "data"),
    [
        (CHINESE, SRT.format(CHINESE).encode()),
        (CHINESE, SRT.format(CHINESE).encode("utf-8-sig")),
        (CHINESE, SRT.format(CHINESE).encode("utf-16")),
        (CHINESE, codecs.BOM_UTF16_BE + SRT.format(CHINESE).encode("utf-16-be")),
        (CHINESE, SRT.format(CHINESE).encode("utf-16-le")),
        (CHINESE, SRT.format(CHINESE).encode("utf-16-be")),
        (CHINESE, SRT.format(CHINESE).encode("utf-32")),
        (CHINESE, SRT.format(CHINESE).encode("gb18030")),
        (FRENCH, SRT.format(FRENCH).encode("cp1252")),
        (FRENCH, SRT.format(FRENCH).encode("utf-8")),
        ("plain", SRT.format("plain").encode("ascii")),
    ],
)
def test_encodings_are_found(words: str, data: bytes) -> None:
    assert [line.text for line in read_subtitles(data)] == [words, "ok"]


def test_a_guessed_encoding_is_told_and_another_can_be_named(film: Path) -> None:
    data = SRT.format("台灣字幕在這裡").encode("big5")
    assert read_subtitles(data, encoding="big5")[0].text == "台灣字幕在這裡"
    plan = _chat().plan("?", VideoPart(str(film), subtitles=data))
    assert "read as" in plan.warnings[0]
    with pytest.raises(InputError, match="encoding='klingon'"):
        read_subtitles(data, encoding="klingon")
    with pytest.raises(MediaDecodeError, match="not in utf-8"):
        read_subtitles(data, encoding="utf-8")


def test_rolling_captions_say_each_line_once() -> None:
    """As YouTube writes them: each line again above the next one, and once more between."""
    text = """WEBVTT
Kind: captions

00:00:00.160 --> 00:00:02.470 align:start position:0%
 \nhello<00:00:00.480><c> and</c><00:00:00.640><c> welcome</c>

00:00:02.470 --> 00:00:02.480 align:start position:0%
hello and welcome
 \n
00:00:02.480 --> 00:00:05.000 align:start position:0%
hello and welcome
how<00:00:03.000><c> are</c><00:00:03.500><c> you</c>

00:00:05.000 --> 00:00:05.010 align:start position:0%
how are you
 \n"""
    lines = read_subtitles(text.encode())
    assert [(line.text, line.end_seconds) for line in lines] == [
        ("hello and welcome", 2.48),
        ("how are you", 5.01),
    ]


def test_lines_that_say_the_same_are_kept_in_other_files() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nNo.\n\n2\n00:00:02,000 --> 00:00:03,000\nNo. Never.\n"
    assert [line.text for line in read_subtitles(text.encode())] == ["No.", "No. Never."]


def test_lines_come_in_the_order_of_time_and_odd_times_are_told(film: Path) -> None:
    text = (
        "1\n00:00:05,000 --> 00:00:05,500\nlast\n\n2\n00:00:02,000 --> 00:00:01,000\nturned\n\n"
        "3\n-00:00:01,000 --> 00:00:02,000\nearly\n\n4\n-00:00:03,000 --> -00:00:02,000\nnever\n\n"
        "5\n00:00:05,000 --> 00:00:05,500\nlast\n\n6\n00:00:01,000 --> 00:00:04,000\nover it\n"
    )
    lines = read_subtitles(text.encode())
    assert [line.text for line in lines] == ["early", "over it", "turned", "last"]
    assert lines[0] == Subtitle(0, 2, "early")
    assert lines[2] == Subtitle(2, 2, "turned")
    plan = _chat().plan("?", VideoPart(str(film), subtitles=text.encode()))
    assert any("end before the film begins" in warning for warning in plan.warnings)
    assert any("end before they begin" in warning for warning in plan.warnings)


@pytest.mark.parametrize("data", [b"hello", b"\x89PNG\r\n\x1a\n" + bytes(99), b"%PDF-1.4", b"{}"])
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(MediaDecodeError, match="holds no subtitles"):
        read_subtitles(data)


@pytest.mark.parametrize("data", [b"", b"\n\n", "\ufeff".encode(), b"WEBVTT\n\n"])
def test_an_empty_file_has_no_lines_and_says_so(data: bytes, film: Path) -> None:
    assert read_subtitles(data) == ()
    plan = _chat().plan("?", VideoPart(str(film), subtitles=data))
    assert "holds no lines" in plan.warnings[0]


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.srt"
    with large.open("wb") as file:
        file.truncate(2**25 + 1)
    with pytest.raises(MediaSizeError):
        read_subtitles(large)


def test_paths_go_through_the_policy(film: Path, tmp_path: Path) -> None:
    file = tmp_path / "film.srt"
    file.write_text(SRT.format("words"), encoding="utf-8")
    fenced = MediaPolicy(allow_folders=[film.parent], isolate_video=False)
    chat = _chat(fenced)
    with pytest.raises(MediaForbiddenError) as caught:
        chat.plan("?", VideoPart(str(film), subtitles=str(file)))
    assert caught.value.where == "messages[0].parts[0].subtitles"
    with pytest.raises(MediaForbiddenError):
        chat.plan("?", VideoPart(str(film), subtitles="https://example.com/film.srt"))
    with pytest.raises(MediaNotFoundError):
        _chat().plan("?", VideoPart(str(film), subtitles=str(tmp_path / "none.srt")))
    with pytest.raises(MediaSourceError, match="directory"):
        _chat().plan("?", VideoPart(str(film), subtitles=tmp_path))


def test_a_link_beside_a_fenced_film_does_not_lead_out(film: Path, tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "secret.srt"
    inside.mkdir()
    (inside / "film.mp4").write_bytes(film.read_bytes())
    outside.write_text(SRT.format("secret"), encoding="utf-8")
    (inside / "film.srt").symlink_to(outside)
    chat = _chat(MediaPolicy(allow_folders=[inside], isolate_video=False))
    with pytest.raises(MediaForbiddenError):
        chat.plan("?", VideoPart(str(inside / "film.mp4"), subtitles="auto"))


@pytest.mark.parametrize("policy", [HERE, MediaPolicy()], ids=["here", "apart"])
@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("srt", SRT.format("<i>Hello</i>")),
        (
            "webvtt",
            "WEBVTT\n\n00:01.000 --> 00:02.000\n<v B>Hello\n\n00:03.000 --> 00:04.000\nok\n",
        ),
        (
            "ass",
            "[Script Info]\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, "
            "MarginV, Effect, Text\nDialogue: 0,0:00:01.00,0:00:02.00,D,,0,0,0,,{\\i1}Hello\n"
            "Dialogue: 0,0:00:03.00,0:00:04.00,D,,0,0,0,,ok\n",
        ),
    ],
)
def test_a_track_within_a_film_is_read(
    film: Path, tmp_path: Path, policy: MediaPolicy, form: str, text: str
) -> None:
    held = add_text_track(film, tmp_path / "held.mkv", (form, text))
    track = read_track(str(held), policy)
    assert [(cue.start_seconds, cue.end_seconds, cue.text) for cue in track.cues] == [
        (1.0, 2.0, "Hello"),
        (3.0, 4.0, "ok"),
    ]


def test_text_and_chapters_of_mp4_are_read(film: Path, tmp_path: Path) -> None:
    held = add_quicktime_text(
        film,
        tmp_path / "held.mp4",
        [(1, 2, "Hello 你好"), (3, 4, "ok")],
        [(0, 3, "One"), (3, 6, "二")],
    )
    assert [cue.text for cue in read_track(held, HERE).cues] == ["Hello 你好", "ok"]
    assert read_chapter_marks(held, HERE) == [(0.0, 3.0, "One"), (3.0, 6.0, "二")]
    assert read_chapter_marks(held.read_bytes(), HERE) == [(0.0, 3.0, "One"), (3.0, 6.0, "二")]


def test_a_file_beside_the_film_comes_before_its_own_track(film: Path, tmp_path: Path) -> None:
    held = add_text_track(film, tmp_path / "held.mkv", ("srt", SRT.format("within")))
    chat = _chat()
    assert "within" in _shown(chat, VideoPart(str(held), subtitles="auto"))
    (tmp_path / "held.srt").write_text(SRT.format("beside"), encoding="utf-8")
    assert "beside" in _shown(chat, VideoPart(held, subtitles="auto"))
    assert "within" in _shown(chat, VideoPart(held.read_bytes(), subtitles="auto"))


def test_the_choice_among_several_tracks_is_told(film: Path, tmp_path: Path) -> None:
    both = (("srt", SRT.format("first")), ("srt", SRT.format("second")))
    held = add_text_track(film, tmp_path / "held.mkv", *both)
    plan = _chat().plan("?", VideoPart(held, subtitles="auto"))
    assert "track 1 of 2" in plan.warnings[0]


def test_a_film_without_subtitles_says_so(film: Path) -> None:
    plan = _chat().plan("?", VideoPart(film, subtitles="auto"))
    assert "no subtitles were found" in plan.warnings[0]
    reply = _chat().ask("?", VideoPart(film, subtitles="auto"))
    assert reply.plan.warnings == plan.warnings


def test_frames_have_no_subtitles_of_their_own() -> None:
    frames = VideoPart([picture(60, 60)] * 4, fps=1, subtitles="auto")
    with pytest.raises(MediaSourceError, match="sequence of frames"):
        _chat().plan("?", frames)


def test_times_of_a_track_count_from_the_first_frame(tmp_path: Path) -> None:
    """A film that was cut out of another may begin later than its file."""
    pts = [2 * 1000 + at * 100 for at in range(40)]
    from fractions import Fraction

    late = write_video(tmp_path / "late.mkv", 40, pts=pts, time_base=Fraction(1, 1000), fps=10)
    held = add_text_track(late, tmp_path / "held.mkv", ("srt", SRT.format("Hello")))
    track = read_track(held, HERE)
    assert [cue.start_seconds for cue in track.cues] == [
        pytest.approx(-1, abs=0.11),
        pytest.approx(1, abs=0.11),
    ]


@pytest.mark.parametrize(
    "wrong",
    ["", "  ", 5, {"a": 1}, ["words"], [Subtitle(0, 1, "a"), "b"], {Subtitle(0, 1, "a"): 1}],
)
def test_other_things_are_no_subtitles(wrong: object) -> None:
    with pytest.raises(MessageError, match="subtitles"):
        VideoPart("film.mp4", subtitles=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "times", [(2, 1), (float("nan"), 1), (0, float("inf")), ("0", 1), (True, 2)]
)
def test_a_line_has_times_that_are_numbers_in_order(times: tuple[object, object]) -> None:
    with pytest.raises(VideoTimingError):
        Subtitle(*times, "words")  # type: ignore[arg-type]


def test_a_part_is_compared_and_shown_without_its_lines() -> None:
    lines = [Subtitle(at, at + 1, "x" * 50) for at in range(1000)]
    one, other = (VideoPart("a.mp4", subtitles=lines) for _ in range(2))
    assert one == other != VideoPart("a.mp4", subtitles=lines[:-1])
    assert repr(one) == "VideoPart(source='a.mp4', subtitles=<1000 lines>)"


def test_fingerprints_tell_subtitles_apart(film: Path, tmp_path: Path) -> None:
    file = tmp_path / "film.srt"
    file.write_text(SRT.format("one"), encoding="utf-8")

    def mark(**given: object) -> object:
        return identify_content(VideoPart(film, **given), HERE)  # type: ignore[arg-type]

    marks = [
        mark(),
        mark(subtitles=file),
        mark(subtitles="auto"),
        mark(subtitles=[Subtitle(1, 2, "one")]),
        mark(subtitles=[Subtitle(1, 2, "two")]),
        mark(subtitles=file, max_subtitle_tokens=9),
    ]
    assert all(one != other for at, one in enumerate(marks) for other in marks[at + 1 :])
    before = mark(subtitles=file)
    assert before == mark(subtitles=file.read_bytes())
    file.write_text(SRT.format("two"), encoding="utf-8")
    assert mark(subtitles=file) != before


def test_a_journal_notices_other_subtitles(film: Path, tmp_path: Path) -> None:
    from qwenvl_kit import Request
    from qwenvl_kit.errors import JournalError

    def run(words: str) -> None:
        part = VideoPart(film, subtitles=[Subtitle(1, 2, words)])
        journal = tmp_path / "run.jsonl"
        _chat().ask_many([Request.about("?", part)], journal=journal, on_error="raise")

    run("one")
    run("one")
    with pytest.raises(JournalError):
        run("two")


def _chat(policy: MediaPolicy = HERE) -> VisionChat:
    return VisionChat(ScriptedBackend(lambda request: "ok"), media=policy)


def _shown(chat: VisionChat, part: VideoPart) -> str:
    chat.ask("?", part)
    return str(chat._slot.pipeline.backend.requests[-1].messages[0].text)  # type: ignore[attr-defined]
