from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import VideoPart
from qwenvl_kit.budget.frames import (
    choose_frames,
    count_frames,
    frame_rate,
    frame_times,
    sample_frames,
)
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


RATES = st.sampled_from([1.0, 5.0, 10.0, 12.5, 15.0, 24.0, 25.0, 30.0, 50.0, 60.0, 24000 / 1001])
WISHES = st.sampled_from([None, 0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0, 24.0])


def _published_count(total: int, rate: float, fps: float | None) -> int:
    """What qwen-vl-utils says; a rate that was asked for is freed from its limit of 768 frames."""
    from qwen_vl_utils.vision_process import smart_nframes

    wish = {} if fps is None else {"fps": fps, "max_frames": total}
    return smart_nframes(wish, total, rate)


LEAST = st.sampled_from([None, 1, 2, 3, 4, 7, 8, 64, 768])
MOST = st.sampled_from([2, 3, 5, 16, 99, 100, 768, 769, 4000])


@given(st.integers(2, 30_000), RATES, WISHES, LEAST, MOST)
@settings(max_examples=400, deadline=None)
def test_bounds_of_frames_are_those_of_qwen_vl_utils(total, rate, fps, least, most):
    from qwen_vl_utils.vision_process import smart_nframes

    wish = {"fps": fps, "min_frames": least, "max_frames": most}
    published = smart_nframes({k: v for k, v in wish.items() if v is not None}, total, rate)
    if not _falls_short(total, rate, fps):
        assert count_frames(total, rate, fps, least, most) == published


@given(st.integers(2, 700), RATES, WISHES, LEAST)
@settings(max_examples=200, deadline=None)
def test_a_least_number_of_frames_is_that_of_qwen_vl_utils(total, rate, fps, least):
    from qwen_vl_utils.vision_process import smart_nframes

    wish = {"fps": fps, "min_frames": least}
    published = smart_nframes({k: v for k, v in wish.items() if v is not None}, total, rate)
    if not _falls_short(total, rate, fps):
        assert count_frames(total, rate, fps, least) == published


@pytest.mark.parametrize(
    ("bounds", "count"),
    [
        ({}, 40),
        ({"max_frames": 768}, 40),
        ({"max_frames": 100}, 40),
        ({"max_frames": 16}, 16),
        ({"max_frames": 17}, 16),
        ({"max_frames": 1}, 1),
        ({"min_frames": 64}, 64),
        ({"min_frames": 4, "max_frames": 768}, 40),
        ({"fps": 1, "min_frames": 30}, 30),
        ({"fps": 4, "max_frames": 50}, 50),
        ({"fps": 0.1, "max_frames": 768}, 4),
        ({"num_frames": 16, "max_frames": 768}, 16),
        ({"num_frames": 100, "min_frames": 4}, 100),
        ({"min_frames": 500}, 200),
    ],
)
def test_a_bound_is_no_wish_for_the_frames_of_a_film_of_20_s(bounds, count):
    times = [index / 10 for index in range(200)]
    assert len(sample_frames(VideoPart("a.mp4", **bounds), times)) == count


def test_more_frames_than_the_default_allows_want_a_bound_of_their_own():
    times = [index / 25 for index in range(2000)]
    with pytest.raises(VideoTimingError, match="min_frames=1000") as caught:
        sample_frames(VideoPart("a.mp4", min_frames=1000), times)
    assert caught.value.hint == "max_frames=1000"
    part = VideoPart("a.mp4", min_frames=1000, max_frames=1000)
    assert len(sample_frames(part, times)) == 1000


def test_a_bound_thins_out_given_frames_and_given_times():
    times = tuple(range(10))
    assert choose_frames(_part(fps=1, max_frames=4), times) == (0, 3, 6, 9)
    assert choose_frames(_part(fps=1, min_frames=20, max_frames=20), times) == times
    part = VideoPart("a.mp4", timestamps_seconds=times, max_frames=4)
    assert sample_frames(part, times) == (0, 3, 6, 9)


def _falls_short(total: int, rate: float, fps: float | None) -> bool:
    """Whether a whole number of frames is missed by a rounding error."""
    wished = total / rate * (fps or 2.0)
    return wished != round(wished, 6) and math.floor(wished / 2) != math.floor(round(wished, 6) / 2)


@given(st.integers(2, 200_000), RATES, WISHES)
@settings(max_examples=400, deadline=None)
def test_a_film_gets_as_many_frames_as_qwen_vl_utils_gives_it(total, rate, fps):
    if not _falls_short(total, rate, fps):
        assert count_frames(total, rate, fps) == _published_count(total, rate, fps)


@given(st.integers(2, 200_000), st.floats(0.5, 240), st.floats(0.01, 240))
@settings(max_examples=200, deadline=None)
def test_a_film_of_any_rate_gets_as_many_frames_as_qwen_vl_utils_gives_it(total, rate, fps):
    if not _falls_short(total, rate, fps):
        assert count_frames(total, rate, fps) == _published_count(total, rate, fps)


def test_a_rate_that_was_asked_for_is_kept_beyond_768_frames():
    from qwen_vl_utils.vision_process import smart_nframes

    assert smart_nframes({"fps": 2.0}, 25_000, 25.0) == 768
    assert count_frames(25_000, 25.0, 2.0) == 2000
    assert count_frames(25_000, 25.0) == 768


