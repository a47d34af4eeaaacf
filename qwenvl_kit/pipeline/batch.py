"""Many requests: several on their way at a time, results in order, failing one by one."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, Union

from qwenvl_kit.errors import (
    GenerationError,
    OutOfMemoryError,
    OverloadError,
    QwenVLKitError,
    fresh,
    release_frames,
)
from qwenvl_kit.pipeline.core import Prepared, Settled
from qwenvl_kit.pipeline.inflight import Follower, Pending
from qwenvl_kit.requests import Request, RequestLike, as_request
from qwenvl_kit.results import Delta, Failure, Reply

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Result: TypeAlias = Union[Reply, Failure]

_MAX_IN_FLIGHT = 96
"""Requests on their way: as many as run together, and half as many that are ready to follow."""

_MAX_PREPARING = min(4, os.cpu_count() or 1)
"""Requests whose pictures are opened at a time; decoding them leaves Python's lock alone."""

_MAX_MEDIA_BYTES = 2**29
"""Pixels of requests on their way; beyond it no other is prepared until one is done."""

_GATHER_SECONDS = 0.03
"""How long the first request waits for others, which may begin as it does."""

_RETRY_SECONDS = 0.01
"""How long a request waits before it tries again to join a queue that was full."""


@dataclass(frozen=True)
class BatchEvent:
    """What happened to one of many requests.

    Attributes:
        index: its position among the requests.
        delta: what its answer grew by; None where this is its end.
        result: its reply or failure; None until its end.
    """

    index: int
    delta: Delta | None = None
    result: Result | None = None


class Desk(Protocol):
    """What a batch needs of a chat, for one of its requests at a time."""

    def settle(self, request: Request) -> Settled:
        """The request, with the settings of the call."""

    def recall(self, index: int, request: Settled) -> Reply | None:
        """Its reply, if an earlier run gave it."""

    def prepare(self, request: Settled) -> Prepared:
        """What is done before the model runs."""

    def begin(self, request: Prepared, follower: Follower) -> Pending:
        """Have it answered.

        Raises:
            OverloadError: too many requests wait.
        """

    def keep(self, answered: Sequence[tuple[int, Settled, Reply]]) -> None:
        """Take note of replies, each with its place and request."""

    def together(self) -> AbstractContextManager[object]:
        """What is begun within it is begun together."""


class _Item:
    """One of the requests on its way.

    What is called when it goes on must hold its index alone: it holds, by its future, what is
    called, and both would live on together, with its pictures.
    """

    def __init__(self, index: int, given: RequestLike, follower: Follower) -> None:
        self.index = index
        self.given = given
        self.follower = follower
        self.request_id: str | None = given.id if isinstance(given, Request) else None
        self.settled: Settled | None = None
        self.prepared: Prepared | None = None
        self.pending: Pending | None = None
        self.num_bytes = 0

    def let_go(self) -> None:
        """Forget what was asked, with its pictures; whoever runs it holds what it needs."""
        self.given = ""
        self.settled = self.prepared = self.pending = None


_Told: TypeAlias = Union[Delta, Reply, Exception, Literal["prepared", "ended"]]


