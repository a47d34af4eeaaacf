from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit import VideoPart
from qwenvl_kit.errors import VideoTimingError
from qwenvl_kit.tasks.summarize_video.windows import (
    Footage,
    smallest_fitting,
    split_at_times,
    split_evenly,
)

TIMES = st.lists(st.floats(0.01, 100), min_size=1, max_size=60).map(
    lambda steps: tuple(sum(steps[: index + 1]) for index in range(len(steps)))
)


def _check_cover(windows, num_frames):
    assert windows[0].start == 0
    assert windows[-1].stop == num_frames
    assert all(before.stop - 1 == after.start for before, after in pairwise(windows))


@given(st.integers(1, 500), st.integers(1, 600))
def test_even_windows_cover_all_frames_and_differ_by_one_frame_at_most(num_frames, num_windows):
    windows = split_evenly(num_frames, num_windows)
    assert len(windows) == min(num_windows, num_frames)
    lengths = {len(window) for window in windows}
    assert max(lengths) - min(lengths) <= 1
    if num_windows < num_frames:
        _check_cover(windows, num_frames)
    else:
        assert [*map(list, windows)] == [[index] for index in range(num_frames)]


@given(st.integers(2, 500), st.integers(1, 499))
def test_more_even_windows_are_never_longer(num_frames, num_windows):
    def longest(count):
        return max(map(len, split_evenly(num_frames, count)))

    assert longest(num_windows + 1) <= longest(num_windows)


@given(TIMES, st.floats(0.01, 10_000))
def test_windows_of_a_length_cover_all_frames_or_are_refused(times, window_seconds):
    try:
        windows = split_at_times(times, window_seconds)
    except VideoTimingError:
        assert window_seconds < (times[-1] - times[0]) / (len(times) - 1)
        return
    assert len(windows) == 1 or all(len(window) >= 2 for window in windows)
    _check_cover(windows, len(times))


@pytest.mark.parametrize(
    ("window_seconds", "expected"),
    [
        (10, [(0, 10), (10, 20), (20, 25)]),
        (25, [(0, 25)]),
        (1000, [(0, 25)]),
        (12.5, [(0, 12), (12, 25)]),
        (24.9, [(0, 25)]),
    ],
)
def test_windows_of_a_length_begin_at_the_frame_nearest_to_their_time(window_seconds, expected):
    windows = split_at_times([float(second) for second in range(26)], window_seconds)
    assert [(window.start, window.stop - 1) for window in windows] == expected


def test_windows_that_would_hold_no_frame_name_the_distance_of_frames():
    with pytest.raises(VideoTimingError, match="2 s apart"):
        split_at_times([0.0, 2.0, 4.0], 1.5)


@given(st.integers(1, 3000), st.integers(1, 3100), st.integers(-5, 5000))
def test_the_smallest_number_that_fits_is_found_in_few_questions(most, least, guess):
    asked = []

    def fits(number):
        asked.append(number)
        assert 1 <= number <= most
        return number >= least

    assert smallest_fitting(most, fits, guess) == (least if least <= most else None)
    assert len(asked) <= 30


@given(st.integers(2, 3000))
def test_a_good_guess_takes_two_questions(least):
    asked = []
    smallest_fitting(5000, lambda number: asked.append(number) or number >= least, least)
    assert len(asked) <= 2


@given(st.integers(1, 40), st.sets(st.integers(1, 40)), st.integers(0, 50))
def test_what_is_found_fits_however_unsteady_the_question_is(most, fitting, guess):
    found = smallest_fitting(most, fitting.__contains__, guess)
    assert found is None or found in fitting


FOOTAGE = Footage(VideoPart("a.mp4", fps=1), (0, 2, 4, 6), (0.0, 1.0, 2.5, 4.0), is_file=True)


def test_spans_of_windows_leave_no_gaps():
    for count in range(1, 6):
        spans = [FOOTAGE.span(window) for window in split_evenly(4, count)]
        assert spans[0][0] == 0.0
        assert spans[-1][1] == 4.0
        assert all(before[1] == after[0] for before, after in pairwise(spans))


def test_a_window_of_a_file_shows_its_frames_by_their_times():
    assert FOOTAGE.cut(range(1, 3)) == VideoPart("a.mp4", timestamps_seconds=(1.0, 2.5))


def test_a_window_of_a_sequence_holds_its_frames_alone():
    part = VideoPart(list("abcdefgh"), fps=2, budget="quick")
    footage = Footage(part, (0, 2, 4, 6), (0.0, 1.0, 2.0, 3.0), is_file=False)
    expected = VideoPart(["c", "e"], timestamps_seconds=(1.0, 2.0), budget="quick")
    assert footage.cut(range(1, 3)) == expected
