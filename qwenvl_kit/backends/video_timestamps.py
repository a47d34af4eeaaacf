"""Chosen frames as engines number them, who want a rate and indices where there are times."""

from __future__ import annotations

from collections.abc import Sequence

CLOCK_HERTZ = 1_000_000
"""Frames are numbered by the microsecond at which they are shown, whatever rate they come at."""


def ticks(times: Sequence[float]) -> list[int]:
    """The number of each frame."""
    return [round(seconds * CLOCK_HERTZ) for seconds in times]


def num_ticks(times: Sequence[float]) -> int:
    """How many ticks a video has that shows so many frames at their mean rate.

    Qwen2.5-VL's processor takes from it how long a group of frames lasts (`sampled_fps` of
    transformers' `VideoMetadata`).
    """
    lasts = times[-1] - times[0]
    between = lasts / (len(times) - 1) if lasts else 1.0
    return max(round(len(times) * between * CLOCK_HERTZ), ticks(times)[-1] + 1, len(times))
