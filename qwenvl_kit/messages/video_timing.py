"""Checks of the times, rates and frame counts by which a video is sampled."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

from qwenvl_kit.errors import VideoTimingError
from qwenvl_kit.safe_text import shown_source


def check_times(
    *,
    fps: float | None,
    timestamps_seconds: tuple[float, ...] | None,
    start_seconds: float | None,
    end_seconds: float | None,
) -> None:
    """Raise an error if a rate or a time is out of range.

    Raises:
        VideoTimingError: one of them is out of range, or two contradict each other.
    """
    if fps is not None and timestamps_seconds is not None:
        raise VideoTimingError("both fps and timestamps_seconds were given", expected="one of them")
    if fps is not None and not (_is_finite(fps) and fps > 0):
        raise VideoTimingError(f"fps={fps!r} was given", expected="a number above 0")
    for name, value in (("start_seconds", start_seconds), ("end_seconds", end_seconds)):
        if value is not None and not (_is_finite(value) and value >= 0):
            raise VideoTimingError(f"{name}={value!r} was given", expected="a number of at least 0")
    if (start_seconds or 0.0) >= (math.inf if end_seconds is None else end_seconds):
        raise VideoTimingError(
            f"start_seconds={start_seconds}, end_seconds={end_seconds} were given",
            expected="a start before the end",
        )


def check_frame_counts(
    *, min_frames: int | None, num_frames: int | None, max_frames: int | None
) -> None:
    """Raise an error if a number of frames is no count, or the minimum is above the maximum.

    Raises:
        VideoTimingError: one of them is not a whole number above 0, or two contradict each other.
    """
    counts = {"min_frames": min_frames, "num_frames": num_frames, "max_frames": max_frames}
    given = [(name, value) for name, value in counts.items() if value is not None]
    for name, value in given:
        if not is_count(value):
            raise VideoTimingError(f"{name}={value!r} was given", expected="a whole number above 0")
    for (low, least), (high, most) in pairwise(given):
        if least > most:
            raise VideoTimingError(
                f"{low}={least} and {high}={most} were given", expected=f"{low} up to {high}"
            )


def as_times(given: Any) -> tuple[float, ...]:
    """Return times in seconds as a tuple of floats.

    Raises:
        VideoTimingError: one of them is not a finite number.
    """
    times = tuple(given) if isinstance(given, Iterable) else (None,)
    if not all(map(_is_finite, times)):
        raise VideoTimingError(
            f"timestamps_seconds={shown_source(given)} was given", expected="one number per frame"
        )
    return tuple(map(float, times))


def is_count(value: object) -> bool:
    """True if a value is a whole number above 0; integers of NumPy are accepted too."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _is_finite(value: object) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):  # NumPy's numbers are real too
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False
