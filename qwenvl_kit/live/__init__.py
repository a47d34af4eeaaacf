"""Live video: a question that is asked again and again about a camera, a stream or a film."""

from qwenvl_kit.live.events import WatchEvent
from qwenvl_kit.live.frame_sources import (
    CameraSource,
    FileSource,
    FrameSource,
    LiveFrame,
    StreamSource,
)
from qwenvl_kit.live.watch import Watch

__all__ = [
    "CameraSource",
    "FileSource",
    "FrameSource",
    "LiveFrame",
    "StreamSource",
    "Watch",
    "WatchEvent",
]
