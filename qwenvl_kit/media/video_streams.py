"""Video streams: frames of files, cameras and streams as they play, from a decoding process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qwenvl_kit.media.isolation.process_pool import DecoderProcess

if TYPE_CHECKING:
    import PIL.Image


@dataclass(frozen=True)
class PlayedFrame:
    """A frame that has just been shown.

    Attributes:
        image: its pixels, upright, RGB.
        seconds: its time, from the first frame on.
    """

    image: PIL.Image.Image
    seconds: float


@dataclass
class VideoFeed:
    """One source that plays once, in a decoding process; iterate over its frames.

    Attributes:
        target: the file, device or address that FFmpeg opens.
        name: its name in messages.
        input_format: FFmpeg's name of the device or format; None to detect it.
        options: options for FFmpeg.
        speed: the speed of a file, in multiples of its own; None for a live source.
        max_fps: most frames per second that are sent.
        max_long_edge_px: longest side of the frames that are sent.
    """

    target: str
    name: str
    input_format: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    speed: float | None = None
    max_fps: float = 2.0
    max_long_edge_px: int = 1280

    def __post_init__(self) -> None:
        self._process: DecoderProcess | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[PlayedFrame]:
        """Yield the frames, until the source ends or is closed.

        Raises:
            MediaDecodeError: it cannot be opened, or breaks off.
        """
        import numpy
        import PIL.Image

        process = self._start()
        if process is None:
            return
        for facts, payload in process.ask(self._request(), threading.TIMEOUT_MAX):
            stored = numpy.frombuffer(payload, numpy.uint8)
            stored = stored.reshape(facts["height"], facts["width"], 3)
            upright = numpy.rot90(stored, facts["rotation"] // 90)
            yield PlayedFrame(PIL.Image.fromarray(upright.copy()), facts["seconds"])

    def close(self) -> None:
        """End the process and release the source; may be called from any thread, and again."""
        with self._lock:
            self._is_closed = True
            if self._process is not None:
                self._process.close()

    def _start(self) -> DecoderProcess | None:
        with self._lock:
            if self._is_closed:
                return None
            self._process = DecoderProcess()
            return self._process

    def _request(self) -> dict[str, object]:
        return {
            "kind": "play",
            "target": self.target,
            "name": self.name,
            "format": self.input_format,
            "options": dict(self.options),
            "speed": self.speed,
            "max_fps": self.max_fps,
            "max_long_edge_px": self.max_long_edge_px,
        }
