"""What becomes of a hostile file: its error, how long it took, and how much memory."""

from __future__ import annotations

import time
import tracemalloc
import warnings
from typing import NamedTuple

import av

from qwenvl_kit import MediaPolicy
from qwenvl_kit.errors import MediaError
from qwenvl_kit.media.images import decode_image, read_header
from qwenvl_kit.media.pages import read_pages
from qwenvl_kit.media.requests import measure_media
from qwenvl_kit.messages import Message, VideoPart
from tests.hostile.corpus import Hostile

av.logging.set_level(None)


class Outcome(NamedTuple):
    """The error of the kit, None where it was taken; Python's memory at its most."""

    error: MediaError | None
    seconds: float
    num_bytes: int


def open_hostile(case: Hostile, *, apart: bool) -> Outcome:
    """Use a file as what it pretends to be.

    Raises:
        Exception: anything that is no error of the kit.
    """
    policy = MediaPolicy(isolate_images=apart, isolate_video=apart, **case.limits)  # type: ignore[arg-type]
    source = case.content.decode() if case.kind == "data URL" else case.content
    started = time.perf_counter()
    error = _error(case.kind, source, policy)
    seconds = time.perf_counter() - started
    tracemalloc.start()  # which takes a time of its own
    _error(case.kind, source, policy)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Outcome(error, seconds, most)


def _error(kind: str, source: str | bytes, policy: MediaPolicy) -> MediaError | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _use(kind, source, policy)
    except MediaError as error:
        return error
    return None


def _use(kind: str, source: str | bytes, policy: MediaPolicy) -> None:
    if kind == "video":
        measure_media([Message.user(VideoPart(source, num_frames=2), "?")], policy)
    elif kind == "document":
        read_pages(source, policy, dpi=72)
    else:
        read_header(source, policy)
        decode_image(source, policy)
