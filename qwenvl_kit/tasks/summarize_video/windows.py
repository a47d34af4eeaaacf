"""Windows: the parts of a video that are asked about one by one. Pure arithmetic on frames."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from qwenvl_kit.errors import VideoTimingError
from qwenvl_kit.messages.message import VideoPart
from qwenvl_kit.messages.subtitles import Subtitle
from qwenvl_kit.plans import VideoPlan


@dataclass(frozen=True)
class Footage:
    """The frames that are shown of a video.

    Attributes:
        part: the video as it was given.
        frame_indices: the indices of these frames in the video, in order.
        times_seconds: the time of each frame, from the first frame of the video on.
        is_file: True if the video is a file, False if it is a sequence of frames.
    """

    part: VideoPart
    frame_indices: tuple[int, ...]
    times_seconds: tuple[float, ...]
    is_file: bool

    @classmethod
    def from_plan(cls, part: VideoPart, plan: VideoPlan) -> Footage:
        """The frames that were chosen by a plan of the whole video."""
        is_file = plan.duration_seconds is not None
        return cls(part, plan.frame_indices, plan.timestamps_seconds, is_file)

    @property
    def num_frames(self) -> int:
        """The number of frames."""
        return len(self.frame_indices)

    def cut(self, window: range) -> VideoPart:
        """The part that shows only the frames of a window, at their times in the whole video."""
        times = self.times_seconds[window.start : window.stop]
        if self.is_file:
            cleared = {"fps": None, "num_frames": None, "min_frames": None, "max_frames": None}
            return replace(self.part, **cleared, timestamps_seconds=times)  # type: ignore[arg-type]
        source: Sequence[object] = self.part.source  # type: ignore[assignment]
        frames = [source[index] for index in self.frame_indices[window.start : window.stop]]
        return VideoPart(
            frames,  # type: ignore[arg-type]
            timestamps_seconds=times,
            budget=self.part.budget,
            subtitles=self._lines(times),
            max_subtitle_tokens=self.part.max_subtitle_tokens,
        )

    def _lines(self, times: Sequence[float]) -> tuple[Subtitle, ...] | None:
        """The subtitles of a window of frames; they must have been read before."""
        lines = self.part.subtitles
        if not isinstance(lines, tuple):
            return None
        within = (
            line
            for line in lines
            if line.start_seconds <= times[-1] and line.end_seconds >= times[0]
        )
        return tuple(within) or None

    def span(self, window: range) -> tuple[float, float]:
        """Start and end of a window in seconds; there are no gaps between windows.

        A window ends with its last frame, which is the first frame of the next window. A window of
        a single frame ends with the next frame.
        """
        last = window.stop - 1 if len(window) > 1 else min(window.stop, self.num_frames - 1)
        return self.times_seconds[window.start], self.times_seconds[last]


def split_evenly(num_frames: int, num_windows: int) -> tuple[range, ...]:
    """Split frames into windows whose sizes differ by one at most; neighbours share a frame.

    The shared frame lets a model see what happens between two windows. If there are as many windows
    as frames, each window is one frame, and none is shared.

    Args:
        num_frames: at least 1.
        num_windows: at least 1; a number above `num_frames` counts as `num_frames`.
    """
    if num_windows >= num_frames:
        return tuple(range(index, index + 1) for index in range(num_frames))
    bounds = [k * (num_frames - 1) // num_windows for k in range(num_windows + 1)]
    return _between(bounds)


def split_at_times(times_seconds: Sequence[float], window_seconds: float) -> tuple[range, ...]:
    """Split frames into windows of a length in seconds; neighbours share a frame.

    A window begins at the frame that is nearest to its start. The last window may be shorter.

    Args:
        times_seconds: the times of the frames, in rising order.
        window_seconds: the length of a window, above 0.

    Raises:
        VideoTimingError: the windows would be shorter than the time between two frames.
    """
    first, last = times_seconds[0], times_seconds[-1]
    if window_seconds >= last - first:
        return (range(len(times_seconds)),)
    spacing_seconds = (last - first) / (len(times_seconds) - 1)
    if window_seconds < spacing_seconds * (1 - 1e-6):
        raise VideoTimingError(
            f"window_seconds={window_seconds:g} was given, and the frames are "
            f"{spacing_seconds:g} s apart",
            expected="windows that hold two frames or more",
            hint="longer windows, or a higher fps",
        )
    num_bounds = math.ceil((last - first) / window_seconds)
    bounds = [_nearest(times_seconds, first + k * window_seconds) for k in range(num_bounds)]
    return _between(sorted({*bounds, len(times_seconds) - 1}))


def smallest_fitting(most: int, fits: Callable[[int], bool], guess: int) -> int | None:
    """The smallest number from 1 to `most` that fits, or None if none does.

    It assumes that all numbers above one that fits do fit, too, and calls `fits` few times if the
    guess is good. The result has always been tested, even if the assumption is wrong.

    Args:
        most: at least 1.
        fits: returns True if a number fits.
        guess: the number to test first; may be out of range.
    """
    low, high = _enclose(most, fits, min(max(guess, 1), most))
    if high > most:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def _enclose(most: int, fits: Callable[[int], bool], start: int) -> tuple[int, int]:
    """A number that does not fit (or 0), and a larger one that does (or `most` + 1)."""
    step = 1
    if fits(start):
        high = start
        while high > 1 and fits(max(1, high - step)):
            high, step = max(1, high - step), 2 * step
        return max(0, high - step), high
    low = start
    while low < most and not fits(min(most, low + step)):
        low, step = min(most, low + step), 2 * step
    return (low, min(most, low + step)) if low < most else (most, most + 1)


def _between(bounds: Sequence[int]) -> tuple[range, ...]:
    return tuple(range(start, end + 1) for start, end in pairwise(bounds))


def _nearest(times: Sequence[float], moment: float) -> int:
    after = min(bisect_left(times, moment), len(times) - 1)
    before = max(0, after - 1)
    return before if moment - times[before] <= times[after] - moment else after
