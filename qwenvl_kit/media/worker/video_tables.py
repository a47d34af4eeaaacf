"""Tables of a film: how many frames it says that it has, judged before room is made for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qwenvl_kit.errors import MediaDecodeError
from qwenvl_kit.hardware import count_cores
from qwenvl_kit.media.worker.limits import tables_bytes, threads_bytes, within
from qwenvl_kit.media.worker.requests import num_bytes_of
from qwenvl_kit.media.worker.video_index import VideoIndex, check_pixels, open_video, scan

_NO_DECODER = {"codec_whitelist": "none"}
"""What the container and FFmpeg's parsers say, without a decoder that would take more."""


def scan_within(path: str, max_pixels: int, max_memory_bytes: int | None) -> VideoIndex:
    """As `scan`, in no more memory than a film of such a size, with such frames, needs.

    Args:
        path: the file.
        max_pixels: a larger frame is not decoded.
        max_memory_bytes: most memory that it may take; None for no bound.

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
    """How large its frames are, as the container says; as large as may be where it does not."""
    with open_video(path, max_pixels, _NO_DECODER) as (container, stream):
        _check_num_frames(container, num_bytes)
        context = stream.codec_context
        check_pixels(context, max_pixels)
        return context.width * context.height or max_pixels


def _check_num_frames(container: Any, num_bytes: int) -> None:
    """Refuse an MP4 whose tables promise more than it has bytes.

    FFmpeg makes room for each frame, and says nothing where there is none.
    """
    num_frames = sum(stream.frames for stream in container.streams)
    if "mp4" in container.format.name and num_frames > num_bytes:
        raise MediaDecodeError(
            f"the video says that it has {num_frames} frames in {num_bytes} bytes",
            expected="a byte for each, or more",
            hint="fetch or save it again",
        )
