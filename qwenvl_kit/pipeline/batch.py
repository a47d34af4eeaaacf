"""A batch: many requests in flight at once, with results in order and failures one by one."""

from __future__ import annotations

import os
import queue
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias, Union

from qwenvl_kit.errors import (
    GenerationError,
    OutOfMemoryError,
    OverloadError,
    QwenVLKitError,
    fresh,
    release_frames,
)
from qwenvl_kit.journal import Journal, model_facts
from qwenvl_kit.media.fetch_cache import FetchCache
from qwenvl_kit.pipeline.core import PipelineUse, PreparedRequest, ResolvedRequest
from qwenvl_kit.pipeline.inflight import InFlightRequest, RequestObserver
from qwenvl_kit.pipeline.resume import BatchJournal
from qwenvl_kit.pipeline.stats import StatsCounter
from qwenvl_kit.requests import OnError, Request, RequestLike, as_request
from qwenvl_kit.results import BatchEvent, Delta, Failure, Reply, Result, Results

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    from qwenvl_kit.backends.base import Backend

_MAX_IN_FLIGHT = 96
"""Requests in flight: as many as run together, and half as many that are ready to follow."""

_MAX_PREPARING = min(4, os.cpu_count() or 1)
"""Requests that are prepared at a time. Decoding of pictures does not hold Python's lock."""

_MAX_MEDIA_BYTES = 2**29
"""Pixels of all requests in flight. Above it, no other request is prepared until one has ended."""

_GATHER_SECONDS = 0.03
"""The time that the first request waits for others, so that their prompts are read together."""

_RETRY_SECONDS = 0.01
"""The time after which a request tries again to enter a queue that was full."""


class _Item:
    """One request of the batch, from its preparation to its result.

    A callback must not hold an item, only its index: the item's future holds the callback, so both
    would stay in memory, with the pictures, until Python's garbage collector runs.
    """

    def __init__(self, index: int, given: RequestLike, observer: RequestObserver) -> None:
        self.index = index
        self.given = given
        self.observer = observer
        self.request_id: str | None = given.id if isinstance(given, Request) else None
        self.resolved: ResolvedRequest | None = None
        self.prepared: PreparedRequest | None = None
        self.in_flight: InFlightRequest | None = None
        self.num_bytes = 0

    def release(self) -> None:
        """Drop the request with its pictures; the backend holds its own references."""
        self.given = ""
        self.resolved = self.prepared = self.in_flight = None


_News: TypeAlias = Union[Delta, Reply, Exception, Literal["prepared", "ended"]]
"""News of one item, sent from any thread to the one that iterates over the events."""


