"""Sampling of video frames: the indices of the frames that the model sees."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from qwenvl_kit.errors import VideoTimingError
from qwenvl_kit.messages.message import VideoPart

DEFAULT_FPS = 2.0
MIN_FRAMES = 4
MAX_FRAMES = 768
"""The sampling with which Qwen's models were trained (`FPS`, `FPS_MIN_FRAMES` and `FPS_MAX_FRAMES`
of qwen-vl-utils, `fps`, `min_frames` and `max_frames` of the checkpoints' processors)."""

FRAME_FACTOR = 2
"""The frames of a pair: qwen-vl-utils and the vision encoders take frames in pairs."""


def frame_times(part: VideoPart, num_frames: int) -> tuple[float, ...]:
    """Return the time of each frame of a sequence, in seconds.

    Raises:
        VideoTimingError: neither fps nor one rising timestamp per frame was given.
    """
    if part.timestamps_seconds is not None:
        return _check_timestamps(part.timestamps_seconds, num_frames)
    if part.fps is None:
        raise VideoTimingError(
            f"{num_frames} frame(s) were given without their times",
            expected="fps=... or timestamps_seconds=...",
            hint="VideoPart(frames, fps=2) if they were taken twice a second",
        )
    return tuple(index / part.fps for index in range(num_frames))


def choose_frames(part: VideoPart, times: Sequence[float]) -> tuple[int, ...]:
    """Return the indices of the frames of a sequence to use: from start to end, evenly thinned.

    Raises:
        VideoTimingError: no frame lies between start and end.
    """
    inside = _inside(part, times)
    return _spread(times, inside, _most(part, len(inside)))


def sample_frames(part: VideoPart, times: Sequence[float]) -> tuple[int, ...]:
    """Return the indices of the frames of a file to use: by its rate, evenly spread in time.

    Each frame is used once at most, so that a video with few frames in a long time takes fewer.

    Args:
        part: the video with its rate, times and frame counts.
        times: time of each frame in seconds, rising; the first is 0.

    Raises:
        VideoTimingError: no frame lies between start and end.
    """
    inside = _inside(part, times)
    if part.timestamps_seconds is not None:
        shown = _shown_at(part.timestamps_seconds, times, inside)
        return _thin(shown, _most(part, len(shown)))
    if part.fps is None and part.num_frames is not None:
        return _spread(times, inside, part.num_frames)
    rate = frame_rate(times[inside.start : inside.stop])
    count = count_frames(len(inside), rate, part.fps, part.min_frames, part.max_frames)
    return _spread(times, inside, min(count, part.num_frames or count))


