"""Traffic between the host and pretended devices: waits, uploads and copies, by line of the kit.

A wait is a call that returns only when the device has computed all that it was given. An upload
copies from the host. A copy is one from device to device.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_OWN = __package__.replace(".", "/")


@dataclass
class Traffic:
    """What went between the host and the devices while it was recorded.

    Attributes:
        waits: the waits, by the line that caused them.
        uploads: the uploads, likewise.
        copies: the copies between devices, likewise.
    """

    waits: Counter[str] = field(default_factory=Counter)
    uploads: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)


_RECORDING: list[Traffic] = []
_UNAWAITED = 0


@contextmanager
def recorded() -> Iterator[Traffic]:
    """Record the traffic of all threads within the block."""
    traffic = Traffic()
    _RECORDING.append(traffic)
    try:
        yield traffic
    finally:
        _RECORDING.remove(traffic)


def num_unawaited() -> int:
    """The matrix products that were launched since the host last waited for a device."""
    return _UNAWAITED


def note_product() -> None:
    """Note a matrix product, which stands for the work of a device."""
    global _UNAWAITED  # noqa: PLW0603  # one device, one number
    _UNAWAITED += 1


def note_wait(what: str) -> None:
    """Note that the host waits for a device."""
    global _UNAWAITED  # noqa: PLW0603
    _UNAWAITED = 0
    for traffic in _RECORDING:
        traffic.waits[_line(what)] += 1


def note_upload(what: str, *, is_blocking: bool) -> None:
    """Note a copy from the host; one that blocks is a wait as well."""
    for traffic in _RECORDING:
        traffic.uploads[_line(what)] += 1
    if is_blocking:
        note_wait(f"{what}, blocking")


def note_copy(what: str) -> None:
    """Note a copy from one device to another."""
    for traffic in _RECORDING:
        traffic.copies[_line(what)] += 1


def _line(what: str) -> str:
    """The line of the kit that causes something, and the line of a library in between."""
    frame, library = sys._getframe(2), ""
    while frame is not None:
        name = frame.f_code.co_filename.replace("\\", "/")
        if "/qwenvl_kit/" in name:
            return f"{what} at {name.rsplit('/qwenvl_kit/')[-1]}:{frame.f_lineno}{library}"
        if not library and "/site-packages/" in name and "/site-packages/torch/" not in name:
            library = f" through {name.rsplit('/site-packages/')[-1]}:{frame.f_lineno}"
        frame = frame.f_back
    return f"{what}{library}"
