"""Streams: answers that are read while they are generated."""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from typing import TYPE_CHECKING, Union

from qwenvl_kit.display.growing import grow, new_handle
from qwenvl_kit.display.text import shortened
from qwenvl_kit.errors import fresh, release_frames
from qwenvl_kit.journal import Journal
from qwenvl_kit.pipeline.batch import BatchRun, open_journal
from qwenvl_kit.pipeline.inflight import InFlightRequest, RequestObserver
from qwenvl_kit.pipeline.process_bound import process_bound
from qwenvl_kit.requests import check_batch
from qwenvl_kit.results import BatchEvent, Delta, Reply, Result, Results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Self

    from qwenvl_kit.pipeline.core import PipelineSlot
    from qwenvl_kit.pipeline.stats import StatsCounter
    from qwenvl_kit.requests import Request, RequestLike


@process_bound
class ReplyStream:
    """Iterates over the pieces of an answer; `reply` holds all of it at the end.

    Leaving its `with` block cancels a generation that still runs, and so does dropping the last
    reference to it; after a mere `break` it runs on. Whatever the generation raises is raised in
    the reader.

        with chat.stream("Describe this image.", "photo.jpg") as stream:
            for delta in stream:
                print(delta.text, end="")

    Args:
        begin: has the request answered, for the follower that it is given.
    """

    def __init__(self, begin: Callable[[RequestObserver], InFlightRequest]) -> None:
        self._news: queue.SimpleQueue[Union[Delta, None]] = queue.SimpleQueue()
        self._observer = RequestObserver(self._news.put)
        self._outcome: Reply | Exception | None = None
        self._read: list[str] = []
        self._in_flight: InFlightRequest | None = begin(self._observer)
        self._await_end(self._in_flight)

    def __iter__(self) -> Iterator[Delta]:
        return self

    def __next__(self) -> Delta:
        while self._outcome is None:
            delta = self._news.get()
            if delta is not None:
                self._read.append(delta.text)
                return delta
            self._end()
        if isinstance(self._outcome, BaseException):
            raise fresh(self._outcome)
        raise StopIteration

    @property
    def reply(self) -> Reply:
        """The whole reply; reads the rest of the stream first if there is any."""
        for _ in self:
            pass
        if not isinstance(self._outcome, Reply):
            raise RuntimeError("the stream ended without an outcome")
        return self._outcome

    def __repr__(self) -> str:
        if isinstance(self._outcome, Reply):
            return f"ReplyStream(ended, {self._outcome!r})"
        state = "failed" if self._outcome is not None else "running"
        return f"ReplyStream({state}, {shortened(''.join(self._read))!r} so far)"

    def _ipython_display_(self) -> None:
        """Show the answer in a notebook while it grows, and the whole reply at its end.

        An interrupt of the kernel cancels the answer.
        """
        handle = new_handle("".join(self._read))
        try:
            grow((delta.text for delta in self), handle, so_far="".join(self._read))
        except KeyboardInterrupt:
            self.cancel()
        handle.update(self.reply)

    def cancel(self) -> None:
        """Stop at the next token; may be called from any thread.

        What there is by then becomes the reply, with finish reason "cancelled".
        """
        self._observer.cancel()
        if (request := self._in_flight) is not None:
            request.cancel()

    def __enter__(self) -> ReplyStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        if self._in_flight is not None:
            self._in_flight.wait()

    def __del__(self) -> None:
        if hasattr(self, "_observer"):
            self._observer.cancel()

    def _await_end(self, request: InFlightRequest) -> None:
        news = self._news  # what runs must not hold the stream itself, which may be dropped
        request.future.add_done_callback(lambda _: news.put(None))

    def _end(self) -> None:
        request = self._in_flight
        if request is None:  # another reader was here first
            return
        if request.retry():
            self._await_end(request)
            return
        self._outcome = request.outcome()
        self._in_flight = None  # which holds the pictures
        if isinstance(self._outcome, Exception):
            release_frames(self._outcome)
        self._news.put(None)  # for another reader that waits


@process_bound
class BatchStream:
    """Iterates over what happens to many requests: pieces of their answers, and their results.

        with chat.stream_many(["What is a pixel?", "What is a voxel?"]) as stream:
            for event in stream:
                if event.delta is not None:
                    print(event.index, event.delta.text)
        print(stream.results)

    Requests go on only while it is read. Leaving its `with` block ends those that still run.

    Args:
        run: takes the requests through a chat.
        journal: the journal to close at the end; None if it belongs to the caller.
    """

    def __init__(self, run: BatchRun, journal: Journal | None = None) -> None:
        self._run = run
        self._journal = journal
        self._events = run.events()
        self._results: dict[int, Result] = {}

    @classmethod
    def begin(
        cls,
        requests: Iterable[RequestLike],
        defaults: Request,
        slot: PipelineSlot,
        stats: StatsCounter,
        *,
        max_in_flight: int | None = None,
        journal: str | os.PathLike[str] | Journal | None = None,
    ) -> BatchStream:
        """Begin to take requests through the pipeline of this moment.

        Args:
            requests: the requests; read one by one, when there is room for the next.
            defaults: the settings of the call, for requests that have none of their own.
            slot: the chat's pipeline.
            stats: the counter of replies and failures.
            max_in_flight: the most requests in flight; None for the usual number.
            journal: the file of replies, or a journal that is open and stays so; None for none.

        Raises:
            JournalError: the file cannot be used, or belongs to another model.
        """
        check_batch(requests, defaults, "return", max_in_flight)
        iterator = iter(requests)  # which may raise, before there is anything to end
        use = slot.use()
        try:
            kept = (
                journal
                if isinstance(journal, Journal)
                else open_journal(journal, use.pipeline.backend)
            )
            run = BatchRun(
                iterator,
                use,
                stats,
                kept,
                defaults,
                max_in_flight=max_in_flight,
                shows_deltas=True,
            )
        except BaseException:
            use.end()
            raise
        return cls(run, None if kept is journal else kept)

    def __iter__(self) -> Iterator[BatchEvent]:
        return self

    def __next__(self) -> BatchEvent:
        try:
            event = next(self._events)
        except StopIteration:
            if self._journal is not None:
                self._journal.close()
            raise
        if event.result is not None:
            self._results[event.index] = event.result
        return event

    @property
    def results(self) -> list[Result]:
        """The result of each request, in order; reads the rest of the stream first."""
        for _ in self:
            pass
        return Results(self._results[index] for index in sorted(self._results))

    def cancel(self) -> None:
        """Read no more requests, and end each that runs at its next token; for any thread.

        What there is by then are their replies, with finish reason "cancelled".
        """
        self._run.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._run.cancel()
        self._events.close()
        if self._journal is not None:
            self._journal.close()