def count_frames(
    total_frames: int,
    video_fps: float,
    fps: float | None = None,
    min_frames: int | None = None,
    max_frames: int | None = None,
) -> int:
    """Return the number of frames of a video that the model sees.

    This is the arithmetic of `smart_nframes` of qwen-vl-utils, with these differences:

    - an explicit `fps` is kept: the limit of 768 frames is part of the default alone;
    - a video with a single frame is no error, and gives that frame;
    - the number that is rounded down is first rounded to six digits, so that 10 s at 2 frames per
      second give 20 frames, and not 18 because a floating-point number is just below 20;
    - `max_frames=1` is no error, and gives one frame.

    Args:
        total_frames: frames to choose from.
        video_fps: frames per second of the video.
        fps: frames per second to use; None for the default of 2.
        min_frames: least number of frames, rounded up to an even number; None for the default of 4.
        max_frames: most frames, rounded down to an even number. None for the default of 768, or
            for all frames if `fps` is given. If the two contradict each other, this one holds.

    Raises:
        VideoTimingError: `min_frames` is above the default of `max_frames`.
    """
    if max_frames is None:
        max_frames = total_frames if fps is not None else min(MAX_FRAMES, total_frames)
        _check_least(min_frames, max_frames, total_frames)
    least = math.ceil((min_frames or MIN_FRAMES) / FRAME_FACTOR) * FRAME_FACTOR
    wished = round(total_frames / video_fps * (fps or DEFAULT_FPS), 6)
    count = min(max(wished, least), max_frames // FRAME_FACTOR * FRAME_FACTOR, total_frames)
    return max(1, math.floor(count / FRAME_FACTOR) * FRAME_FACTOR)


def _check_least(min_frames: int | None, max_frames: int, total_frames: int) -> None:
    if min_frames is not None and max_frames < min(min_frames, total_frames):
        raise VideoTimingError(
            f"min_frames={min_frames} was given without max_frames",
            expected=f"at most {MAX_FRAMES}, the default of max_frames",
            hint=f"max_frames={min_frames}",
        )


def _most(part: VideoPart, total_frames: int) -> int:
    """The most frames of a part: its `num_frames`, else its `max_frames`, else all."""
    return part.num_frames or part.max_frames or total_frames


def frame_rate(times: Sequence[float]) -> float:
    """Return the average of frames per second; 1 for a single frame, where it does not matter.

    It is rounded to nine digits, so that frames at k / fps seconds give exactly fps. Positions are
    truncated to whole numbers later, and a rounding error would make one too small.
    """
    if len(times) < 2:
        return 1.0
    return float(f"{(len(times) - 1) / (times[-1] - times[0]):.9g}")


def _inside(part: VideoPart, times: Sequence[float]) -> range:
    """The indices of the frames between start and end, both included."""
    start = times[0] if part.start_seconds is None else part.start_seconds
    end = times[-1] if part.end_seconds is None else part.end_seconds
    inside = range(bisect_left(times, start), bisect_right(times, end))
    if not inside:
        raise VideoTimingError(
            f"no frame lies between {start:g} s and {end:g} s",
            expected=f"a span within {times[0]:g} s to {times[-1]:g} s",
        )
    return inside


def _spread(times: Sequence[float], inside: range, count: int) -> tuple[int, ...]:
    """The frames nearest to `count` evenly spread moments, the first and the last frame included.

    At a constant frame rate this is the `linspace(...).round()` of qwen-vl-utils.
    """
    if count >= len(inside):
        return tuple(inside)
    if count == 1:
        return (inside[len(inside) // 2],)
    first, last = times[inside[0]], times[inside[-1]]
    moments = (first + (last - first) * step / (count - 1) for step in range(count))
    chosen = (_nearest(times, moment, inside) for moment in moments)
    return tuple(dict.fromkeys(chosen))


def _nearest(times: Sequence[float], moment: float, inside: range) -> int:
    """The frame with the nearest time; of two equally near ones, the one with an even index."""
    after = min(max(bisect_left(times, moment), inside[0]), inside[-1])
    before = max(after - 1, inside[0])
    behind, ahead = moment - times[before], times[after] - moment
    if abs(behind - ahead) < 1e-6 * (times[after] - times[before]):
        return before if before % 2 == 0 else after
    return before if behind < ahead else after


def _shown_at(moments: Sequence[float], times: Sequence[float], inside: range) -> tuple[int, ...]:
    """The frames that are shown at these moments."""
    length = (times[-1] - times[0]) / max(1, len(times) - 1)
    late = next((moment for moment in moments if moment > times[-1] + length), None)
    if late is not None:
        raise VideoTimingError(
            f"timestamps_seconds holds {late:g} s", expected=f"times up to {times[-1]:g} s"
        )
    shown = dict.fromkeys(max(0, bisect_right(times, moment + 1e-6) - 1) for moment in moments)
    chosen = tuple(index for index in shown if index in inside)
    if not chosen:
        raise VideoTimingError(
            "none of timestamps_seconds lies between start and end", expected="at least one"
        )
    return chosen


def _thin(indices: Sequence[int], count: int | None) -> tuple[int, ...]:
    """At most `count` of the indices, evenly spread."""
    if count is None or count >= len(indices):
        return tuple(indices)
    if count == 1:
        return (indices[len(indices) // 2],)
    step = (len(indices) - 1) / (count - 1)
    return tuple(indices[round(position * step)] for position in range(count))


def _check_timestamps(times: Sequence[float], num_frames: int) -> tuple[float, ...]:
    if len(times) != num_frames:
        raise VideoTimingError(
            f"{num_frames} frames came with {len(times)} timestamps", expected="one per frame"
        )
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise VideoTimingError("the timestamps do not rise", expected="each after the one before")
    return tuple(times)
