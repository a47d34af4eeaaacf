"""The time that a process has for what it was asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from qwenvl_kit.errors import MediaTimeoutError


class Deadline:
    """Ends something when its time is over, from a thread of its own.

    Args:
        end: ends it.
        timeout_seconds: how long all of it may take.
        answer_seconds: how long it may go on without an answer; None for as long as all of it.
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
        """An answer is there, and time that passes until the next is wanted is not its own."""
        if self._answer_seconds is not None:
            self._stop()

    def go_on(self) -> None:
        """The next answer is wanted."""
        if self._answer_seconds is not None:
            self._start(max(0.0, self._ends - time.monotonic()))

    def error(self) -> MediaTimeoutError:
        """What to say when it is over."""
        each = self._answer_seconds
        is_late = each is None or self._timeout_seconds < each
        seconds = self._timeout_seconds if is_late else each
        return MediaTimeoutError(
            f"decoding the file took longer than {seconds:g} s",
            expected="a file that is whole, or less of it",
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
        self.is_over = True  # before it is ended, so that who waits for it knows why
        self._end()
