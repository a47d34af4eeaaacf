"""Requests that wait for the model, and which of them may begin."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from qwenvl_kit.backends.admission import check_queue_has_room, early_end
from qwenvl_kit.backends.base import Completion, Observer
from qwenvl_kit.backends.local.engine.request import Job

MAX_ROWS = 64
"""Most answers that are written at a time: more make no pass of a model cheaper."""

_MAX_TOKENS = 65_536
"""Most positions of a common cache, padding included: it is copied when rows come or go. What rows
begin with alike, and is held once, is not."""

_CACHE_SHARE = 0.4
"""What of the free memory caches may take together; while one is copied, it is there twice."""


@dataclass(eq=False)
class Ticket:
    """A request that waits or runs, and who waits for it."""

    job: Job
    future: Future[Completion]
    observer: Observer | None

    @property
    def is_over(self) -> bool:
        """Whether nobody wants more of the answer; its row has ended then."""
        reason = early_end(self.observer, self.job.deadline)
        if reason is not None:
            self.job.row.finish(reason)
        return self.job.row.finish_reason is not None


class Queue:
    """Tickets in the order in which they begin. Not for several threads at a time.

    Args:
        max_waiting: most that wait.
        free_bytes: what the device could give; None where not known.
        num_shared: how many positions some requests would hold once when they run together.
    """

    def __init__(
        self,
        max_waiting: int,
        free_bytes: Callable[[], int | None],
        num_shared: Callable[[Sequence[Job]], int],
    ) -> None:
        self._max_waiting = max_waiting
        self._free_bytes = free_bytes
        self._num_shared = num_shared
        self._tickets: deque[Ticket] = deque()
        self._max_rows = MAX_ROWS
        self._max_bytes: float | None = None

    def __len__(self) -> int:
        return len(self._tickets)

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self._tickets)

    def add(self, ticket: Ticket) -> None:
        """Put a request at the end.

        Raises:
            OverloadError: too many wait.
        """
        check_queue_has_room(len(self._tickets), self._max_waiting, "from_pretrained")
        self._tickets.append(ticket)

    def put_back(self, tickets: Sequence[Ticket]) -> None:
        """Have requests that were begun come next."""
        self._tickets.extendleft(reversed(tickets))

    def clear(self) -> list[Ticket]:
        """All of them, which wait no longer."""
        tickets = list(self._tickets)
        self._tickets.clear()
        return tickets

    def start_over(self, *, is_idle: bool) -> None:
        """Nothing runs: what memory there is may have changed.

        Args:
            is_idle: nothing waits either; what was learned when memory ran out is forgotten.
        """
        self._max_bytes = None
        if is_idle:
            self._max_rows = MAX_ROWS

    def narrow(self, max_rows: int) -> None:
        """Let fewer run together, as memory ran out."""
        self._max_rows = max(1, max_rows)

    @property
    def max_rows(self) -> int:
        """How many may run together at most."""
        return self._max_rows

    def take_over(self) -> list[Ticket]:
        """Those that need not begin any more, which wait no longer."""
        over = [ticket for ticket in self._tickets if ticket.is_over]
        for ticket in over:
            self._tickets.remove(ticket)
        return over

    def take(self, running: Iterable[Job]) -> list[Ticket]:
        """Those that may begin beside what runs, which wait no longer."""
        jobs = list(running)
        taken: list[Ticket] = []
        while self._tickets and self._have_room([*jobs, self._tickets[0].job]):
            ticket = self._tickets.popleft()
            jobs.append(ticket.job)
            taken.append(ticket)
        return taken

    def _have_room(self, jobs: Sequence[Job]) -> bool:
        """Whether these may run together; a single one always may."""
        if len(jobs) == 1:
            return True
        if len(jobs) > self._max_rows:
            return False
        if self._max_bytes is None:
            free = self._free_bytes()
            self._max_bytes = math.inf if free is None else _CACHE_SHARE * free
        return _fit(jobs, 0, self._max_bytes) or (
            (shared := self._num_shared(jobs)) > 0 and _fit(jobs, shared, self._max_bytes)
        )


def cache_bytes(jobs: Sequence[Job], num_shared: int) -> int:
    """What the caches of requests take that hold so many positions once."""
    saved = sum(job.cache_bytes * num_shared // job.max_tokens for job in jobs[1:])
    return sum(job.cache_bytes for job in jobs) - saved


def _fit(jobs: Sequence[Job], num_shared: int, max_bytes: float) -> bool:
    """Whether there is room for the caches of these, if they hold so many positions once."""
    num_positions = len(jobs) * (max(job.max_tokens for job in jobs) - num_shared)
    return num_positions <= _MAX_TOKENS and cache_bytes(jobs, num_shared) <= max_bytes
