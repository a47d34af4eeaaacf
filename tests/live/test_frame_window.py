"""Of the last seconds a few frames are kept, evenly spread, the newest always among them."""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit.live import LiveFrame
from qwenvl_kit.live.frame_window import FrameWindow

NOW = datetime.now(timezone.utc)
GAPS = st.lists(st.floats(0.001, 3.0), min_size=1, max_size=200)


def _window(seconds, max_frames, gaps):
    window, at = FrameWindow(seconds, max_frames), 0.0
    for gap in gaps:
        at += gap
        window.add(LiveFrame(None, NOW, at))
    return window, at


@given(GAPS, st.floats(0.1, 20), st.integers(1, 32))
def test_frames_are_few_recent_in_order_and_end_with_the_newest(gaps, seconds, max_frames):
    window, newest = _window(seconds, max_frames, gaps)
    times = [frame.seconds for frame in window.frames()]
    assert 1 <= len(times) <= max_frames
    assert times[-1] == newest == window.newest_seconds
    assert all(earlier < later for earlier, later in pairwise(times))
    assert times[0] > newest - seconds or len(times) == 1


@given(st.floats(0.5, 20), st.integers(2, 32))
def test_frames_of_a_steady_source_are_evenly_spread(seconds, max_frames):
    step = seconds / max_frames / 10
    window, _ = _window(seconds, max_frames, [step] * max_frames * 30)
    times = [frame.seconds for frame in window.frames()]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) >= max_frames - 1
    assert all(gap <= seconds / max_frames + 2 * step for gap in gaps)


def test_memory_is_that_of_the_frames_that_are_given():
    window, _ = _window(5.0, 4, [0.001] * 20_000)
    assert len(window._kept) <= 6


def test_a_frame_that_is_no_newer_is_passed_over():
    window = FrameWindow(5.0, 4)
    for seconds in (1.0, 1.0, 0.5, 2.0):
        window.add(LiveFrame(seconds, NOW, seconds))
    assert [frame.seconds for frame in window.frames()][-1] == 2.0
    assert 0.5 not in [frame.seconds for frame in window.frames()]
