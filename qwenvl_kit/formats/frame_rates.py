"""Frame rates and numbers of frames, as guides write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwenvl_kit.errors import VideoTimingError
from qwenvl_kit.formats.numbers import read_number
from qwenvl_kit.media.frame_sequences import is_sequence

_ASSUMED_FPS = 2.0
"""The rate that qwen-vl-utils assumes for frames without one (`sample_fps` of `fetch_video`)."""

TIMING_KEYS = (
    *("fps", "sample_fps", "raw_fps", "nframes", "num_frames", "min_frames", "max_frames"),
    *("video_start", "video_end", "timestamps_seconds"),
)


class AssumedRate(float):
    """A frame rate that was assumed, as none was given; plans and replies say so."""


def read_timing(item: Mapping[str, Any], source: Any) -> dict[str, Any]:
    """The arguments of a `VideoPart` for the choice of frames and their times.

    Args:
        item: a dict of Qwen's guides. Rates may be strings, as in the README of Qwen3-VL, or lists
            of one, as processors give them.
        source: its film or frames.

    Raises:
        VideoTimingError: a string is no number.
    """
    number = {
        name: read_number(name, item[name], VideoTimingError)
        for name in TIMING_KEYS[:-1]
        if name in item
    }
    num_frames = number.get("nframes")
    return {
        "fps": _rate(number, source, has_times=item.get("timestamps_seconds") is not None),
        "num_frames": number.get("num_frames") if num_frames is None else num_frames,
        "min_frames": number.get("min_frames"),
        "max_frames": number.get("max_frames"),
        "start_seconds": number.get("video_start"),
        "end_seconds": number.get("video_end"),
        "timestamps_seconds": item.get("timestamps_seconds"),
    }


def _rate(number: Mapping[str, Any], source: Any, *, has_times: bool) -> Any:
    """The frames per second. `raw_fps` is not used: it is that of the film the frames come from."""
    names = ["fps", "sample_fps"]
    is_frames = is_sequence(source)
    if is_frames:  # qwen-vl-utils reads sample_fps first
        names.reverse()
    given = next((number[name] for name in names if number.get(name) is not None), None)
    return AssumedRate(_ASSUMED_FPS) if given is None and is_frames and not has_times else given
