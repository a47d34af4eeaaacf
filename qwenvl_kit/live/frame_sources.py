"""Where frames come from while one watches."""

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
"""Frames are reduced to it as they come."""

_PROTOCOLS = {
    "rtsp": "rtp,rtsp,tcp,udp,udplite",
    "rtsps": "rtp,rtsps,rtsp,tls,tcp,udp",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tls,tcp",
    "http": "http,tcp,hls,crypto",
    "https": "https,tls,tcp,hls,crypto",
}
"""What FFmpeg may use for an address, and nothing else: a playlist cannot name a local file."""

_READ_IN_TWO_WAYS = re.compile(r"[\s\\]|//[^/?#]*[/?#].*@")
"""Of which a part of the user's name could be taken for the host, or for the path."""


@dataclass(frozen=True)
class LiveFrame:
    """A frame as it came in.

    Attributes:
        image: its picture: a Pillow image, or an array (height, width, 3).
        captured_at: when it came, by the clock on the wall, with a time zone.
        seconds: when it was shown, from the first frame on.
    """

    image: Any
    captured_at: datetime
    seconds: float


@runtime_checkable
class FrameSource(Protocol):
    """What can be watched. Write your own for what none of these reads."""

    def frames(self, max_fps: float) -> Iterator[LiveFrame]:
        """Frames as they come, `seconds` rising; ends where the source ends.

        Args:
            max_fps: more frames of a second are of no use.

        Raises:
            MediaError: the source cannot be opened, or breaks off.
        """

    def close(self) -> None:
        """Release the source, and have `frames` end; called from another thread, maybe twice."""


@dataclass
class _PlayedSource:
    """What FFmpeg plays in a process of its own."""

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
    """A video file, played at the speed at which it was taken, or faster.

    Attributes:
        path: the file.
        speed: how much faster; intervals and windows are in the film's own time.
        policy: what may be opened; a chat that watches it judges it by its own, too.

    Raises:
        InputError: the speed is not a number above 0.
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
                f"a film of type {type(self.path).__name__} was given to be played",
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
        size: the size to ask it for, such as "1280x720"; None takes its own.
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

    Addresses are opened only if their host is named. Name none that you do not trust: it may send
    the player on to other machines.

    Attributes:
        url: its address; a password in it is never shown.
        allow_hosts: the hosts that may be opened.

    Raises:
        MediaSourceError: it is no address of a stream.
        MediaForbiddenError: its host is not among `allow_hosts`.
    """

    url: str = field(repr=False)
    allow_hosts: Sequence[str] = ()

    def __post_init__(self) -> None:
        scheme, self._host = _parts_of(self.url)
        if self._host and _READ_IN_TWO_WAYS.search(self.url):
            raise MediaSourceError(
                "the address of the stream can be read in two ways",
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
                expected="a host that is allowed by name",
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
    """Frames that somebody else's code gives, each a picture or a `LiveFrame`."""

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
    """A picture of which the longer side is within `MAX_LONG_EDGE_PX`, no longer shared."""
    picture = decode_image(image, policy).copy()
    picture.thumbnail((MAX_LONG_EDGE_PX, MAX_LONG_EDGE_PX))
    return picture


def as_source(source: Any, policy: MediaPolicy) -> FrameSource:
    """A source from whatever a caller wrote, as far as the policy of who watches admits it.

    Raises:
        MediaSourceError: nothing that can be watched.
        MediaForbiddenError: an address on the network, which must be a `StreamSource`.
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
        return StreamSource(name)  # which says what is missing
    return FileSource(name, policy=policy)


def _parts_of(url: str) -> tuple[str, str]:
    """Scheme and host of an address, in small letters."""
    try:
        parts = urlsplit(url)
        return parts.scheme.lower(), (parts.hostname or "").lower()
    except ValueError:
        return "", ""
