"""Frame sources: cameras, streams and played files that a watch takes its frames from."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from qwenvl_kit.errors import InputError, MediaForbiddenError, MediaSourceError
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.policy import DEFAULT_POLICY, MediaPolicy
from qwenvl_kit.media.sources import resolve_source
from qwenvl_kit.media.video_streams import VideoFeed

MAX_LONG_EDGE_PX = 1280
"""The longer side to which larger frames are reduced."""

_PROTOCOLS = {
    "rtsp": "rtp,rtsp,tcp,udp,udplite",
    "rtsps": "rtp,rtsps,rtsp,tls,tcp,udp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
    "http": "http,tcp,hls,crypto",
    "https": "https,tls,tcp,hls,crypto",
}
"""The protocols that FFmpeg may use for a URL, and no others: a playlist cannot name a local
file."""

_READ_IN_TWO_WAYS = re.compile(r"[\s\\]|//[^/?#]*[/?#].*@")
"""URLs in which part of the user name could be taken for the host or for the path."""


@dataclass(frozen=True)
class LiveFrame:
    """A frame of a live source.

    Attributes:
        image: the picture: a Pillow image, or an array of shape (height, width, 3).
        captured_at: the wall-clock time at which it came, with time zone.
        seconds: the time at which it is shown, in seconds from the first frame.
    """

    image: Any
    captured_at: datetime
    seconds: float


@runtime_checkable
class FrameSource(Protocol):
    """A source of frames that can be watched.

    Write a class with these two methods for a source that the kit cannot read.
    """

    def frames(self, max_fps: float) -> Iterator[LiveFrame]:
        """Yield frames as they come, with rising `seconds`; stop at the end of the source.

        Args:
            max_fps: the most frames per second that are of use.

        Raises:
            MediaError: the source cannot be opened, or breaks off.
        """

    def close(self) -> None:
        """Release the source and end `frames`. It is called from another thread, maybe twice."""


@dataclass
class _PlayedSource:
    """A source that FFmpeg plays in a process of its own."""

    def frames(self, max_fps: float) -> Iterator[LiveFrame]:
        """See `FrameSource`."""
        self._feed = self._open(max_fps)
        for frame in self._feed:
            yield LiveFrame(frame.image, datetime.now(timezone.utc), frame.seconds)

    def close(self) -> None:
        """See `FrameSource`."""
        feed: VideoFeed | None = getattr(self, "_feed", None)
        if feed is not None:
            feed.close()

    def _open(self, max_fps: float) -> VideoFeed:
        raise NotImplementedError


@dataclass
class FileSource(_PlayedSource):
    """A video file, played at its own speed or faster.

    Attributes:
        path: the file.
        speed: the factor by which it is played faster; intervals and windows stay in the film's own
            time.
        policy: the rules for opening it; a chat that watches the file applies its own policy, too.

    Raises:
        InputError: the speed is no number above 0.
        MediaError: there is no such file, or the policy refuses it.
    """

    path: str | os.PathLike[str]
    speed: float = 1.0
    policy: MediaPolicy = field(default=DEFAULT_POLICY, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.speed, (int, float)) or not 0 < self.speed < float("inf"):
            raise InputError(f"speed={self.speed!r} was given", expected="a number above 0")
        opened = resolve_source(self.path, self.policy)
        if not isinstance(opened, Path):
            raise MediaSourceError(
                f"a video of type {type(self.path).__name__} was given as a source to play",
                expected="the path of a video file",
            )
        self._path = str(opened)

    def _open(self, max_fps: float) -> VideoFeed:
        return VideoFeed(
            self._path,
            self._path,
            speed=self.speed,
            max_fps=max_fps,
            max_long_edge_px=MAX_LONG_EDGE_PX,
        )


@dataclass
class CameraSource(_PlayedSource):
    """A camera of this machine.

    Attributes:
        device: its number, or its name: `/dev/video0`, on Windows `video=Integrated Camera`.
        size: the size that it is asked for, such as "1280x720"; None takes the camera's default.
    """

    device: int | str = 0
    size: str | None = None

    def _open(self, max_fps: float) -> VideoFeed:
        system = platform.system()
        number = isinstance(self.device, int)
        formats = {"Linux": "v4l2", "Darwin": "avfoundation", "Windows": "dshow"}
        target = f"/dev/video{self.device}" if number and system == "Linux" else str(self.device)
        return VideoFeed(
            target,
            f"the camera {target}",
            input_format=formats.get(system, "v4l2"),
            options={} if self.size is None else {"video_size": self.size},
            max_fps=max_fps,
            max_long_edge_px=MAX_LONG_EDGE_PX,
        )


@dataclass
class StreamSource(_PlayedSource):
    """A stream on the network: RTSP, RTMP, HLS or plain HTTP.

    A URL is opened only if its host is in `allow_hosts`. Allow only hosts that you trust: a host
    may redirect the player to other machines.

    Example:
        StreamSource("rtsp://camera.local/live", allow_hosts=["camera.local"])

    Attributes:
        url: the URL; a password in it is never shown.
        allow_hosts: the hosts that may be opened.

    Raises:
        MediaSourceError: it is no URL of a stream.
        MediaForbiddenError: its host is not in `allow_hosts`.
    """

    url: str = field(repr=False)
    allow_hosts: Sequence[str] = ()

    def __post_init__(self) -> None:
        scheme, self._host = _parts_of(self.url)
        if self._host and _READ_IN_TWO_WAYS.search(self.url):
            raise MediaSourceError(
                "the URL of the stream is ambiguous",
                expected="a host that ends at the first slash, and a password in percent escapes",
            )
        if scheme not in _PROTOCOLS:
            raise MediaSourceError(
                f"a stream with scheme {scheme[:20]!r} was given",
                expected=f"one of {', '.join(_PROTOCOLS)}",
            )
        hosts = [self.allow_hosts] if isinstance(self.allow_hosts, str) else self.allow_hosts
        if self._host not in {host.lower() for host in hosts}:
            raise MediaForbiddenError(
                f"the stream is on the network ({scheme}://{self._host})",
                expected="a host that is in allow_hosts",
                hint=f"StreamSource(url, allow_hosts=[{self._host!r}]) if you trust it",
            )
        self._protocols = _PROTOCOLS[scheme]

    def _open(self, max_fps: float) -> VideoFeed:
        return VideoFeed(
            self.url,
            f"the stream of {self._host}",
            options={"protocol_whitelist": self._protocols, "rtsp_transport": "tcp"},
            max_fps=max_fps,
            max_long_edge_px=MAX_LONG_EDGE_PX,
        )


class _IterableSource:
    """Frames from the caller's own iterator, each a picture or a `LiveFrame`."""

    def __init__(self, frames: Iterable[Any], policy: MediaPolicy) -> None:
        self._frames = frames
        self._policy = policy
        self._is_closed = False

    def frames(self, max_fps: float) -> Iterator[LiveFrame]:
        """See `FrameSource`."""
        started = time.monotonic()
        for given in self._frames:
            if self._is_closed:
                return
            frame = given
            if not isinstance(given, LiveFrame):
                seconds = time.monotonic() - started
                frame = LiveFrame(given, datetime.now(timezone.utc), seconds)
            yield LiveFrame(reduced(frame.image, self._policy), frame.captured_at, frame.seconds)

    def close(self) -> None:
        """See `FrameSource`."""
        self._is_closed = True


