"""Deadlines of requests to a decoding process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from qwenvl_kit.errors import MediaTimeoutError


class Deadline:
    """A deadline that ends a process in time, from a thread of its own.

    Args:
        end: ends the process.
        timeout_seconds: the time for the whole request.
        answer_seconds: the time for each answer; None for no limit but the other.
    """

    def __init__(
        self, end: Callable[[], None], timeout_seconds: float, answer_seconds: float | None
    ) -> None:
        self.is_over = False
        self._end = end
        self._timeout_seconds = timeout_seconds
        self._answer_seconds = answer_seconds
        self._ends = time.monotonic() + timeout_seconds
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Deadline:
        self._start(self._timeout_seconds)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def pause(self) -> None:
        """Stop the clock of one answer: it is there, and the reader's own time is not counted."""
        if self._answer_seconds is not None:
            self._stop()

    def go_on(self) -> None:
        """Start the clock of the next answer."""
        if self._answer_seconds is not None:
            self._start(max(0.0, self._ends - time.monotonic()))

    def error(self) -> MediaTimeoutError:
        """Return the error of a request that took too long."""
        each = self._answer_seconds
        is_late = each is None or self._timeout_seconds < each
        seconds = self._timeout_seconds if is_late else each
        return MediaTimeoutError(
            f"decoding the file took longer than {seconds:g} s",
            expected="a complete file, or a shorter one",
            hint="MediaPolicy(timeout_seconds=...) for a video or a long document, "
            "MediaPolicy(image_timeout_seconds=...) for a picture or a page, that needs longer",
        )

    def _start(self, seconds: float) -> None:
        if self._answer_seconds is not None:
            seconds = min(seconds, self._answer_seconds)
        self._timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), self._expire)
        self._timer.daemon = True
        self._timer.start()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        self.is_over = True  # set before the end, so that the waiting thread knows why
        self._end()
