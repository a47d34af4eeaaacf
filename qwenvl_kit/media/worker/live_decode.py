"""Live decoding: frames of a file, camera or stream as it plays, in the decoding process."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import av
import numpy

from qwenvl_kit.errors import MediaDecodeError
from qwenvl_kit.media.worker.video_index import video_stream

_MAX_PIXELS = str(128 * 2**20)
"""Largest frame, as in a default `MediaPolicy`."""

_LATE_SECONDS = 1.0
"""Frames that are later than this by the clock are skipped."""


def play(request: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield frames as they are shown, at most `max_fps` a second, reduced to `max_long_edge_px`.

    A file is held back to its own times, divided by `speed`. A camera or stream has no speed, and
    gives its frames as they come.

    Raises:
        MediaDecodeError: it cannot be opened, or breaks off.
    """
    try:
        container = av.open(
            request["target"],
            format=request["format"],
            options={"max_pixels": _MAX_PIXELS, **request["options"]},
        )
    except Exception as error:  # demuxers and devices raise nearly anything
        raise MediaDecodeError(f"{request['name']} cannot be opened ({_reason(error)})") from error
    with container:
        stream = video_stream(container, request["name"])
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"max_pixels": _MAX_PIXELS}
        try:
            yield from _shown(container.decode(stream), request)
        except av.FFmpegError as error:
            raise MediaDecodeError(f"{request['name']} broke off ({_reason(error)})") from error


def _shown(
    frames: Iterator[Any], request: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], Any]]:
    clock = _Clock(request["speed"])
    last = -math.inf
    for frame in frames:
        seconds = clock.wait_for(frame)
        slot = math.floor(seconds * request["max_fps"] + 1e-6)
        if slot <= last or clock.is_late:
            continue
        last = slot
        pixels = _reduced(frame, request["max_long_edge_px"])
        height, width, _ = pixels.shape
        facts = {"seconds": seconds, "height": height, "width": width}
        yield {**facts, "rotation": round(frame.rotation / 90) * 90 % 360}, pixels.data


class _Clock:
    """The clock of a source: the time of each frame; a file waits for it.

    Args:
        speed: the speed of a file, in multiples of its own; None for a live source.
    """

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._started: float | None = None
        self._first = 0.0
        self.is_late = False

    def wait_for(self, frame: Any) -> float:
        """Wait until a frame is shown; return its seconds from the first frame on."""
        now = time.monotonic()
        shown = frame.time
        if self._started is None:
            self._started, self._first = now, shown or 0.0
        if self._speed is None or shown is None:
            return now - self._started
        seconds = float(shown - self._first)
        ahead = self._started + seconds / self._speed - now
        self.is_late = ahead < -_LATE_SECONDS
        time.sleep(max(0.0, ahead))
        return seconds


def _reduced(frame: Any, max_long_edge_px: int) -> Any:
    """The pixels of a frame, uint8 (height, width, 3), with its longer side within the limit."""
    scale = min(1.0, max_long_edge_px / max(frame.width, frame.height))
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    small = frame.reformat(width, height, "rgb24", interpolation="AREA")
    return numpy.ascontiguousarray(small.to_ndarray())


def _reason(error: Exception) -> str:
    """The reason of a failure, without the address, which may contain a password."""
    return getattr(error, "strerror", None) or type(error).__name__
