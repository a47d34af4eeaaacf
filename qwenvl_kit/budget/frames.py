"""Which frames of a video a model gets to see."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from qwenvl_kit.errors import VideoTimingError
from qwenvl_kit.messages import VideoPart


def frame_times(part: VideoPart, num_frames: int) -> tuple[float, ...]:
    """The time of each of `num_frames` given frames, in seconds.

    Raises:
        VideoTimingError: neither fps nor one rising timestamp per frame was given.
    """
    if part.timestamps_seconds is not None:
        return _check_timestamps(part.timestamps_seconds, num_frames)
    if part.fps is None:
        raise VideoTimingError(
            f"{num_frames} frames were given without their times",
            expected="fps=... or timestamps_seconds=...",
            hint="VideoPart(frames, fps=2) if they were taken twice a second",
        )
    return tuple(index / part.fps for index in range(num_frames))


def choose_frames(part: VideoPart, times: Sequence[float]) -> tuple[int, ...]:
    """Indices of the frames to use: those between start and end, thinned out evenly.

    Raises:
        VideoTimingError: no frame lies between start and end.
    """
    start = times[0] if part.start_seconds is None else part.start_seconds
    end = times[-1] if part.end_seconds is None else part.end_seconds
    inside = [index for index, time in enumerate(times) if start <= time <= end]
    if not inside:
        raise VideoTimingError(
            f"no frame lies between {start} s and {end} s",
            expected=f"a span within {times[0]} s to {times[-1]} s",
        )
    return tuple(_spread(inside, part.num_frames or len(inside)))


def frame_rate(times: Sequence[float]) -> float:
    """Frames per second on average; 1 for a single frame, where nothing depends on it.

    Rounded to nine digits, so that frames at k / fps seconds give back fps itself: positions are
    cut off to whole numbers, and must not fall short of one by a rounding error.
    """
    if len(times) < 2:
        return 1.0
    return float(f"{(len(times) - 1) / (times[-1] - times[0]):.9g}")


def _spread(indices: Sequence[int], count: int) -> Sequence[int]:
    """`count` of the indices, first and last among them, evenly spread."""
    if count >= len(indices):
        return indices
    if count == 1:
        return [indices[len(indices) // 2]]
    step = (len(indices) - 1) / (count - 1)
    return [indices[round(position * step)] for position in range(count)]


def _check_timestamps(times: Sequence[float], num_frames: int) -> tuple[float, ...]:
    if len(times) != num_frames:
        raise VideoTimingError(
            f"{num_frames} frames came with {len(times)} timestamps", expected="one per frame"
        )
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise VideoTimingError("the timestamps do not rise", expected="each after the one before")
    return tuple(times)