def reduced(image: Any, policy: MediaPolicy) -> Any:
    """A copy of a picture whose longer side is at most `MAX_LONG_EDGE_PX`."""
    picture = decode_image(image, policy).copy()
    picture.thumbnail((MAX_LONG_EDGE_PX, MAX_LONG_EDGE_PX))
    return picture


def as_source(source: Any, policy: MediaPolicy) -> FrameSource:
    """Make a frame source of the caller's argument, within the policy of the chat.

    Raises:
        MediaSourceError: it cannot be watched.
        MediaForbiddenError: it is a URL, which must be given as a `StreamSource`.
        MediaNotFoundError: there is no such file.
    """
    if isinstance(source, FileSource):
        return replace(source, policy=policy)
    if isinstance(source, FrameSource):
        return source
    if isinstance(source, int) and not isinstance(source, bool):
        return CameraSource(source)
    if isinstance(source, (str, os.PathLike)):
        return _named_source(os.fspath(source), policy)
    if isinstance(source, Iterable) and not isinstance(source, (bytes, bytearray, memoryview)):
        return _IterableSource(source, policy)
    raise MediaSourceError(
        f"a source of type {type(source).__name__} was given",
        expected="a video file, the number of a camera, a StreamSource, or an iterator of frames",
    )


def _named_source(name: str, policy: MediaPolicy) -> FrameSource:
    if name.startswith(("/dev/video", "video=")):
        return CameraSource(name)
    if _parts_of(name)[0] in _PROTOCOLS:
        return StreamSource(name)  # raises, and says what is missing
    return FileSource(name, policy=policy)


def _parts_of(url: str) -> tuple[str, str]:
    """Scheme and host of a URL, in lower case."""
    try:
        parts = urlsplit(url)
        return parts.scheme.lower(), (parts.hostname or "").lower()
    except ValueError:
        return "", ""
