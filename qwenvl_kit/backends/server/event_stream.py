"""The splitter of an event stream (`text/event-stream`) into its events."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")
_BYTES_PER_LINE = 64
"""Memory of a line in addition to its bytes."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventSplitter:
    """A splitter of bytes into events of `text/event-stream`. It keeps only events with data.

    Servers and gateways keep a connection open by comments, by events without data, and by empty
    data. They are no part of an answer, and some readers fail on them.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._lines: list[bytes] = []
        self._begun = False
        self._lines_bytes = 0

    @property
    def num_bytes(self) -> int:
        """The memory that an incomplete event takes, in bytes."""
        return len(self._rest) + self._lines_bytes

    def feed(self, chunk: bytes) -> bytes:
        """Add a chunk; return the events with data that it completes, each with an empty line."""
        self._rest += chunk
        if not self._begun and len(self._rest) >= len(_BYTE_ORDER_MARK):
            self._begun = True
            self._rest = self._rest.removeprefix(_BYTE_ORDER_MARK)
        if b"\n" not in chunk and b"\r" not in chunk:  # held bytes are not searched again
            return b""
        return b"".join(self._events())

    def finish(self) -> bytes:
        """Return the events that the end of the stream completes."""
        return b"".join(self._events()) if self._close_line() else b""

    def _close_line(self) -> bool:
        """Read a carriage return at the very end as the end of a line: no line feed follows."""
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
    """True if a line holds data. A comment that a gateway has put behind `data:` is none."""
    name, _, value = line.partition(b":")
    value = value.strip()
    return name == b"data" and bool(value) and not value.startswith(b":")
