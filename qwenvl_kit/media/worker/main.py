"""The main loop of the decoding process: it reads requests from stdin and writes answers to stdout.

A request is one line of JSON, and after it as many bytes as its `num_bytes` says. An answer has the
same form, unless its pixels were written to shared memory (`memory_start`). The last answer says
`done`. Nothing that comes from a file is ever run or unpickled.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import av
import PIL.Image
import PIL.ImageFile

from qwenvl_kit.errors import MediaDecodeError, QwenVLKitError
from qwenvl_kit.media.isolation.protocol import DOCUMENT_REQUESTS, IMAGE_REQUESTS
from qwenvl_kit.media.isolation.shared_memory import MAX_BYTES, write_pixels
from qwenvl_kit.media.worker.documents import answer_document
from qwenvl_kit.media.worker.images import answer_picture
from qwenvl_kit.media.worker.requests import Answer
from qwenvl_kit.media.worker.video import answer_video


def answer(request: Mapping[str, Any], payload: bytes = b"") -> Iterator[Answer]:
    """Answer a request; yield facts, each with bytes or a picture in RGB.

    Args:
        request: the request.
        payload: the bytes that came with it.

    Raises:
        MediaError: the file cannot be read as asked.
        MissingPackageError: a package that it needs is not installed.
    """
    try:
        yield from _answer(request, payload)
    except QwenVLKitError:
        raise
    except Exception as error:  # decoders raise nearly anything
        raise MediaDecodeError(
            f"the decoder failed ({type(error).__name__}: {error})",
            hint="convert the file, or take another",
        ) from error


def _answer(request: Mapping[str, Any], payload: bytes) -> Iterator[Answer]:
    if request["kind"] in IMAGE_REQUESTS:
        yield from answer_picture(request, payload)
    elif request["kind"] in DOCUMENT_REQUESTS:
        yield from answer_document(request, payload)
    else:
        yield from answer_video(request)


def main(memory: int | None = None) -> None:
    """Answer requests until the input ends, as it does when the parent process has ended.

    Args:
        memory: descriptor of the shared memory for pixels; None for the pipe.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the child
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # other output must not come between the answers
    av.logging.set_level(None)
    PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False  # in spite of start-up files (sitecustomize)
    for line in requests:
        request = json.loads(line)
        payload = requests.read(request.get("num_bytes", 0))
        try:
            # The next of several answers would overwrite one that is still being read.
            shared = memory if request["kind"] in IMAGE_REQUESTS else None
            for facts, pixels in answer(request, payload):
                _send(answers, facts, pixels, shared)
            _send(answers, {"done": True})
        except BrokenPipeError:
            return
        except QwenVLKitError as error:
            _send(answers, _failure(error))


def _send(
    answers: BinaryIO, facts: Mapping[str, Any], payload: Any = b"", memory: int | None = None
) -> None:
    """Send facts, and after them bytes, or a picture, which may go to the shared memory instead."""
    said = {**facts, "memory_start": None}
    if isinstance(payload, PIL.Image.Image):
        said |= {"height_px": payload.height, "width_px": payload.width}
        said["num_bytes"] = payload.height * payload.width * 3
        if memory is not None and said["num_bytes"] <= MAX_BYTES:
            said["memory_start"], payload = write_pixels(memory, payload), b""
        else:
            payload = payload.tobytes()
    view = memoryview(payload).cast("B")
    said.setdefault("num_bytes", len(view))
    answers.write(json.dumps(said).encode() + b"\n")
    while len(view):
        view = view[answers.write(view) :]


def _failure(error: QwenVLKitError) -> dict[str, Any]:
    return {
        "error": type(error).__name__,
        "problem": error.problem,
        "expected": error.expected,
        "hint": error.hint,
        "where": error.where,
    }
