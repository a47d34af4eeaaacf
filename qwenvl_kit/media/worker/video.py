"""Video files in the decoding process: their index, their frames, and live playing."""

from __future__ import annotations

import array
import os
from collections.abc import Iterator, Mapping
from typing import Any

from qwenvl_kit.errors import MediaDecodeError
from qwenvl_kit.media.isolation.protocol import TEXT_REQUESTS, TEXT_TRACK
from qwenvl_kit.media.worker.limits import threads_bytes, within
from qwenvl_kit.media.worker.live_decode import play
from qwenvl_kit.media.worker.requests import Answer
from qwenvl_kit.media.worker.text_tracks import answer_chapters, answer_track
from qwenvl_kit.media.worker.video_decode import decode_picks
from qwenvl_kit.media.worker.video_index import VideoIndex
from qwenvl_kit.media.worker.video_tables import scan_within


def answer_video(request: Mapping[str, Any]) -> Iterator[Answer]:
    """Answer a request for the index of a file, its frames, its text, or frames as it plays."""
    if request["kind"] == "play":
        yield from play(request)
        return
    path, max_pixels, most = (request[name] for name in ("path", "max_pixels", "max_memory_bytes"))
    index = _INDICES.get(path, max_pixels, most)
    if request["kind"] == "scan":
        yield _described(index), array.array("d", index.times_seconds).tobytes()
        return
    if request["kind"] in TEXT_REQUESTS:
        answer = answer_track if request["kind"] == TEXT_TRACK else answer_chapters
        with within(most):
            yield from answer(request, index.begins_seconds)
        return
    _check_unchanged(index, request)
    with within(most and most + threads_bytes(2 * request["num_cores"])):
        yield from _decoded(index, request)


def _decoded(index: VideoIndex, request: Mapping[str, Any]) -> Iterator[Answer]:
    indices = request["indices"]
    for pick in decode_picks(request["path"], index, indices, request["num_cores"]):
        height, width, _ = pick.pixels.shape
        facts = {"position": pick.position, "height": height, "width": width}
        yield {**facts, "rotation": index.rotation}, pick.pixels.data


def _described(index: VideoIndex) -> dict[str, Any]:
    return {
        "height_px": index.size.height_px,
        "width_px": index.size.width_px,
        "missing_seconds": index.missing_seconds,
    }


def _check_unchanged(index: VideoIndex, request: Mapping[str, Any]) -> None:
    """Refuse a file that has changed since it was planned; it may have grown."""
    times = index.times_seconds
    found = [times[at] for at in request["indices"] if at < len(times)]
    size = (index.size.height_px, index.size.width_px)
    if found != list(request["times_seconds"]) or size != tuple(request["size"]):
        raise MediaDecodeError(
            "the file changed after its frames were chosen",
            hint="ask again once nothing writes to it any more",
        )


class IndexCache:
    """The index of the last file: a file is scanned for its plan, and decoded soon after."""

    def __init__(self) -> None:
        self._last: tuple[Any, VideoIndex] | None = None

    def get(self, path: str, max_pixels: int, max_memory_bytes: int | None) -> VideoIndex:
        """Return the index of a file as it is now; for any thread."""
        key = (path, max_pixels, *_state(path))
        last = self._last
        if last is None or last[0] != key:
            last = self._last = (key, scan_within(path, max_pixels, max_memory_bytes))
        return last[1]


def _state(path: str) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_size, status.st_mtime_ns)


_INDICES = IndexCache()
