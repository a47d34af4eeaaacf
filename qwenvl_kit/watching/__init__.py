"""Questions asked again and again about what a camera, a stream or a film shows as it plays."""

from qwenvl_kit.watching.events import WatchEvent
from qwenvl_kit.watching.sources import (
    CameraSource,
    FileSource,
    FrameSource,
    LiveFrame,
    StreamSource,
)
from qwenvl_kit.watching.watch import Watch

__all__ = [
    "CameraSource",
    "FileSource",
    "FrameSource",
    "LiveFrame",
    "StreamSource",
    "Watch",
    "WatchEvent",
]
