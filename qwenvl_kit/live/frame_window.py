"""Which frames of the last seconds are kept: few, evenly spread, and the newest."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from qwenvl_kit.live.frame_sources import LiveFrame

_ROUNDING = 1e-6
"""A frame that comes exactly at the beginning of a slot must not fall before it."""


class FrameWindow:
    """A rolling budget of frames.

    Time is divided into as many slots a window as there may be frames; the first frame of each is
    kept, and the newest is always at hand. So memory is that of `max_frames` frames and two more,
    however many a source gives.

    Args:
        window_seconds: how far back it reaches.
        max_frames: most frames that it gives.
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
        """When the newest frame came; None before the first."""
        return None if self._newest is None else self._newest.seconds

    def add(self, frame: LiveFrame) -> None:
        """Take a frame that came after all before it; one that did not is passed over."""
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
        """The frames, oldest first; at most as many as allowed, the newest among them."""
        kept = list(self._kept)
        if self._newest is not None and (not kept or kept[-1] is not self._newest):
            kept.append(self._newest)
        return kept[-self._max_frames :]