class BatchRun:
    """Takes requests through a chat, as many at a time as there is room for.

    Whoever iterates over `events` drives it: requests are read in that thread, opened in a few
    others, and given to the model in their order.

    Args:
        requests: what to ask; read one by one, when there is room for it.
        desk: takes care of each.
        max_in_flight: most that are on their way at a time.
        shows_deltas: whether events tell of each token.
    """

    def __init__(
        self,
        requests: Iterable[RequestLike],
        desk: Desk,
        *,
        max_in_flight: int | None = None,
        shows_deltas: bool = False,
    ) -> None:
        self._requests = iter(requests)  # `enumerate` would keep the last one
        self._num_read = 0
        self._desk = desk
        self._max_in_flight = max_in_flight or _MAX_IN_FLIGHT
        self._shows_deltas = shows_deltas
        self._told: queue.SimpleQueue[tuple[int, _Told]] = queue.SimpleQueue()
        self._in_flight: dict[int, _Item] = {}
        self._ready: dict[int, _Item] = {}
        self._num_preparing = self._num_bytes = self._next_index = 0
        self._gathers_until = 0.0
        self._is_read = self._is_cancelled = self._is_over = False
        self._error: Exception | None = None

    def cancel(self) -> None:
        """Read no more requests, and end those on their way; for any thread."""
        self._is_cancelled = True
        for item in tuple(self._in_flight.values()):
            item.follower.cancel()

    def events(self) -> Generator[BatchEvent, None, None]:
        """What happens, as it happens.

        Raises:
            Exception: what the requests' own iterator raised, after all that it gave is done.
        """
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(_MAX_PREPARING, thread_name_prefix="qwenvl_kit media")
        try:
            while (may_begin := self._may_begin()) or self._in_flight:
                if may_begin:
                    self._begin_next(pool)
                yield from self._happened(pool)
            if self._error is not None:
                raise self._error
        finally:
            self.cancel()
            pool.shutdown(wait=False, cancel_futures=True)
            self._let_go()

    def _let_go(self) -> None:
        """Forget the requests on their way, of which nobody will hear."""
        self._is_over = True
        for item in self._in_flight.values():
            item.let_go()
        self._in_flight.clear()
        self._ready.clear()
        self._requests = iter(())

    def _may_begin(self) -> bool:
        return not (
            self._is_read
            or self._is_cancelled
            or self._num_preparing >= _MAX_PREPARING
            or len(self._in_flight) >= self._max_in_flight
            or (self._in_flight and self._num_bytes >= _MAX_MEDIA_BYTES)
        )

    def _begin_next(self, pool: ThreadPoolExecutor) -> None:
        try:
            given = next(self._requests)
        except StopIteration:
            self._is_read = True
            return
        except Exception as error:  # the caller's own; what it gave before is answered first
            self._is_read, self._error = True, error
            return
        index, self._num_read = self._num_read, self._num_read + 1
        item = self._in_flight[index] = _Item(index, given, self._follower(index))
        self._num_preparing += 1
        pool.submit(self._prepare, item)

    def _follower(self, index: int) -> Follower:
        """Who follows a request."""
        told = self._told
        return Follower((lambda delta: told.put((index, delta))) if self._shows_deltas else None)

    def _prepare(self, item: _Item) -> None:
        """In a thread of the pool: open what a request shows."""
        try:
            item.settled = self._desk.settle(as_request(item.given))
            known = self._desk.recall(item.index, item.settled)
            if known is None:
                item.prepared = self._desk.prepare(item.settled)
            self._told.put((item.index, "prepared" if known is None else known))
        except Exception as error:
            self._told.put((item.index, error))
        if self._is_over:
            item.let_go()

    def _happened(self, pool: ThreadPoolExecutor) -> Iterator[BatchEvent]:
        """What has been told by now; waits for something if no other request may begin."""
        while self._in_flight:
            is_held_up = self._submit_ready()
            outcomes = []
            for index, told in self._take(_RETRY_SECONDS if is_held_up else None):
                item = self._in_flight[index]
                if isinstance(told, Delta):
                    yield BatchEvent(item.index, delta=told)
                elif told == "prepared":
                    self._note_prepared(item)
                elif told == "ended":
                    self._collect(item, pool)
                else:
                    outcomes.append((item, told))
            if not outcomes and self._may_begin():
                return
            yield from self._ended(outcomes)

    def _take(self, wait_seconds: float | None) -> list[tuple[int, _Told]]:
        """All that has been told; nothing if there is none within that time."""
        try:
            first = self._told.get(block=not self._may_begin(), timeout=wait_seconds)
        except queue.Empty:
            return []
        return [first, *(self._told.get_nowait() for _ in range(self._told.qsize()))]

    def _note_prepared(self, item: _Item) -> None:
        self._num_preparing -= 1
        self._ready[item.index] = item
        if item.prepared is not None:
            item.num_bytes = item.prepared.num_bytes
            self._num_bytes += item.num_bytes

    def _submit_ready(self) -> bool:
        """Give the model what is ready, in order; True if it has no room for the next."""
        if self._next_index == 0 and self._gathers():
            return True
        with self._desk.together():
            while (item := self._ready.get(self._next_index)) is not None:
                if not self._submit(item):
                    return True
                del self._ready[self._next_index]
                self._next_index += 1
        return False

    def _submit(self, item: _Item) -> bool:
        """Give one to the model, if it is there to be given; False if there is no room for it."""
        if item.prepared is None:
            return True
        try:
            item.pending = self._desk.begin(item.prepared, item.follower)
        except Exception as error:
            if isinstance(error, OverloadError) and not item.follower.is_cancelled():
                return False
            self._told.put((item.index, error))
        else:
            told, index = self._told, item.index
            item.pending.future.add_done_callback(lambda _: told.put((index, "ended")))
        return True

    def _gathers(self) -> bool:
        """Whether the first requests wait a moment for company, so that they are read together."""
        if not self._ready:
            return False
        now = time.perf_counter()
        self._gathers_until = self._gathers_until or now + _GATHER_SECONDS
        are_all_there = len(self._ready) == len(self._in_flight) and not self._may_begin()
        return now < self._gathers_until and not are_all_there

    def _collect(self, item: _Item, pool: ThreadPoolExecutor) -> None:
        """Have the outcome told; one that may be tried once more is waited for elsewhere."""
        error = item.pending.future.exception() if item.pending else None
        if isinstance(error, OutOfMemoryError):
            pool.submit(self._wait, item)
        else:
            self._wait(item)

    def _wait(self, item: _Item) -> None:
        if item.pending is not None:
            self._told.put((item.index, item.pending.outcome()))

    def _ended(self, outcomes: Sequence[tuple[_Item, Reply | Exception]]) -> Iterator[BatchEvent]:
        """The ends of requests, once all of them have been noted."""
        answered = []
        for item, outcome in outcomes:
            del self._in_flight[item.index]
            self._num_bytes -= item.num_bytes
            if item.prepared is None:
                self._note_prepared(item)  # as far as it comes
            elif isinstance(outcome, Reply) and item.settled is not None:
                answered.append((item.index, item.settled, outcome))
        self._desk.keep(answered)
        for item, outcome in outcomes:
            item.let_go()
            result = outcome if isinstance(outcome, Reply) else _failure(item, outcome)
            yield BatchEvent(item.index, result=result)


def _failure(item: _Item, cause: Exception) -> Failure:
    """The failure of one request; an error that nobody expected must not cost its neighbours."""
    error = fresh(cause) if isinstance(cause, QwenVLKitError) else _translated(cause)
    place = f"requests[{item.index}]"
    error.where = f"{place}.{error.where}" if error.where else place
    release_frames(error)
    return Failure(index=item.index, error=error, request_id=item.request_id)


def _translated(cause: Exception) -> GenerationError:
    error = GenerationError(f"an unexpected {type(cause).__name__} ({cause})")
    error.__cause__ = cause
    return error
