"""Films that take more than their headers say."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from qwenvl_kit.errors import MediaDecodeError, MediaError, MediaSizeError

SIDE = 2_048


def films() -> Iterator[tuple[str, bytes, type[MediaError] | None]]:
    """All of them; more than a million pixels are more than may be."""
    yield "MP4 of 60 million frames in 684 bytes", mp4(60_000_000), MediaDecodeError
    yield "MP4 of 60 million frames in a fragment", _fragment(60_000_000), MediaSizeError
    large = mp4(3, 30_000, 30_000, b"raw ")
    yield "MP4 of frames of 900 megapixels", large, MediaSizeError
    small, grown = h264(64, 40), h264(SIDE, 2)
    for name in ("mp4", "mpegts", "matroska"):
        yield f"film that grows late, {name}", muxed(small + grown, name), MediaDecodeError
    early = muxed(h264(64, 2) + grown, "mpegts")
    yield "film that grows while it is probed", early, MediaError
    sides = struct.pack("<HH", 65_535, 65_535)
    gif = b"GIF89a" + sides + b"\x80\0\0" + bytes(6) + b"!\xf9\4\0\n\0\0\0," + bytes(4) + sides
    yield "GIF of 4,294 megapixels as a film", gif + b"\0\2\2D\1\0;", MediaSizeError
    y4m = b"YUV4MPEG2 W60000 H60000 F25:1 C420\nFRAME\n" + bytes(100)
    yield "Y4M of 3,600 megapixels", y4m, MediaError


def _box(kind: bytes, *content: bytes) -> bytes:
    inner = b"".join(content)
    return struct.pack(">I", 8 + len(inner)) + kind + inner


def _full(kind: bytes, flags: int, *content: bytes) -> bytes:
    return _box(kind, struct.pack(">I", flags), *content)


_MATRIX = struct.pack(">9i", 65_536, 0, 0, 0, 65_536, 0, 0, 0, 2**30)


def mp4(
    num_frames: int,
    width: int = 64,
    height: int = 64,
    codec: bytes = b"mp4v",
    *after: bytes,
    extends: bytes = b"",
) -> bytes:
    """A film of one track, whose tables promise so many frames of one byte each."""
    sides, inches = struct.pack(">HH", width, height), struct.pack(">II", 72 << 16, 72 << 16)
    shown = (bytes(16), sides, inches, bytes(4), b"\0\1", bytes(32), struct.pack(">Hh", 24, -1))
    entry = _box(codec, bytes(6), b"\0\1", *shown)
    table = _box(
        b"stbl",
        _full(b"stsd", 0, struct.pack(">I", 1), entry),
        _full(b"stts", 0, struct.pack(">III", 1, num_frames, 1)),
        _full(b"stsc", 0, struct.pack(">IIII", 1, 1, num_frames, 1)),
        _full(b"stsz", 0, struct.pack(">II", 1, num_frames)),
        _full(b"stco", 0, struct.pack(">II", 1, 40)),
    )
    here = _full(b"dref", 0, struct.pack(">I", 1), _full(b"url ", 1))
    media = _box(
        b"mdia",
        _full(b"mdhd", 0, struct.pack(">IIIIHH", 0, 0, 25, 100, 0, 0)),
        _full(b"hdlr", 0, bytes(4), b"vide", bytes(12), b"x\0"),
        _box(b"minf", _full(b"vmhd", 1, bytes(8)), _box(b"dinf", here), table),
    )
    sides = struct.pack(">II", width << 16 & 0xFFFFFFFF, height << 16 & 0xFFFFFFFF)
    track = _full(b"tkhd", 3, struct.pack(">IIIII", 0, 0, 1, 0, 100), bytes(16), _MATRIX, sides)
    times = struct.pack(">IIIIIH", 0, 0, 25, 100, 65_536, 256)
    movie = _full(b"mvhd", 0, times, bytes(10), _MATRIX, bytes(24), struct.pack(">I", 2))
    head = _box(b"ftyp", b"isom", bytes(4), b"isom") + _box(b"mdat", bytes(100))
    return head + _box(b"moov", movie, _box(b"trak", track, media), extends) + b"".join(after)


def _fragment(num_frames: int) -> bytes:
    """A film whose one fragment has frames that are all alike, so that none has an entry."""
    defaults = _full(b"trex", 0, struct.pack(">IIIII", 1, 1, 1, 1, 0))
    run = _full(b"trun", 1, struct.pack(">II", num_frames, 0))
    header = _full(b"tfhd", 0x20000, struct.pack(">I", 1))
    part = _box(b"moof", _full(b"mfhd", 0, bytes(4)), _box(b"traf", header, run))
    rest = _box(b"mdat", bytes(100))
    return mp4(0, 64, 64, b"mp4v", part, rest, extends=_box(b"mvex", defaults))


def h264(side: int, num_frames: int) -> bytes:
    """Grey frames as raw H.264, which says anew with each key frame how large it is."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="h264") as container:
        options = {"preset": "ultrafast", "x264-params": "repeat-headers=1"}
        film: Any = container.add_stream("libx264", rate=25, options=options)
        film.width = film.height = side
        film.pix_fmt = "yuv420p"
        for number in range(num_frames):
            frame = av.VideoFrame(side, side, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([100]) * plane.buffer_size)
            frame.pts = number
            container.mux(film.encode(frame))
        container.mux(film.encode(None))
    return buffer.getvalue()


def muxed(raw: bytes, container_format: str) -> bytes:
    """The same frames in a container, which knows the size of the first alone."""
    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(raw), format="h264") as source,
        av.open(buffer, "w", format=container_format) as container,
    ):
        film = source.streams.video[0]
        packets = [packet for packet in source.demux(film) if packet.size]
        made: Any = container.add_stream_from_template(film)
        for order, packet in enumerate(packets):
            copy = av.Packet(bytes(packet))
            copy.pts = copy.dts = order * 3_600
            copy.duration, copy.time_base = 3_600, Fraction(1, 90_000)
            copy.is_keyframe, copy.stream = packet.is_keyframe, made
            container.mux(copy)
    return buffer.getvalue()
