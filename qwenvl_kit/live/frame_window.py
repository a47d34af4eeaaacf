"""The frame window: a few frames of the last seconds, evenly spread, and the newest one."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from qwenvl_kit.live.frame_sources import LiveFrame

_ROUNDING = 1e-6
"""A tolerance: a frame that comes exactly at the beginning of a slot must not fall before it."""


class FrameWindow:
    """A sliding window of frames, with a limit on their number.

    The window is divided into `max_frames` equal slots of time. It keeps the first frame of each
    slot, and the newest frame. So it holds at most `max_frames` + 2 frames in memory, at any frame
    rate of the source.

    Args:
        window_seconds: the length of the window.
        max_frames: the most frames that `frames` returns.
    """

    def __init__(self, window_seconds: float, max_frames: int) -> None:
        self._window_seconds = window_seconds
        self._spacing_seconds = window_seconds / max_frames
        self._max_frames = max_frames
        self._kept: deque[LiveFrame] = deque()
        self._slot = -math.inf
        self._newest: LiveFrame | None = None

    @property
    def newest_seconds(self) -> float | None:
        """The time of the newest frame; None before the first."""
        return None if self._newest is None else self._newest.seconds

    def add(self, frame: LiveFrame) -> None:
        """Add a frame; one that is not newer than all before it is ignored."""
        if self._newest is not None and frame.seconds <= self._newest.seconds:
            return
        self._newest = frame
        slot = math.floor(frame.seconds / self._spacing_seconds + _ROUNDING)
        if slot > self._slot:
            self._slot = slot
            self._kept.append(frame)
        while self._kept and self._kept[0].seconds <= frame.seconds - self._window_seconds:
            self._kept.popleft()

    def frames(self) -> Sequence[LiveFrame]:
        """The frames, oldest first: at most `max_frames`, the newest among them."""
        kept = list(self._kept)
        if self._newest is not None and (not kept or kept[-1] is not self._newest):
            kept.append(self._newest)
        return kept[-self._max_frames :]
