"""The timestamps of chosen frames as the frame rate and frame indices that engines expect."""

from __future__ import annotations

from collections.abc import Sequence

CLOCK_HERTZ = 1_000_000
"""The frame rate. A frame's index is thus the microsecond at which it is shown."""


def ticks(times: Sequence[float]) -> list[int]:
    """The index of each frame: its time in microseconds."""
    return [round(seconds * CLOCK_HERTZ) for seconds in times]


def num_ticks(times: Sequence[float]) -> int:
    """The length in ticks of a video that shows these frames at their mean rate.

    Qwen2.5-VL's processor computes from it the duration of a group of frames (`sampled_fps` of
    transformers' `VideoMetadata`).
    """
    lasts = times[-1] - times[0]
    between = lasts / (len(times) - 1) if lasts else 1.0
    return max(round(len(times) * between * CLOCK_HERTZ), ticks(times)[-1] + 1, len(times))
