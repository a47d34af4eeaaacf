"""Tables of a video: the number of frames that it declares, checked before memory is allocated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qwenvl_kit.errors import MediaDecodeError
from qwenvl_kit.hardware import count_cores
from qwenvl_kit.media.worker.limits import tables_bytes, threads_bytes, within
from qwenvl_kit.media.worker.requests import num_bytes_of
from qwenvl_kit.media.worker.video_index import VideoIndex, check_pixels, open_video, scan

_NO_DECODER = {"codec_whitelist": "none"}
"""Options by which the container and FFmpeg's parsers are read without a decoder's memory."""


def scan_within(path: str, max_pixels: int, max_memory_bytes: int | None) -> VideoIndex:
    """Scan a file as `scan`, in no more memory than a video of its size and frames needs.

    Args:
        path: the file.
        max_pixels: most pixels of a frame that is decoded.
        max_memory_bytes: most memory; None for no bound.

    Raises:
        MediaSizeError: it takes more; or as `scan`.
    """
    num_bytes = num_bytes_of(Path(path))
    with within(max_memory_bytes, tables_bytes(num_bytes, 0)):
        num_pixels = _num_pixels(path, num_bytes, max_pixels)
    judged = tables_bytes(num_bytes, num_pixels) + threads_bytes(2 * count_cores())
    with within(max_memory_bytes, judged):
        return scan(path, max_pixels)


def _num_pixels(path: str, num_bytes: int, max_pixels: int) -> int:
    """The declared number of pixels of a frame; the maximum if the container declares none."""
    with open_video(path, max_pixels, _NO_DECODER) as (container, stream):
        _check_num_frames(container, num_bytes)
        context = stream.codec_context
        check_pixels(context, max_pixels)
        return context.width * context.height or max_pixels


def _check_num_frames(container: Any, num_bytes: int) -> None:
    """Refuse an MP4 whose tables declare more frames than it has bytes.

    FFmpeg allocates memory for each frame, and reports no failure of that.
    """
    num_frames = sum(stream.frames for stream in container.streams)
    if "mp4" in container.format.name and num_frames > num_bytes:
        raise MediaDecodeError(
            f"the video says that it has {num_frames} frames in {num_bytes} bytes",
            expected="at least one byte per frame",
            hint="fetch or save it again",
        )
