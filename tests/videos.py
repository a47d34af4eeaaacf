"""Videos made on the spot, each frame with its number drawn in."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

NUM_BITS = 20


def write_video(
    path: Path,
    num_frames: int,
    *,
    width: int = 320,
    height: int = 180,
    fps: int = 25,
    pts: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    container_format: str | None = None,
    container_options: Mapping[str, str] | None = None,
    rotation: int = 0,
    aspect: Fraction | None = None,
    with_audio: bool = False,
    first: int = 0,
) -> Path:
    """A film of a sliding texture in which frame k shows the number `first + k`.

    Args:
        pts: the time of each frame in units of `time_base`; without it frame k is at k / fps.
        rotation: degrees that a player turns it by.
        aspect: width over height of one pixel.
        with_audio: add a track of silence.
        container_options: of the muxer, such as `movflags`.
    """
    time_base = time_base or Fraction(1, fps)
    with av.open(
        str(path), "w", format=container_format, options=dict(container_options or {})
    ) as container:
        stream: Any = container.add_stream(codec, rate=fps, options=dict(options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = time_base
        stream.thread_count = 2
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        sound: Any = container.add_stream("aac", rate=16000) if with_audio else None
        texture = _texture(width, height)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(
                _frame(texture, first + index, width, height), "gray"
            )
            frame = frame.reformat(format=pixel_format)
            frame.pts = index if pts is None else pts[index]
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            write_silence(container, sound, num_frames / fps)
    return path


def remux_video(
    source: Path,
    path: Path,
    *,
    skip: int = 0,
    shift: int = 0,
    container_format: str | None = None,
    container_options: Mapping[str, str] | None = None,
) -> Path:
    """The same frames, not encoded anew, in another file.

    Args:
        skip: how many of its packets to leave out at the beginning.
        shift: what to add to their times, in units of the source's time base.
    """
    options = dict(container_options or {})
    with (
        av.open(str(source)) as old,
        av.open(str(path), "w", format=container_format, options=options) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for order, packet in enumerate(old.demux(old.streams.video[0])):
            if packet.size and order >= skip and packet.pts is not None and packet.dts is not None:
                packet.stream = stream
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                new.mux(packet)
    return path


def write_sound(path: Path, codec: str, *, with_cover: bool = False) -> Path:
    """Two seconds of silence, and a picture on the cover if wanted."""
    with av.open(str(path), "w") as container:
        sound: Any = container.add_stream(codec, rate=16000)
        if with_cover:
            cover: Any = container.add_stream("mjpeg")
            cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
            cover.disposition = Disposition.attached_pic
            container.mux(cover.encode(av.VideoFrame(64, 64, "yuvj420p")))
        write_silence(container, sound, 2)
    return path


def decode_all(path: Path) -> list[np.ndarray[Any, Any]]:
    """All frames as they are stored, by decoding from the beginning to the end."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def read_number(picture: Any) -> int:
    """The number that a picture (H, W, 3) shows, at whatever size."""
    array = np.asarray(picture)
    height, width = array.shape[:2]
    rows = slice(int(height * 0.02), max(int(height * 0.04), int(height * 0.02) + 1))
    number = 0
    for bit in range(NUM_BITS):
        left, right = (bit + 0.3) / NUM_BITS, (bit + 0.7) / NUM_BITS
        columns = slice(int(left * width), max(int(right * width), int(left * width) + 1))
        number |= int(array[rows, columns].mean() > 125) << bit
    return number


def _texture(width: int, height: int) -> np.ndarray[Any, Any]:
    """Smooth noise with fine grain, twice as wide as a frame."""
    import PIL.Image

    rng = np.random.default_rng(0)
    coarse = rng.integers(30, 220, (max(2, height // 16), max(2, width // 8)), dtype=np.uint8)
    image = PIL.Image.fromarray(coarse).resize((2 * width, height), PIL.Image.Resampling.BICUBIC)
    grain = rng.integers(-12, 13, (height, 2 * width))
    return np.clip(np.asarray(image).astype(int) + grain, 16, 235).astype(np.uint8)


def _frame(
    texture: np.ndarray[Any, Any], number: int, width: int, height: int
) -> np.ndarray[Any, Any]:
    left = (number * 3) % width
    frame = texture[:, left : left + width].copy()
    strip = np.zeros(width, np.uint8)
    for bit in range(NUM_BITS):
        start, end = bit * width // NUM_BITS, (bit + 1) * width // NUM_BITS
        strip[start:end] = 235 if number >> bit & 1 else 16
    frame[: max(1, height // 15)] = strip
    return frame


def write_silence(container: Any, stream: Any, seconds: float) -> None:
    """Encode a track of silence into a container that is open."""
    num_samples = 1024
    for index in range(int(seconds * 16000 / num_samples)):
        frame = av.AudioFrame(format="fltp", layout="mono", samples=num_samples)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = 16000, index * num_samples
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


_STYLES = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize, "
    b"PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, "
    b"StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, "
    b"MarginL, MarginR, MarginV, Encoding\nStyle: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,"
    b"0,0,100,100,0,0,1,1,0,2,10,10,10,0\n\n[Events]\nFormat: Layer, Start, End, Style, Name, "
    b"MarginL, MarginR, MarginV, Effect, Text\n"
)
"""The header that the muxer of QuickTime's text wants."""


def add_text_track(source: Path, path: Path, *tracks: tuple[str, str]) -> Path:
    """The same film with text tracks: each the name of a format of FFmpeg, and a file of it."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = []
        for name, text in tracks:
            with av.open(io.BytesIO(text.encode()), format=name) as file:
                track = new.add_stream_from_template(file.streams.subtitles[0])
                packets += [(track, packet) for packet in file.demux() if packet.size]
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
        for track, packet in packets:
            packet.stream = track
            new.mux(packet)
    return path


def add_quicktime_text(
    source: Path,
    path: Path,
    lines: Sequence[tuple[int, int, str]] = (),
    chapters: Sequence[tuple[int, int, str]] = (),
) -> Path:
    """The same film as MP4 with a track of text, and with chapters; times in whole seconds."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        track: Any = new.add_stream("mov_text") if lines else None
        if track is not None:
            track.codec_context.subtitle_header = _STYLES
            track.time_base = track.codec_context.time_base = Fraction(1, 1000)
        second = Fraction(1, 1)
        marks: list[Any] = [
            {
                "id": at,
                "start": start,
                "end": end,
                "time_base": second,
                "metadata": {"title": title} if title else {},
            }
            for at, (start, end, title) in enumerate(chapters, 1)
        ]
        if marks:
            new.set_chapters(marks)
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                packet.stream = stream
                new.mux(packet)
        for start, end, words in lines:
            raw = words.encode()
            spoken = av.Packet(len(raw).to_bytes(2, "big") + raw)
            spoken.stream, spoken.time_base = track, Fraction(1, 1000)
            spoken.pts = spoken.dts = start * 1000
            spoken.duration = (end - start) * 1000
            new.mux(spoken)
    return path
