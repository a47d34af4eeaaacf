"""The client of a server: it sends requests, reads their answers, and repeats those that failed."""

from __future__ import annotations

import asyncio
import math
import os
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from qwenvl_kit.backends.admission import check_queue_has_room, deadline_after, early_end
from qwenvl_kit.backends.base import Completion, Load, Observer
from qwenvl_kit.backends.server.endpoint import Api, EventStream
from qwenvl_kit.backends.server.error_mapping import ErrorTranslator
from qwenvl_kit.backends.server.event_loop import EventLoopThread
from qwenvl_kit.backends.server.rescoring import AnswerScorer
from qwenvl_kit.backends.server.response_limits import ResponseLimits
from qwenvl_kit.backends.server.stream_reader import AnswerReader
from qwenvl_kit.errors import ServerConnectionError, ServerTimeoutError
from qwenvl_kit.results import Delta, FinishReason

_LOOK_SECONDS = 0.1
"""Interval between two checks that an answer is still wanted."""

_FIRST_PAUSE_SECONDS = 0.5

_CLOSING_SECONDS = 0.5
"""Most time for closing the connection of an answer that is no longer wanted."""

_LAST_WORD_SECONDS = 2.0
"""Most time for the usage statistics of a server, once an answer is complete."""


@dataclass(frozen=True, kw_only=True)
class ConcurrencyLimits:
    """Limits on the requests that a server has at a time, on retries, and on the time they take.

    Attributes:
        max_concurrent_requests: most requests that the server has at a time.
        max_queued_requests: most requests that wait to be sent.
        max_retries: most repeats of a request that failed.
        answer_timeout_seconds: most time for a whole answer, from the moment at which its request
            is sent to the last byte; repeats, pauses and scores included.
    """

    max_concurrent_requests: int
    max_queued_requests: int
    max_retries: int
    answer_timeout_seconds: float


@dataclass
class ServerRequest:
    """A request that is sent to a server, with the state of its answer.

    Attributes:
        payload: the arguments of `chat.completions.create`.
        response_limits: limits on the size of the answer.
        make_reader: makes a reader that collects an answer.
        observer: the observer of the request; None if it has none.
        max_seconds: time after which the answer ends with what there is; None for no limit.
        degradations: features given up for the request, in words; empty if none.
        fixed_text: the answer, if the constraint allows only one.
        scorer: has the server score the answer afterwards; None if it scores while it answers.
        ends_at: time by which the whole answer must be here, on `time.monotonic`'s clock.
        reader: the reader that collects the answer at the moment.
    """

    payload: Mapping[str, Any]
    response_limits: ResponseLimits
    make_reader: Callable[[], AnswerReader]
    observer: Observer | None = None
    max_seconds: float | None = None
    degradations: tuple[str, ...] = ()
    fixed_text: str | None = None
    scorer: AnswerScorer | None = None
    ends_at: float = math.inf
    reader: AnswerReader = field(init=False)

    def __post_init__(self) -> None:
        self.reader = self.make_reader()
        self._deadline = deadline_after(self.max_seconds)

    @property
    def is_overdue(self) -> bool:
        """True if the server has taken too long for the answer."""
        return time.monotonic() >= self.ends_at

    @property
    def must_end(self) -> FinishReason | None:
        """The reason for which it must end now; None if it may go on."""
        return early_end(self.observer, self._deadline)

    def notify(self, deltas: Iterable[Delta]) -> None:
        """Pass each delta to the observer as it is made."""
        for delta in deltas:
            if self.observer is not None:
                self.observer.on_delta(delta)

    @property
    def is_seen(self) -> bool:
        """True if somebody has read a part of the answer, so that it cannot be started again."""
        return self.observer is not None and self.observer.is_read() and bool(self.reader.text)