class BatchRun:
    """Takes many requests through a pipeline, as many at a time as there is room for.

    The thread that iterates over `events` drives the run: it reads the requests, a few other
    threads prepare them, and the model gets them in their order.

    Args:
        requests: the requests; read one by one, when there is room for the next.
        use: the use of the pipeline; it ends with the run.
        stats: the counter of replies and failures.
        journal: the file of replies; those of earlier runs are not asked again.
        defaults: the settings of the call, for requests that have none of their own.
        max_in_flight: the most requests in flight.
        shows_deltas: True if there should be an event for each token.
    """

    def __init__(
        self,
        requests: Iterable[RequestLike],
        use: PipelineUse,
        stats: StatsCounter,
        journal: Journal,
        defaults: Request,
        *,
        max_in_flight: int | None = None,
        shows_deltas: bool = False,
    ) -> None:
        self._requests = iter(requests)  # `enumerate` would keep the last one
        self._num_read = 0
        self._use = use
        self._pipeline = use.pipeline
        self._stats = stats
        self._journal = BatchJournal(journal, use.pipeline.policy)
        self._defaults = defaults
        self._fetches = FetchCache()
        self._max_in_flight = max_in_flight or _MAX_IN_FLIGHT
        self._shows_deltas = shows_deltas
        self._news: queue.SimpleQueue[tuple[int, _News]] = queue.SimpleQueue()
        self._in_flight: dict[int, _Item] = {}
        self._ready: dict[int, _Item] = {}
        self._num_preparing = self._num_bytes = self._next_index = 0
        self._gathers_until = 0.0
        self._has_begun = self._is_read = self._is_cancelled = self._is_over = False
        self._error: Exception | None = None

    def cancel(self) -> None:
        """Read no more requests, and end those in flight; for any thread."""
        self._is_cancelled = True
        if not self._has_begun:  # and nobody may ever begin
            self._release()
        for item in tuple(self._in_flight.values()):
            item.observer.cancel()

    def events(self) -> Generator[BatchEvent, None, None]:
        """The events of all requests, as they happen.

        Raises:
            Exception: the error of the requests' own iterator, after everything that it gave has
                been answered.
        """
        from concurrent.futures import ThreadPoolExecutor

        self._has_begun = True
        pool = ThreadPoolExecutor(_MAX_PREPARING, thread_name_prefix="qwenvl_kit media")
        try:
            while (may_begin := self._may_begin()) or self._in_flight:
                if may_begin:
                    self._begin_next(pool)
                yield from self._next_events(pool)
            if self._error is not None:
                raise self._error
        finally:
            self.cancel()
            pool.shutdown(wait=False, cancel_futures=True)
            self._release()

    def _release(self) -> None:
        """Drop the requests in flight, of which nobody will hear, and the pipeline."""
        self._is_over = True
        for item in self._in_flight.values():
            item.release()
        self._in_flight.clear()
        self._ready.clear()
        self._requests = iter(())
        self._use.end()

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
        item = self._in_flight[index] = _Item(index, given, self._observer(index))
        self._num_preparing += 1
        pool.submit(self._prepare, item)

    def _observer(self, index: int) -> RequestObserver:
        news = self._news
        on_delta = (lambda delta: news.put((index, delta))) if self._shows_deltas else None
        return RequestObserver(on_delta)

    def _prepare(self, item: _Item) -> None:
        """Prepare a request, unless the journal has its reply; runs in a thread of the pool."""
        try:
            request = as_request(item.given).with_defaults(self._defaults)
            item.resolved = self._pipeline.resolve(request)
            known = self._recall(item.index, item.resolved)
            if known is None:
                item.prepared = self._pipeline.prepare(item.resolved, self._fetches)
            self._news.put((item.index, "prepared" if known is None else known))
        except Exception as error:
            self._news.put((item.index, error))
        if self._is_over:
            item.release()

    def _recall(self, index: int, request: ResolvedRequest) -> Reply | None:
        """The reply that an earlier run wrote to the journal; None if there is none."""
        reply = self._journal.find(index, request)
        return None if reply is None else self._pipeline.calibrated(reply, request)

    def _next_events(self, pool: ThreadPoolExecutor) -> Iterator[BatchEvent]:
        """The events that there are now; waits for one if no other request may begin."""
        while self._in_flight:
            is_held_up = self._submit_ready()
            outcomes = []
            for index, news in self._take(_RETRY_SECONDS if is_held_up else None):
                item = self._in_flight[index]
                if isinstance(news, Delta):
                    yield BatchEvent(item.index, delta=news)
                elif news == "prepared":
                    self._note_prepared(item)
                elif news == "ended":
                    self._collect(item, pool)
                else:
                    outcomes.append((item, news))
            if not outcomes and self._may_begin():
                return
            yield from self._results_of(outcomes)

    def _take(self, wait_seconds: float | None) -> list[tuple[int, _News]]:
        """All news that there is; empty if none comes within that time."""
        try:
            first = self._news.get(block=not self._may_begin(), timeout=wait_seconds)
        except queue.Empty:
            return []
        return [first, *(self._news.get_nowait() for _ in range(self._news.qsize()))]

    def _note_prepared(self, item: _Item) -> None:
        self._num_preparing -= 1
        self._ready[item.index] = item
        if item.prepared is not None:
            item.num_bytes = item.prepared.num_bytes
            self._num_bytes += item.num_bytes

    def _submit_ready(self) -> bool:
        """Submit the ready requests, in order; True if the queue has no room for the next."""
        if self._next_index == 0 and self._waits_for_company():
            return True
        with self._pipeline.together():
            while (item := self._ready.get(self._next_index)) is not None:
                if not self._submit(item):
                    return True
                del self._ready[self._next_index]
                self._next_index += 1
        return False

    def _submit(self, item: _Item) -> bool:
        """Submit one request, if it was prepared; False if the queue has no room for it."""
        if item.prepared is None:
            return True
        try:
            item.in_flight = InFlightRequest(
                self._pipeline, item.prepared, self._stats, item.observer
            )
        except Exception as error:
            if isinstance(error, OverloadError) and not item.observer.is_cancelled():
                return False
            self._news.put((item.index, error))
        else:
            news, index = self._news, item.index
            item.in_flight.future.add_done_callback(lambda _: news.put((index, "ended")))
        return True

    def _waits_for_company(self) -> bool:
        """True while the first requests wait for others, so that they are read together."""
        if not self._ready:
            return False
        now = time.perf_counter()
        self._gathers_until = self._gathers_until or now + _GATHER_SECONDS
        are_all_there = len(self._ready) == len(self._in_flight) and not self._may_begin()
        return now < self._gathers_until and not are_all_there

    def _collect(self, item: _Item, pool: ThreadPoolExecutor) -> None:
        """Send the outcome; a request that may be tried once more is waited for in the pool."""
        error = item.in_flight.future.exception() if item.in_flight else None
        if isinstance(error, OutOfMemoryError):
            pool.submit(self._wait, item)
        else:
            self._wait(item)

    def _wait(self, item: _Item) -> None:
        if item.in_flight is not None:
            self._news.put((item.index, item.in_flight.outcome()))

    def _results_of(
        self, outcomes: Sequence[tuple[_Item, Reply | Exception]]
    ) -> Iterator[BatchEvent]:
        """The last events of requests, after the journal has all of their replies."""
        answered = []
        for item, outcome in outcomes:
            del self._in_flight[item.index]
            self._num_bytes -= item.num_bytes
            if item.prepared is None:
                self._note_prepared(item)  # it goes no further
            elif isinstance(outcome, Reply) and item.resolved is not None:
                answered.append((item.index, item.resolved, outcome))
        self._journal.keep(answered)
        for item, outcome in outcomes:
            item.release()
            result = outcome if isinstance(outcome, Reply) else _failure(item, outcome)
            yield BatchEvent(item.index, result=result)


