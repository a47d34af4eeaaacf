"""The process that decodes: it takes a request a line on its input and answers on its output.

A request is one line of JSON. An answer is a line of JSON and, where that says `num_bytes`, so many
bytes after it; the last one says `done`. Nothing that comes from a file is ever run or unpickled.
"""

from __future__ import annotations

import array
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import av

from qwenvl_kit.errors import MediaDecodeError, MediaError
from qwenvl_kit.media.video.index import VideoIndex, scan
from qwenvl_kit.media.video.picking import decode_picks
from qwenvl_kit.media.video.playing import play

Answer = tuple[dict[str, Any], Any]
"""A line of JSON, and the bytes that follow it."""


def answer(request: Mapping[str, Any]) -> Iterator[Answer]:
    """What a request is answered with.

    Raises:
        MediaError: the file cannot be read as asked.
    """
    try:
        yield from _answer(request)
    except MediaError:
        raise
    except Exception as error:  # decoders raise nearly anything
        raise MediaDecodeError(
            f"the decoder failed ({type(error).__name__}: {error})",
            hint="convert the file, or take another",
        ) from error


def _answer(request: Mapping[str, Any]) -> Iterator[Answer]:
    if request["kind"] == "play":
        yield from play(request)
        return
    index = _INDICES.get(request["path"], request["max_pixels"])
    if request["kind"] == "scan":
        yield _described(index), array.array("d", index.times_seconds).tobytes()
        return
    indices = request["indices"]
    _check_unchanged(index, request)
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
    """The frames that were planned must be those that are there now; a file may have grown."""
    times = index.times_seconds
    found = [times[at] for at in request["indices"] if at < len(times)]
    size = (index.size.height_px, index.size.width_px)
    if found != list(request["times_seconds"]) or size != tuple(request["size"]):
        raise MediaDecodeError(
            "the file changed after its frames were chosen",
            hint="ask again once nothing writes to it any more",
        )


class IndexCache:
    """The index of the last file, which is scanned to plan and needed again to decode."""

    def __init__(self) -> None:
        self._last: tuple[Any, VideoIndex] | None = None

    def get(self, path: str, max_pixels: int) -> VideoIndex:
        """The index of a file as it is now; several threads may ask at once."""
        key = (path, max_pixels, *_state(path))
        last = self._last
        if last is None or last[0] != key:
            last = self._last = (key, scan(path, max_pixels))
        return last[1]


def _state(path: str) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_size, status.st_mtime_ns)


_INDICES = IndexCache()


def main() -> None:
    """Answer requests until the input ends, as it does when the parent process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the parent, which ends us
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever else prints must not come between the answers
    av.logging.set_level(None)
    for line in requests:
        try:
            for facts, payload in answer(json.loads(line)):
                _send(answers, facts, payload)
            _send(answers, {"done": True})
        except BrokenPipeError:
            return
        except MediaError as error:
            _send(answers, _failure(error))


def _send(answers: BinaryIO, facts: Mapping[str, Any], payload: Any = b"") -> None:
    view = memoryview(payload).cast("B")
    answers.write(json.dumps({**facts, "num_bytes": len(view)}).encode() + b"\n")
    while len(view):
        view = view[answers.write(view) :]


def _failure(error: MediaError) -> dict[str, Any]:
    return {
        "error": type(error).__name__,
        "problem": error.problem,
        "expected": error.expected,
        "hint": error.hint,
    }
