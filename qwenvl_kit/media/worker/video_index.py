"""The index of a video file: its frames and their times, from its packets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import av
from av.stream import Disposition

from qwenvl_kit.errors import (
    MediaDecodeError,
    MediaNotFoundError,
    MediaSizeError,
    VideoTimingError,
)
from qwenvl_kit.geometry import Size
from qwenvl_kit.media.signatures import HEAD_BYTES, picture_format

_FORMATS = (
    "3g2,3gp,apng,asf,av1,avi,dv,flv,gif,h261,h263,h264,hevc,ivf,m4a,m4v,matroska,mj2,mjpeg,mov,"
    "mp4,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,vc1,vvc,webm,wtv,yuv4mpegpipe,"
    "aac,flac,mp3,wav"
)
"""FFmpeg's demuxers that are tried. Playlists (HLS, DASH, concat, SDP) are left out, as they could
show other files, and so are single pictures, which are no videos. The last line is of sound, so
that a song is reported as one."""


_MISSING_SHARE = 0.05
_MISSING_SECONDS = 1.0
"""A video that ends so much earlier than its header says may have been cut off."""

_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One packet, which holds one frame, in decoding order.

    Attributes:
        pts: the time at which the frame is shown, in units of the stream's time base; in a file
            without times, its position among the frames.
        num_bytes: the bytes before it in the file that belong to this stream.
        is_key: True if decoding may begin here.
        is_shown: True if it is shown; an edit list may need frames only to decode others.
    """

    pts: int
    num_bytes: int
    is_key: bool
    is_shown: bool


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a file.

    Attributes:
        size: the size of a frame, upright and with square pixels.
        rotation: degrees by which a decoded frame is turned to the left to stand upright.
        entries: its packets in decoding order.
        shown: the `pts` of the frames that are shown, in that order.
        times_seconds: the time of each of them, from the first on.
        missing_seconds: seconds that the header promises and the file lacks; 0 if it is whole.
        has_pts: True if frames are identified by their times, False if by their order.
        max_pixels: most pixels of a frame that is decoded, also if the first frames have fewer.
        begins_seconds: the time of the first frame in the file, whose other tracks count from 0.
    """

    size: Size
    rotation: int
    entries: Sequence[Entry]
    shown: Sequence[int]
    times_seconds: Sequence[float]
    missing_seconds: float
    has_pts: bool
    max_pixels: int
    begins_seconds: float = 0.0


def scan(path: str, max_pixels: int) -> VideoIndex:
    """Index the frames of a video file: every packet is read, and only the first frame is decoded.

    PyAV reports the rotation of a video by its frames only, which is why one is decoded. A video
    that was cut out of another may begin with frames that cannot be decoded; times count from the
    first frame that can be.

    Args:
        path: the file.
        max_pixels: most pixels of a frame that is decoded.

    Raises:
        MediaNotFoundError: there is no such file, or it may not be read.
        MediaDecodeError: it is no video, or damaged.
        MediaSizeError: its frames are larger than `max_pixels`.
        VideoTimingError: it has neither times nor a rate.
    """
    with open_video(path, max_pixels) as (container, stream):
        check_pixels(stream.codec_context, max_pixels)
        entries, has_pts = _entries(container, stream)
        declared = _declared_seconds(container, stream)
        num_promised = stream.frames
        rate, time_base = stream.average_rate or stream.guessed_rate, stream.time_base
    if not entries:
        raise MediaDecodeError(
            f"{path} holds no frames", hint="it may be cut short: fetch or save it again"
        )
    if not has_pts and not rate:
        raise VideoTimingError(
            f"{path} has neither times of its frames nor a frame rate",
            hint="decode it and pass VideoPart(frames, fps=...)",
        )
    first_key = next((at for at, entry in enumerate(entries) if entry.is_key), 0)
    first = _first_frame(path, first_key, max_pixels)
    begins = first.pts if has_pts and first.pts is not None else entries[first_key].pts
    shown = sorted({entry.pts for entry in entries if entry.is_shown and entry.pts >= begins})
    if not shown:
        raise _undecodable(path, "none of those that are shown")
    unit = float(time_base) if has_pts else float(1 / rate)
    is_short = len(entries) < num_promised
    missing = _missing_seconds([entry.pts * unit for entry in entries], declared, is_short)
    if missing and not is_short and (num_promised or _reaches_end(path, declared, max_pixels)):
        missing = 0.0
    return VideoIndex(
        size=first.size,
        rotation=first.rotation,
        entries=entries,
        shown=shown,
        times_seconds=[(pts - shown[0]) * unit for pts in shown],
        missing_seconds=missing,
        has_pts=has_pts,
        max_pixels=max_pixels,
        begins_seconds=shown[0] * unit if has_pts else 0.0,
    )


@contextmanager
def open_video(
    path: str, max_pixels: int, options: Mapping[str, str] | None = None
) -> Iterator[tuple[Any, Any]]:
    """Open a file; yield its container and its video stream.

    Args:
        path: the file.
        max_pixels: the limit for decoders: a larger frame is an error, also among the frames by
            which FFmpeg detects the format, and late in the file.
        options: further options for FFmpeg.

    Raises:
        MediaNotFoundError, MediaDecodeError: as `scan`.
    """
    try:
        bound = {"max_pixels": str(max_pixels)}
        given = {**_OPTIONS, **bound, **(options or {})}
        container = av.open(path, options=given, metadata_errors="ignore")
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise MediaNotFoundError(
            f"{path} cannot be read ({error.strerror})", expected="a file that you may read"
        ) from error
    except Exception as error:  # demuxers raise nearly anything on damaged files
        raise MediaDecodeError(
            f"{path} is not a video ({getattr(error, 'strerror', None) or error})",
            expected="a video file that FFmpeg reads, such as MP4, MOV, Matroska or WebM",
            hint=_hint_for(path),
        ) from error
    with container:
        stream = video_stream(container, path)
        stream.codec_context.options = bound
        yield container, stream


def video_stream(container: Any, path: str) -> Any:
    """Return the video stream; the cover of a song, a video of one frame, does not count."""
    films = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if films:
        best = container.streams.best("video")
        return best if best in films else films[0]
    kinds = sorted({_kind(stream) for stream in container.streams})
    raise MediaDecodeError(
        f"{path} holds no video, but {' and '.join(kinds) or 'nothing at all'}",
        expected="a video file",
    )


def _kind(stream: Any) -> str:
    return "a cover picture" if stream.type == "video" else str(stream.type)


def _hint_for(path: str) -> str:
    with open(path, "rb") as file:
        known = picture_format(file.read(HEAD_BYTES))
    if known == "WEBP":  # FFmpeg reads a WebP only if it is not animated
        return "ImagePart(...) for a picture, VideoPart([frames], fps=...) for an animation"
    if known:
        return "ImagePart(...) for a picture"
    return "it may be cut short: fetch or save it again"


def check_pixels(frame: Any, max_pixels: int) -> None:
    """Refuse a frame before its pixels are taken, or a video by the size that its decoder reports.

    Raises:
        MediaSizeError: it has too many pixels.
    """
    if frame.width * frame.height > max_pixels:
        raise MediaSizeError(
            f"the frames of the video are {frame.width} x {frame.height} px",
            expected=f"at most {max_pixels} pixels",
            hint="MediaPolicy(max_pixels=...) if you trust it",
        )


def _entries(container: Any, stream: Any) -> tuple[list[Entry], bool]:
    """All packets; and True if all of them have times."""
    found: list[tuple[int | None, int, bool, bool]] = []
    num_bytes = 0
    try:
        for packet in container.demux(stream):
            if packet.size:  # the last one is empty and ends the stream
                found.append(
                    (packet.pts, num_bytes, bool(packet.is_keyframe), not packet.is_discard)
                )
                num_bytes += packet.size
    except av.FFmpegError:
        pass  # cut short: the frames up to here can be used
    has_pts = all(pts is not None for pts, *_ in found) and not _is_unordered(container, stream)
    entries = [
        Entry(order if pts is None or not has_pts else pts, offset, is_key, is_shown)
        for order, (pts, offset, is_key, is_shown) in enumerate(found)
    ]
    return entries, has_pts


def _declared_seconds(container: Any, stream: Any) -> float | None:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _is_unordered(container: Any, stream: Any) -> bool:
    """True if times follow the decoding order only, as all times in AVI do.

    FFmpeg restores the order of frames for MPEG-4 there, and not for H.264.
    """
    context = stream.codec_context
    return container.format.name == "avi" and context.name == "h264" and bool(context.has_b_frames)


def _missing_seconds(
    times: Sequence[float], declared: float | None, is_short: bool = False
) -> float:
    """Seconds between the end of the packets and the end in the header; 0 if they are few.

    A frame may be shown for long, so the last frame is granted the longest time between two.
    Some files count their duration from zero, even if they begin later.

    Args:
        times: the time of each packet.
        declared: the duration in the header, in seconds.
        is_short: True if the file holds fewer packets than it says; those are lost.
    """
    ordered = sorted(times)
    longest = max((later - earlier for earlier, later in pairwise(ordered)), default=0.0)
    reached = max(ordered[-1], ordered[-1] - ordered[0]) + longest
    missing = 0.0 if declared is None else declared - reached
    least = max(0.0 if is_short else _MISSING_SECONDS, _MISSING_SHARE * (declared or 0.0))
    return missing if missing > least else 0.0


def _reaches_end(path: str, declared: float | None, max_pixels: int) -> bool:
    """True if other streams, such as sound, reach the end: the video itself only ends earlier."""
    times = []
    with open_video(path, max_pixels) as (container, _):
        try:
            for packet in container.demux():
                if packet.pts is not None and packet.size:
                    times.append(float(packet.pts * packet.time_base))
        except av.FFmpegError:
            pass
    return bool(times) and not _missing_seconds(times, declared)


@dataclass(frozen=True)
class _Frame:
    size: Size
    rotation: int
    pts: int | None


def _first_frame(path: str, first_key: int, max_pixels: int) -> _Frame:
    """The first frame that can be decoded, from the first key frame on."""
    problem = "no frame"
    with open_video(path, max_pixels) as (container, stream):
        for order, packet in enumerate(container.demux(stream)):
            try:
                frames = stream.codec_context.decode(packet) if order >= first_key else []
            except (av.FFmpegError, ValueError) as error:
                problem = str(error)
                continue
            for frame in frames:
                if not frame.is_corrupt:
                    check_pixels(frame, max_pixels)
                    return _described(frame, stream)
    raise _undecodable(path, problem)


def _described(frame: Any, stream: Any) -> _Frame:
    rotation = round(frame.rotation / 90) * 90 % 360
    return _Frame(upright_size(frame, stream.sample_aspect_ratio, rotation), rotation, frame.pts)


def _undecodable(path: str, reason: str) -> MediaDecodeError:
    return MediaDecodeError(
        f"no frame of {path} can be decoded ({reason})",
        hint="it may be cut short, or made by a codec that FFmpeg does not read",
    )


def upright_size(frame: Any, aspect: Any, rotation: int) -> Size:
    """Return the size at which a player shows a frame; `aspect` is a pixel's width over height."""
    width = max(1, round(frame.width * float(aspect or 1)))
    sides = (frame.height, width) if rotation % 180 == 0 else (width, frame.height)
    return Size(height_px=sides[0], width_px=sides[1])