def open_journal(path: str | os.PathLike[str] | None, backend: Backend) -> Journal:
    """The journal of a call; without a path, one that keeps nothing.

    Raises:
        JournalError: the file cannot be used, or belongs to another model.
    """
    if path is None:
        return Journal()
    facts = {"model": model_facts(backend.report())}
    return Journal.open(path, kind="ask_many", settings=facts)


@contextmanager
def counted(requests: object, *, is_shown: bool) -> Iterator[Callable[[], object]]:
    """A function to call after each result; it moves the progress bar, if one is shown."""
    if not is_shown or sys.stderr is None:
        yield lambda: None
        return
    from qwenvl_kit.display.progress import progress_bar

    total = len(requests) if isinstance(requests, Sequence) else None
    with progress_bar()(total=total, unit="request") as bar:
        yield bar.update


def collect(
    events: Iterable[BatchEvent], on_error: OnError, count: Callable[[], object]
) -> list[Result]:
    """All results in the order of their requests.

    Args:
        events: the events of a run.
        on_error: "raise" raises the error of the first request that failed, in their order, after
            all requests before it have been answered.
        count: called after each result.
    """
    results: list[Result] = Results()
    early: dict[int, Result] = {}
    for event in events:
        if event.result is None:
            continue
        count()
        early[event.index] = event.result
        while len(results) in early:
            result = early.pop(len(results))
            if on_error == "raise" and isinstance(result, Failure):
                raise fresh(result.error)
            results.append(result)
    return results


def _failure(item: _Item, cause: Exception) -> Failure:
    """The failure of one request; an unexpected error must not cost the other requests."""
    error = fresh(cause) if isinstance(cause, QwenVLKitError) else _translated(cause)
    place = f"requests[{item.index}]"
    error.where = f"{place}.{error.where}" if error.where else place
    release_frames(error)
    return Failure(index=item.index, error=error, request_id=item.request_id)


def _translated(cause: Exception) -> GenerationError:
    error = GenerationError(f"an unexpected {type(cause).__name__} ({cause})")
    error.__cause__ = cause
    return error
