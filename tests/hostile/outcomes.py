"""What becomes of a hostile file: its error, how long it took, and how much memory."""

from __future__ import annotations

import io
import time
import tracemalloc
import warnings
from dataclasses import replace
from typing import NamedTuple

import av
import PIL.Image

from qwenvl_kit import MediaPolicy
from qwenvl_kit.errors import MediaError
from qwenvl_kit.media.images import decode_image, read_header
from qwenvl_kit.media.loader import decode_media, open_media
from qwenvl_kit.media.pages import read_pages
from qwenvl_kit.messages.message import Message, VideoPart
from qwenvl_kit.plans import VideoPlan
from tests.hostile.cases import Hostile
from tests.hostile.peaks import PeakMemory

av.logging.set_level(None)

WAYS = {
    "here": {"isolate_images": False, "isolate_video": False},
    "by default": {},
    "apart": {"isolate_images": True},
}
"""Where a file is decoded: in this process, or in others that the policy says."""


class Outcome(NamedTuple):
    """What became of a file.

    Attributes:
        error: that of the kit; None where it was taken.
        seconds: how long it took.
        num_bytes: what this process and those that decode for it took at their most; in this
            process alone, Python's memory.
    """

    error: MediaError | None
    seconds: float
    num_bytes: int


def policy_of(case: Hostile, way: str) -> MediaPolicy:
    """The policy under which a file is opened."""
    return MediaPolicy(**{**case.limits, **WAYS[way]})  # type: ignore[arg-type]


def open_hostile(case: Hostile, way: str) -> Outcome:
    """Use a file as what it pretends to be, in one of the `WAYS`.

    Raises:
        Exception: anything that is no error of the kit.
    """
    policy = policy_of(case, way)
    source = case.content.decode() if case.kind == "data URL" else case.content
    return _here(case, source, policy) if way == "here" else _apart(case, source, policy)


def _here(case: Hostile, source: str | bytes, policy: MediaPolicy) -> Outcome:
    started = time.perf_counter()
    error = _error(case.kind, source, policy)
    seconds = time.perf_counter() - started
    tracemalloc.start()  # which takes a time of its own
    _error(case.kind, source, policy)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return Outcome(error, seconds, most)


def _apart(case: Hostile, source: str | bytes, policy: MediaPolicy) -> Outcome:
    decode_image(_SMALL, MediaPolicy(isolate_images=True))  # so that a process is there
    with PeakMemory() as peak:
        started = time.perf_counter()
        error = _error(case.kind, source, policy)
        seconds = time.perf_counter() - started
    return Outcome(error, seconds, peak.num_bytes)


def _small() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("L", (4, 4)).save(buffer, "TIFF")
    return buffer.getvalue()


_SMALL = _small()


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
        _show_film(source, policy)
    elif kind == "document":
        read_pages(source, policy, dpi=72)
    else:
        read_header(source, policy)
        decode_image(source, policy)


def _show_film(source: str | bytes, policy: MediaPolicy) -> None:
    """Its last frame, which may be the one that does harm."""
    message = [Message.user(VideoPart(source, num_frames=2), "?")]
    (item,) = open_media(message, policy).items
    measure = item.measure
    times = measure.times_seconds  # type: ignore[union-attr]
    plan = VideoPlan(
        where=measure.where,
        original=measure.size,
        resized=measure.size,
        tokens=1,
        frame_indices=(len(times) - 1,),
        timestamps_seconds=(times[-1],),
    )
    decode_media([replace(item, plan=plan)], policy)
