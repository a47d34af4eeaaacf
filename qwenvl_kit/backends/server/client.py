"""Requests on their way to a server."""

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
"""How often it is asked whether anybody still wants an answer."""

_FIRST_PAUSE_SECONDS = 0.5

_CLOSING_SECONDS = 0.5
"""How long the connection of an answer that is not wanted may take to close."""

_LAST_WORD_SECONDS = 2.0
"""How long a server may take for its usage, once an answer is complete."""


@dataclass(frozen=True, kw_only=True)
class ConcurrencyLimits:
    """How much is asked of a server, and how often.

    Attributes:
        max_concurrent_requests: most that it has at a time.
        max_queued_requests: most that wait for that.
        max_retries: how often a request is repeated that came to nothing.
        answer_timeout_seconds: how long it may take for an answer as a whole, from the moment at
            which it is sent to the last byte; repeats, pauses and scores included.
    """

    max_concurrent_requests: int
    max_queued_requests: int
    max_retries: int
    answer_timeout_seconds: float


@dataclass
class ServerRequest:
    """A request on its way.

    Attributes:
        payload: the arguments of `chat.completions.create`.
        response_limits: what the answer may take.
        make_reader: what collects an answer to it.
        observer: who follows it; None for nobody.
        max_seconds: when to stop at the latest, from now on; None for never.
        notes: what was given up for it so far.
        fixed_text: the answer, where only one may come.
        scorer: tells how probable the answer was; None where the server does that as it answers.
        ends_at: until when the server may take for it, by `time.monotonic`.
        reader: what collects its answer at the moment.
    """

    payload: Mapping[str, Any]
    response_limits: ResponseLimits
    make_reader: Callable[[], AnswerReader]
    observer: Observer | None = None
    max_seconds: float | None = None
    notes: tuple[str, ...] = ()
    fixed_text: str | None = None
    scorer: AnswerScorer | None = None
    ends_at: float = math.inf
    reader: AnswerReader = field(init=False)

    def __post_init__(self) -> None:
        self.reader = self.make_reader()
        self._deadline = deadline_after(self.max_seconds)

    @property
    def is_overdue(self) -> bool:
        """Whether the server has taken too long for it."""
        return time.monotonic() >= self.ends_at

    @property
    def must_end(self) -> FinishReason | None:
        """Why it has to end now; None if it has not."""
        return early_end(self.observer, self._deadline)

    def tell(self, deltas: Iterable[Delta]) -> None:
        """Tell whoever follows it of each, as it is made."""
        for delta in deltas:
            if self.observer is not None:
                self.observer.on_delta(delta)

    @property
    def is_seen(self) -> bool:
        """Whether somebody has read some of its answer, so that it cannot be begun anew."""
        return self.observer is not None and self.observer.is_read() and bool(self.reader.text)


class ServerClient:
    """Sends requests to a server, so many at a time, in an event loop of its own.

    Args:
        make_api: the server's API, to be used in one event loop.
        errors: what turns a client's errors into the kit's.
        limits: how much is asked of the server.
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
        """What waits and what runs at the moment."""
        return Load(self._num_waiting, self._num_running)

    def submit(self, request: ServerRequest) -> Future[Completion]:
        """Send a request as soon as the server has fewer than it may have; for any thread.

        Raises:
            OverloadError: too many wait for that.
        """
        if self._process != os.getpid():  # a forked process has nothing on its way
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
        """Let the thread end once nothing is on its way; for any thread."""
        self._is_closed = True
        if self._open is not None or self._num_waiting:
            self._thread.run(self._end_if_idle())

    async def _serve(self, request: ServerRequest, future: Future[Completion]) -> None:
        """Answer a request; whatever comes of it is in its future."""
        try:
            completion = await self._watched(request)
        except BaseException as error:  # whoever waits must be told of anything
            future.set_exception(error)
        else:
            future.set_result(completion)
        await self._end_if_idle()

    async def _watched(self, request: ServerRequest) -> Completion:
        """The answer, as far as it is wanted."""
        task = asyncio.ensure_future(self._answered(request))
        while not task.done():
            reason, is_overdue = request.must_end, request.is_overdue
            if reason is None and not is_overdue:
                await asyncio.wait({task}, timeout=_LOOK_SECONDS)
                continue
            task.cancel()
            await asyncio.wait({task}, timeout=_CLOSING_SECONDS)
            if reason is None:
                raise self._overdue_error(request)
            return replace(request.reader.completion(reason), degradations=request.notes)
        return task.result()

    def _overdue_error(self, request: ServerRequest) -> ServerTimeoutError:
        return ServerTimeoutError(
            "the server's answer was not whole after "
            f"{self._limits.answer_timeout_seconds:g} seconds",
            hint="connect(answer_timeout_seconds=...), or Sampling(max_seconds=...), with which "
            "what there is by then is the answer",
            text=request.reader.text,
        )

    async def _answered(self, request: ServerRequest) -> Completion:
        """The answer, and its scores where they take a request of their own."""
        async with self._turn() as api:
            request.ends_at = time.monotonic() + self._limits.answer_timeout_seconds
            if request.fixed_text is None:
                await self._generated(api, request)
                completion = request.reader.completion()
            else:
                completion = request.reader.given(request.fixed_text)
            if request.scorer is not None and completion.text:
                completion = await self._scored(api, request, request.scorer, completion)
            if request.fixed_text is not None:  # nobody generated it
                scored = [Delta(token.text, token=token) for token in completion.tokens or ()]
                request.tell(scored or [Delta(completion.text)])
        return replace(completion, degradations=request.notes)

    async def _scored(
        self, api: Api, request: ServerRequest, scorer: AnswerScorer, completion: Completion
    ) -> Completion:
        with self._errors.translated(lambda: completion.text):
            response_limits = scorer.limits.until(request.ends_at)
            answer = await api.answer(scorer.request(completion.text), response_limits)
            return scorer.scored(completion, answer)

    async def _generated(self, api: Api, request: ServerRequest) -> None:
        """Read an answer; one that was cut off is asked for again, unless somebody has seen it."""
        for num_failures in range(self._limits.max_retries + 1):
            request.reader = request.make_reader()
            with self._errors.translated():  # what can be asked again, the client asks
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
                    request.tell(reader.feed(chunk))
                request.tell(reader.finish())
        finally:
            await stream.close()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[Api]:
        """Wait until the server has fewer requests than it may have."""
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
    """The next chunk of an answer; None at its end.

    Once the answer is complete only its usage can come, which is not worth a long wait, nor one
    until the time for it is over; and whatever else happens then costs the answer nothing.
    """
    if reader.completed_at is None:
        return await stream.next()
    until = min(reader.completed_at + _LAST_WORD_SECONDS, ends_at - 2 * _LOOK_SECONDS)
    try:
        return await asyncio.wait_for(stream.next(), until - time.monotonic())
    except Exception:  # its own errors among them, and that the time is over
        return None
