"""The choice of lines: of the part that is shown, within a budget, and what is left out is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit import Message, Size, Subtitle, TextPart, VideoPart
from qwenvl_kit.budget.limits import PixelLimits
from qwenvl_kit.budget.measures import PlanningRules, VideoMeasure
from qwenvl_kit.budget.subtitles import place_subtitles
from qwenvl_kit.families import family_of
from qwenvl_kit.messages.subtitles import listed

LIMITS = PixelLimits(min_pixels=4 * 28 * 28, max_pixels=64 * 28 * 28)
LISTED = PlanningRules(family_of("qwen2_5_vl"), LIMITS, LIMITS, 4000)
BETWEEN = replace(LISTED, family=family_of("qwen3_vl"), writes_between_frames=True)
TIMES = tuple(at / 2 for at in range(121))
"""A film of a minute."""

LINES = tuple(Subtitle(at, at + 0.8, f"line {at}") for at in range(60))


def place(part: VideoPart, rules: PlanningRules = BETWEEN) -> tuple[list[str], tuple[str, ...]]:
    measure = VideoMeasure("messages[0].parts[0]", part, Size(100, 100), len(TIMES), TIMES)
    message = Message.user(part, "What?")
    placed, notes = place_subtitles([message], [measure], rules, _count_words)
    (shown,) = placed
    film = shown.parts[0]
    assert isinstance(film, VideoPart)
    if rules is BETWEEN:
        assert len(shown.parts) == 2
        return [line.text for line in film.subtitles or ()], notes  # type: ignore[union-attr]
    assert film.subtitles is None
    listed = shown.parts[1]
    assert isinstance(listed, TextPart)
    return listed.text.splitlines()[1:] if len(shown.parts) == 3 else [], notes


def _count_words(text: str) -> int:
    return len(text.split())


def test_all_lines_are_shown_where_there_is_room() -> None:
    assert place(VideoPart("a.mp4", subtitles=LINES)) == ([line.text for line in LINES], ())


def test_lines_in_a_list_have_their_times() -> None:
    lines, _ = place(VideoPart("a.mp4", subtitles=LINES[:2]), LISTED)
    assert lines == ["00:00.00 line 0", "00:01.00 line 1"]
    rules = replace(BETWEEN, writes_between_frames=False)
    lines, _ = place(VideoPart("a.mp4", subtitles=[Subtitle(7, 8, "a\nb")]), rules)
    assert lines == ["<7.0 seconds> a b"]


def test_lines_outside_of_the_part_that_is_shown_are_left_out() -> None:
    lines, notes = place(VideoPart("a.mp4", start_seconds=10.5, end_seconds=12, subtitles=LINES))
    assert lines == ["line 10", "line 11", "line 12"]
    assert notes == ()
    lines, _ = place(VideoPart("a.mp4", timestamps_seconds=(10.0, 11.5), subtitles=LINES))
    assert lines == ["line 10", "line 11"]


@pytest.mark.parametrize(
    "times", [{"start_seconds": 20.0, "end_seconds": 22.0}, {"timestamps_seconds": (20.0, 22.0)}]
)
def test_a_list_counts_from_where_the_model_counts(times: dict[str, Any]) -> None:
    part = VideoPart("a.mp4", subtitles=LINES, **times)
    lines, _ = place(part, LISTED)
    assert lines == ["00:00.00 line 20", "00:01.00 line 21", "00:02.00 line 22"]
    assert listed(LINES[:1], in_seconds=False, zero_seconds=20.0).startswith(
        "This video's subtitles are listed below (0 is the first frame that is shown):\n"
    )
    lines, _ = place(part, replace(BETWEEN, writes_between_frames=False))
    assert lines[0] == "<20.0 seconds> line 20"


def test_lines_beyond_the_end_of_the_film_are_told() -> None:
    beyond = (*LINES, Subtitle(60.5, 61, "the end"), Subtitle(90, 91, "later"))
    lines, (note,) = place(VideoPart("a.mp4", subtitles=beyond))
    assert lines[-1] == "the end"
    assert "1 of 62 lines of subtitles begin after the film's end at 60.0 s" in note


def test_too_many_lines_are_reduced_to_those_that_are_heard_at_the_frames() -> None:
    part = VideoPart("a.mp4", num_frames=7, subtitles=LINES, max_subtitle_tokens=30)
    lines, (note,) = place(part)
    assert lines == [f"line {at}" for at in (0, 10, 20, 30, 40, 50)]
    assert "54 of 60 lines of subtitles left out" in note
    assert "those that are heard at the shown frames are kept" in note


def test_and_then_to_evenly_chosen_ones() -> None:
    part = VideoPart("a.mp4", num_frames=7, subtitles=LINES, max_subtitle_tokens=9)
    lines, (note,) = place(part)
    assert lines == ["line 0", "line 20", "line 50"]
    assert "evenly chosen ones" in note


def test_a_quarter_of_the_context_is_the_budget_of_lines_without_one() -> None:
    small = replace(BETWEEN, context_tokens=400)
    measure_of = VideoPart("a.mp4", subtitles=LINES)
    measure = VideoMeasure("here", measure_of, Size(100, 100), len(TIMES), TIMES)
    _, (note,) = place_subtitles([Message.user(measure_of)], [measure], small, _count_words)
    assert "more than 100 tokens" in note


@given(
    st.lists(st.tuples(st.floats(0, 70), st.floats(0, 5), st.text("ab ", max_size=9)), max_size=40),
    st.integers(1, 60),
    st.integers(1, 20),
)
def test_a_budget_is_never_exceeded(
    drawn: list[tuple[float, float, str]], most: int, num_frames: int
) -> None:
    lines = tuple(
        sorted(
            (Subtitle(start, start + lasts, words or "x") for start, lasts, words in drawn),
            key=lambda line: line.start_seconds,
        )
    )
    part = VideoPart(
        "a.mp4", num_frames=num_frames, subtitles=lines or None, max_subtitle_tokens=most
    )
    kept, _ = place(part)
    assert sum(1 + len(text.split()) for text in kept) <= most


def test_films_without_subtitles_and_their_messages_stay_the_same_objects() -> None:
    message = Message.user(VideoPart("a.mp4"), "What?")
    placed, notes = place_subtitles([message], [], BETWEEN, pytest.fail)
    assert placed[0] is message
    assert notes == ()