class ServerClient:
    """A client that sends a limited number of requests at a time, in an event loop of its own.

    Args:
        make_api: makes the server's API, for use in one event loop.
        errors: translates errors of the openai package into the kit's.
        limits: limits on the requests that the server has at a time.
    """

    def __init__(
        self, make_api: Callable[[], Api], errors: ErrorTranslator, limits: ConcurrencyLimits
    ) -> None:
        self._make_api = make_api
        self._errors = errors
        self._limits = limits
        self._thread = EventLoopThread("qwenvl_kit server")
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._open: tuple[Api, asyncio.Semaphore] | None = None
        self._num_waiting = 0
        self._num_running = 0
        self._is_closed = False

    @property
    def load(self) -> Load:
        """The requests that wait and run at the moment."""
        return Load(self._num_waiting, self._num_running)

    def submit(self, request: ServerRequest) -> Future[Completion]:
        """Send a request as soon as the server has fewer than its limit; for any thread.

        Raises:
            OverloadError: too many requests wait for that.
        """
        if self._process != os.getpid():  # a forked process has no requests in flight
            self._process, self._lock, self._open = os.getpid(), threading.Lock(), None
            self._num_waiting = self._num_running = 0
        with self._lock:
            check_queue_has_room(self._num_waiting, self._limits.max_queued_requests, "connect")
            self._num_waiting += 1
        future: Future[Completion] = Future()
        future.set_running_or_notify_cancel()
        self._thread.run(self._serve(request, future))
        return future

    def close(self) -> None:
        """End the thread once no request is in flight; for any thread."""
        self._is_closed = True
        if self._open is not None or self._num_waiting:
            self._thread.run(self._end_if_idle())

    async def _serve(self, request: ServerRequest, future: Future[Completion]) -> None:
        """Answer a request, and put the completion or the error into its future."""
        try:
            completion = await self._answer_in_time(request)
        except BaseException as error:  # a caller waits for the future, whatever happens
            future.set_exception(error)
        else:
            future.set_result(completion)
        await self._end_if_idle()

    async def _answer_in_time(self, request: ServerRequest) -> Completion:
        """Return the answer, or its beginning if it was cancelled or reached its deadline."""
        task = asyncio.ensure_future(self._answer(request))
        while not task.done():
            reason, is_overdue = request.must_end, request.is_overdue
            if reason is None and not is_overdue:
                await asyncio.wait({task}, timeout=_LOOK_SECONDS)
                continue
            task.cancel()
            await asyncio.wait({task}, timeout=_CLOSING_SECONDS)
            if reason is None:
                raise self._overdue_error(request)
            return replace(request.reader.completion(reason), degradations=request.degradations)
        return task.result()

    def _overdue_error(self, request: ServerRequest) -> ServerTimeoutError:
        return ServerTimeoutError(
            "the server's answer was not whole after "
            f"{self._limits.answer_timeout_seconds:g} seconds",
            hint="connect(answer_timeout_seconds=...), or Sampling(max_seconds=...), with which "
            "what there is by then is the answer",
            text=request.reader.text,
        )

    async def _answer(self, request: ServerRequest) -> Completion:
        """Return the answer, with its scores if they take a request of their own."""
        async with self._slot() as api:
            request.ends_at = time.monotonic() + self._limits.answer_timeout_seconds
            if request.fixed_text is None:
                await self._generate(api, request)
                completion = request.reader.completion()
            else:
                completion = request.reader.completion_of(request.fixed_text)
            if request.scorer is not None and completion.text:
                completion = await self._score(api, request, request.scorer, completion)
            if request.fixed_text is not None:  # it was not generated, so nothing was shown yet
                scored = [Delta(token.text, token=token) for token in completion.tokens or ()]
                request.notify(scored or [Delta(completion.text)])
        return replace(completion, degradations=request.degradations)

    async def _score(
        self, api: Api, request: ServerRequest, scorer: AnswerScorer, completion: Completion
    ) -> Completion:
        with self._errors.translated(lambda: completion.text):
            response_limits = scorer.limits.until(request.ends_at)
            answer = await api.answer(scorer.request(completion.text), response_limits)
            return scorer.add_scores(completion, answer)

    async def _generate(self, api: Api, request: ServerRequest) -> None:
        """Read an answer. One that was cut off is requested again, unless somebody has seen it."""
        for num_failures in range(self._limits.max_retries + 1):
            request.reader = request.make_reader()
            with self._errors.translated():  # the openai client itself repeats failed requests
                stream = await api.stream(
                    request.payload, request.response_limits.until(request.ends_at)
                )
            try:
                await self._read(stream, request)
            except (ServerConnectionError, ServerTimeoutError):
                if request.is_seen or num_failures == self._limits.max_retries:
                    raise
                pause = _FIRST_PAUSE_SECONDS * 2**num_failures
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))
            else:
                break

    async def _read(self, stream: EventStream, request: ServerRequest) -> None:
        reader = request.reader
        try:
            with self._errors.translated(lambda: reader.text):
                while not reader.has_ended:
                    chunk = await _next_chunk(stream, reader, request.ends_at)
                    if chunk is None:
                        break
                    request.notify(reader.feed(chunk))
                request.notify(reader.finish())
        finally:
            await stream.close()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[Api]:
        """Wait until the server has fewer requests than its limit, and yield its API."""
        if self._open is None:
            self._open = (
                self._make_api(),
                asyncio.Semaphore(self._limits.max_concurrent_requests),
            )
        api, free = self._open
        try:
            await free.acquire()
        finally:
            with self._lock:
                self._num_waiting -= 1
        self._num_running += 1
        try:
            yield api
        finally:
            self._num_running -= 1
            free.release()

    async def _end_if_idle(self) -> None:
        if not self._is_closed or self._num_waiting or self._num_running:
            return
        opened, self._open = self._open, None
        if opened is not None:
            await opened[0].close()
        self._thread.stop()


async def _next_chunk(stream: EventStream, reader: AnswerReader, ends_at: float) -> Any:
    """Return the next chunk of an answer; None at its end.

    Once the answer is complete, only usage statistics can follow. They are not worth a long wait,
    and an error while waiting for them does not fail the answer.
    """
    if reader.completed_at is None:
        return await stream.next()
    until = min(reader.completed_at + _LAST_WORD_SECONDS, ends_at - 2 * _LOOK_SECONDS)
    try:
        return await asyncio.wait_for(stream.next(), until - time.monotonic())
    except Exception:  # errors of the stream, and the timeout
        return None