def test_a_film_of_a_single_frame_gives_that_frame():
    from qwen_vl_utils.vision_process import smart_nframes

    with pytest.raises(ValueError, match="nframes"):
        smart_nframes({}, 1, 25.0)
    assert count_frames(1, 25.0) == 1
    assert sample_frames(VideoPart("a.mp4"), [0.0]) == (0,)


def test_a_rounding_error_costs_no_frames():
    total, rate = _first_that_falls_short()
    assert count_frames(total, rate) == _published_count(total, rate, None) + 2


def _first_that_falls_short() -> tuple[int, float]:
    rates = [Fraction(number, 7) for number in range(22, 400)]
    return next(
        (total, float(rate))
        for rate in rates
        for total in range(10, 300)
        if (2 * total / rate) % 2 == 0 and _falls_short(total, float(rate), None)
    )


@given(st.integers(2, 3000), RATES, WISHES)
@settings(max_examples=300, deadline=None)
def test_the_frames_of_an_even_film_are_those_that_qwen_vl_utils_takes(total, rate, fps):
    times = [index / rate for index in range(total)]
    chosen = sample_frames(VideoPart("a.mp4", fps=fps), times)
    expected = _spread_by_torch(0, total - 1, count_frames(total, frame_rate(times), fps))
    _assert_same_but_for_ties(chosen, expected, 0, total - 1)


@given(st.integers(100, 3000), RATES, st.integers(0, 40), st.integers(45, 99))
@settings(max_examples=300, deadline=None)
def test_the_frames_of_a_span_are_those_that_qwen_vl_utils_takes(total, rate, start, stop):
    from qwen_vl_utils.vision_process import calculate_video_frame_range

    first, last = start * total // 100, stop * total // 100
    # Between frames, where neither rounding up nor a rounding error decides.
    span = {"video_start": (first - 0.5) / rate if first else 0.0, "video_end": (last + 0.5) / rate}
    begin, end, count = calculate_video_frame_range(span, total, rate)
    assert (begin, end) == (first, last)
    part = VideoPart("a.mp4", start_seconds=span["video_start"], end_seconds=span["video_end"])
    chosen = sample_frames(part, [index / rate for index in range(total)])
    wanted = count_frames(count, rate)
    _assert_same_but_for_ties(chosen, _spread_by_torch(begin, end, wanted), begin, end)


@given(st.integers(2, 2000), st.integers(2, 300))
@settings(max_examples=200, deadline=None)
def test_a_number_of_frames_is_taken_where_qwen_vl_utils_takes_them(total, wanted):
    times = [index / 25 for index in range(total)]
    chosen = sample_frames(VideoPart("a.mp4", num_frames=wanted), times)
    expected = _spread_by_torch(0, total - 1, min(wanted, total))
    _assert_same_but_for_ties(chosen, expected, 0, total - 1)


def _spread_by_torch(first: int, last: int, count: int) -> list[int]:
    import torch

    return [int(index) for index in torch.linspace(first, last, count).round()]


def _assert_same_but_for_ties(chosen, expected, first, last):
    """Halfway between two frames single precision takes now the one, now the other."""
    assert len(chosen) == len(expected)
    for step, (got, published) in enumerate(zip(chosen, expected)):
        exact = first + Fraction(last - first) * step / max(1, len(expected) - 1)
        if got != published:
            assert abs(exact - math.floor(exact) - Fraction(1, 2)) < Fraction(1, 1000)
        assert abs(got - exact) <= Fraction(1, 2) + Fraction(1, 1000)


@given(st.lists(st.floats(0.001, 9), min_size=1, max_size=300), st.integers(1, 50))
@settings(max_examples=100)
def test_the_frames_of_an_uneven_film_are_even_in_time(gaps, wanted):
    times = [math.fsum(gaps[:count]) for count in range(len(gaps) + 1)]
    chosen = sample_frames(VideoPart("a.mp4", num_frames=wanted), times)
    assert list(chosen) == sorted(set(chosen))
    assert len(chosen) <= wanted
    if 1 < wanted < len(times):
        step = times[-1] / (wanted - 1)
        for moment in (step * position for position in range(wanted)):
            nearest = min(abs(time - moment) for time in times)
            assert min(abs(times[index] - moment) for index in chosen) <= nearest + 1e-5


def test_a_film_that_stands_still_gives_its_frames_once():
    assert sample_frames(VideoPart("a.mp4", num_frames=4), [0.0, 0.1, 0.2, 0.3, 60.0]) == (0, 3, 4)


def test_frames_at_given_times_are_those_on_the_screen():
    part = VideoPart("a.mp4", timestamps_seconds=(0.0, 0.9, 1.0, 1.05, 2.9))
    assert sample_frames(part, [0.0, 1.0, 2.0, 3.0]) == (0, 1, 2)


def test_a_time_after_the_last_frame_is_refused():
    with pytest.raises(VideoTimingError, match="9 s") as caught:
        sample_frames(VideoPart("a.mp4", timestamps_seconds=(0.0, 9.0)), [0.0, 1.0, 2.0])
    assert "2 s" in caught.value.expected


def test_times_outside_the_span_are_left_out_and_none_inside_is_refused():
    times = [0.0, 1.0, 2.0, 3.0]
    part = VideoPart("a.mp4", timestamps_seconds=(0.0, 2.0), start_seconds=1, end_seconds=3)
    assert sample_frames(part, times) == (2,)
    with pytest.raises(VideoTimingError, match="between start and end"):
        sample_frames(
            VideoPart("a.mp4", timestamps_seconds=(0.0,), start_seconds=1, end_seconds=3), times
        )
