from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import VideoPart
from qwenvl_kit.budget.frames import choose_frames, frame_rate, frame_times
from qwenvl_kit.errors import VideoTimingError


def _part(**timing):
    return VideoPart(["a.png"], **timing)


def test_frames_at_a_rate_are_evenly_apart():
    assert frame_times(_part(fps=2), 4) == (0.0, 0.5, 1.0, 1.5)


def test_timestamps_are_taken_as_given():
    assert frame_times(_part(timestamps_seconds=(0.5, 0.75, 9.0)), 3) == (0.5, 0.75, 9.0)


@pytest.mark.parametrize("times", [(0.0,), (0.0, 1.0, 2.0), (1.0, 1.0), (1.0, 0.5)])
def test_timestamps_that_do_not_fit_the_frames_or_do_not_rise_are_refused(times):
    with pytest.raises(VideoTimingError) as caught:
        frame_times(_part(timestamps_seconds=times), 2)
    assert caught.value.expected


def test_frames_without_times_are_refused_with_the_way_to_give_them():
    with pytest.raises(VideoTimingError, match="fps") as caught:
        frame_times(_part(), 2)
    assert "fps=2" in caught.value.hint


@given(st.integers(1, 300), st.integers(1, 400))
@settings(max_examples=200)
def test_a_number_of_frames_is_spread_over_the_whole_video(available, wanted):
    times = frame_times(_part(fps=1), available)
    chosen = choose_frames(_part(fps=1, num_frames=wanted), times)
    assert len(chosen) == min(available, wanted)
    assert list(chosen) == sorted(set(chosen))
    assert all(0 <= index < available for index in chosen)
    if len(chosen) > 1:
        assert (chosen[0], chosen[-1]) == (0, available - 1)
        gaps = [later - earlier for earlier, later in pairwise(chosen)]
        assert max(gaps) - min(gaps) <= 1


@given(st.integers(1, 100), st.floats(0, 50), st.floats(0.1, 50), st.floats(0.1, 60))
@settings(max_examples=100)
def test_frames_lie_between_start_and_end(available, start, length, fps):
    part = _part(fps=fps, start_seconds=start, end_seconds=start + length)
    times = frame_times(part, available)
    inside = tuple(i for i, time in enumerate(times) if start <= time <= start + length)
    if inside:
        assert choose_frames(part, times) == inside
        return
    with pytest.raises(VideoTimingError, match="no frame lies between"):
        choose_frames(part, times)


def test_all_frames_are_used_where_nothing_else_is_said():
    assert choose_frames(_part(fps=1), (0.0, 1.0, 2.0)) == (0, 1, 2)


def test_a_single_frame_is_the_one_in_the_middle():
    assert choose_frames(_part(fps=1, num_frames=1), (0.0, 1.0, 2.0)) == (1,)


@given(
    st.sampled_from([1.0, 2.0, 23.976, 25.0, 29.97, 30.0, 0.1, 1 / 7, 1 / 86400]),
    st.integers(2, 400),
)
def test_frames_at_even_times_give_their_rate_back(fps: float, count: int) -> None:
    rate = frame_rate([index / fps for index in range(count)])
    assert rate == pytest.approx(fps, rel=1e-8)
    if fps >= 1:
        assert rate == fps
