"""The admission and the early end of requests: rules that all backends have in common.

A request is refused if the queue is full. While callers gather requests, an idle backend begins
none. A request that is cancelled or past its deadline ends with the tokens that it has.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from qwenvl_kit.errors import InputError, OverloadError

if TYPE_CHECKING:
    from qwenvl_kit.backends.base import Observer
    from qwenvl_kit.results import FinishReason


def deadline_after(max_seconds: float | None) -> float:
    """Return the time by which a request must end, on `time.perf_counter`'s clock.

    Args:
        max_seconds: time from now on; None for a request without a deadline.
    """
    return time.perf_counter() + (max_seconds or math.inf)


def early_end(observer: Observer | None, deadline: float) -> FinishReason | None:
    """Return the reason for which a request must end now; None if it may go on.

    Args:
        observer: the observer of the request; None if it has none.
        deadline: the time that `deadline_after` gave.
    """
    if observer is not None and observer.is_cancelled():
        return "cancelled"
    return "deadline" if time.perf_counter() >= deadline else None


def check_queue_has_room(num_waiting: int, max_waiting: int, entrance: str) -> None:
    """Refuse one more request if the queue is full.

    Args:
        num_waiting: requests that wait now.
        max_waiting: most requests that may wait.
        entrance: the method of `VisionChat` that takes `max_queued_requests`.

    Raises:
        OverloadError: so many wait already.
    """
    if num_waiting >= max_waiting:
        raise OverloadError(
            f"{num_waiting} requests wait already",
            expected=f"at most {max_waiting} that wait",
            hint="ask again later; ask_many, which waits for room; or a larger "
            f"max_queued_requests in {entrance}",
        )


def check_max_queued_requests(max_queued_requests: object) -> None:
    """Refuse a limit of the queue that is no whole number above 0.

    Raises:
        InputError: it is something else.
    """
    if type(max_queued_requests) is not int or max_queued_requests < 1:
        raise InputError(
            f"max_queued_requests={max_queued_requests!r} was given",
            expected="a whole number above 0",
        )


class Gathering:
    """The callers that gather requests at the moment, so that a backend begins them together.

    Args:
        changed: the condition that guards the queue; it is notified when a caller has gathered all.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self._changed = changed
        self._num_callers = 0

    @property
    def is_active(self) -> bool:
        """True if at least one caller still gathers. Read it while `changed` is held."""
        return self._num_callers > 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Return a context within which an idle backend begins nothing."""
        with self._changed:
            self._num_callers += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_callers -= 1
                self._changed.notify_all()
