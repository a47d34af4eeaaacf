"""An answer that is read while it is generated."""

from __future__ import annotations

import atexit
import queue
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Union

from qwenvl_kit.errors import GenerationError, release_frames
from qwenvl_kit.results import Delta, Reply


class StreamObserver:
    """Carries tokens from the thread that generates to the one that reads; an `Observer`."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Union[Delta, Reply, BaseException]] = queue.SimpleQueue()
        self._cancelled = threading.Event()

    def on_delta(self, row: int, delta: Delta) -> None:
        """A token was generated."""
        self._events.put(delta)

    def is_cancelled(self) -> bool:
        """Whether the reader has had enough."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """End the generation at its next token."""
        self._cancelled.set()

    def finish(self, outcome: Reply | BaseException) -> None:
        """The generation has ended."""
        self._events.put(outcome)

    def next_event(self) -> Delta | Reply | BaseException:
        """Wait for what comes next."""
        return self._events.get()


_RUNNING: weakref.WeakSet[ReplyStream] = weakref.WeakSet()


@atexit.register
def _end_running_streams() -> None:
    """End what still runs before the interpreter goes: its thread may be inside native code."""
    for stream in tuple(_RUNNING):
        stream.cancel()
        stream._thread.join()


class ReplyStream:
    """Iterates over the pieces of an answer; `reply` holds all of it at the end.

    Leaving its `with` block cancels a generation that still runs, and so does dropping the last
    reference to it; after a mere `break` it runs on. Whatever the generation raises is raised in
    the reader.

        with chat.stream("Describe this image.", "photo.jpg") as stream:
            for delta in stream:
                print(delta.text, end="")

    Args:
        run: generates the reply, reporting to the observer; runs in a thread of its own.
    """

    def __init__(self, run: Callable[[StreamObserver], Reply]) -> None:
        self._observer = StreamObserver()
        self._outcome: Reply | BaseException | None = None
        self._thread = threading.Thread(
            target=_run, args=(run, self._observer), name="qwenvl_kit stream", daemon=True
        )
        _RUNNING.add(self)
        self._thread.start()

    def __iter__(self) -> Iterator[Delta]:
        return self

    def __next__(self) -> Delta:
        if self._outcome is None:
            event = self._observer.next_event()
            if isinstance(event, Delta):
                return event
            self._outcome = event
            self._observer.finish(event)  # for another reader that waits
            self._thread.join()
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        raise StopIteration

    @property
    def reply(self) -> Reply:
        """The whole reply; reads the rest of the stream first if there is any."""
        for _ in self:
            pass
        if not isinstance(self._outcome, Reply):
            raise GenerationError("the stream ended without a reply")
        return self._outcome

    def cancel(self) -> None:
        """Stop at the next token; may be called from any thread.

        What there is by then becomes the reply, with finish reason "cancelled".
        """
        self._observer.cancel()

    def __enter__(self) -> ReplyStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()
        self._thread.join()

    def __del__(self) -> None:
        self._observer.cancel()


def _run(run: Callable[[StreamObserver], Reply], observer: StreamObserver) -> None:
    try:
        observer.finish(run(observer))
    except BaseException as error:  # carried to the reader, who is waiting for it
        release_frames(error)
        observer.finish(error)
