"""Events of a stream, told apart as their bytes come."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")
_BYTES_PER_LINE = 64
"""What a line takes beside its bytes."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventSplitter:
    """Splits bytes into events of `text/event-stream`, and keeps those that hold data.

    Servers and gateways keep a line open by comments, by events of fields without data, and by
    empty data. That is nothing of an answer, and not every reader gets past it.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._lines: list[bytes] = []
        self._begun = False
        self._lines_bytes = 0

    @property
    def num_bytes(self) -> int:
        """How many bytes of memory an event takes that is not whole."""
        return len(self._rest) + self._lines_bytes

    def feed(self, chunk: bytes) -> bytes:
        """What became whole with a chunk: events with data, each with an empty line behind it."""
        self._rest += chunk
        if not self._begun and len(self._rest) >= len(_BYTE_ORDER_MARK):
            self._begun = True
            self._rest = self._rest.removeprefix(_BYTE_ORDER_MARK)
        if b"\n" not in chunk and b"\r" not in chunk:  # nor is what is held looked through again
            return b""
        return b"".join(self._events())

    def finish(self) -> bytes:
        """What became whole with the end of the stream."""
        return b"".join(self._events()) if self._close_line() else b""

    def _close_line(self) -> bool:
        """Take a carriage return at the very end for a line's end, as no line feed follows."""
        is_ended = self._rest.endswith(b"\r")
        if is_ended:
            self._rest[-1:] = b"\n"
        return is_ended

    def _events(self) -> Iterator[bytes]:
        *lines, rest = _LINE_END.split(bytes(self._rest))
        self._rest = bytearray(rest)
        for line in lines:
            if not line:
                if any(map(_holds_data, self._lines)):
                    yield b"\n".join([*self._lines, b"", b""])
                self._lines, self._lines_bytes = [], 0
            elif not line.startswith(b":"):
                self._lines.append(line)
                self._lines_bytes += len(line) + _BYTES_PER_LINE


def _holds_data(line: bytes) -> bool:
    """Whether a line holds data, and no comment that a gateway has taken for some."""
    name, _, value = line.partition(b":")
    value = value.strip()
    return name == b"data" and bool(value) and not value.startswith(b":")
