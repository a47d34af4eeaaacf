"""Videos made on the spot, each frame with its number drawn in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

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
            _write_silence(container, sound, num_frames / fps)
    return path


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


def _write_silence(container: Any, stream: Any, seconds: float) -> None:
    num_samples = 1024
    for index in range(int(seconds * 16000 / num_samples)):
        frame = av.AudioFrame(format="fltp", layout="mono", samples=num_samples)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = 16000, index * num_samples
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
