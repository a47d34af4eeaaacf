"""The scheduler: the one thread that runs the model, for requests from any thread.

A request passes through it in this order:

1. `submit` puts it into the request queue (`request_queue`) and wakes the thread.
2. Between two decode steps the thread admits the requests that have room.
3. The prompts of admitted requests are computed in groups (`prefill`), which also gives each its
   first token; the requests then join the decode batch (`decode`). Between two groups, and between
   two `chunks` of a long prompt, answers that run get their next token.
4. Answers that are given, not generated, are scored (`scoring`), some of them between two steps.
5. Each decode step gives every sequence of the batch one more token. Observers are told, and
   requests that have ended complete their futures.

An error costs the requests that it belongs to, and no others. If memory runs out, the caches are
cleared or fewer requests run together, and the requests are computed once more.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Protocol

import torch

from qwenvl_kit.backends.admission import Gathering
from qwenvl_kit.backends.base import Load, Work
from qwenvl_kit.backends.local.engine.chunks import ALONE_CHUNK_TOKENS, CHUNK_TOKENS
from qwenvl_kit.backends.local.engine.decode import DecodeBatch, sample_tokens
from qwenvl_kit.backends.local.engine.prefill import Prefill, PrefillGroup, PrefillResult
from qwenvl_kit.backends.local.engine.request import EngineRequest
from qwenvl_kit.backends.local.engine.request_queue import RequestQueue, cache_bytes
from qwenvl_kit.backends.local.engine.scoring import Scorer, ScoringRun
from qwenvl_kit.backends.local.error_mapping import translated_errors
from qwenvl_kit.errors import GenerationError, OutOfMemoryError, QwenVLKitError, release_frames

_IDLE_SECONDS = 1.0
"""An idle thread ends after this time; the next request starts another."""

_JOIN_SECONDS = 10.0
"""The longest wait for a forward pass at the end of the program."""

_SCHEDULERS: weakref.WeakSet[Scheduler] = weakref.WeakSet()
_THREADS: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


@atexit.register
def _finish_all() -> None:
    """End all threads: none may be inside native code when the interpreter exits."""
    for scheduler in tuple(_SCHEDULERS):
        scheduler.finish()
    for thread in tuple(_THREADS):
        thread.join(_JOIN_SECONDS)


class DeviceMemory(Protocol):
    """The memory of the model's device, as far as a scheduler needs to know it."""

    def free_bytes(self) -> int | None:
        """The free memory in bytes; None where it is not known."""

    def clear_cache(self) -> int:
        """Drop everything that is kept between requests, and return the bytes that it took."""


class Scheduler:
    """Runs the model in a thread of its own, for the requests that are submitted.

    Args:
        prefill: computes prompts.
        batch: the decode batch.
        scorer: scores answers that are given.
        memory: the memory of the model's device.
        device_type: the kind of that device, as torch names it.
        max_waiting: the most requests that may wait.
    """

    def __init__(
        self,
        prefill: Prefill,
        batch: DecodeBatch,
        scorer: Scorer,
        memory: DeviceMemory,
        *,
        device_type: str,
        max_waiting: int,
    ) -> None:
        self._device_type = device_type
        self._prefill = prefill
        self._batch = batch
        self._scorer = scorer
        self._memory = memory
        self._max_waiting = max_waiting
        self._work = Work()
        self._running: dict[EngineRequest, None] = {}  # admitted and not ended, in their order
        self.reset_after_fork()
        _SCHEDULERS.add(self)

    def reset_after_fork(self) -> None:
        """Forget the thread and all requests: a forked process has neither."""
        self._changed = threading.Condition()
        self._queue = RequestQueue(
            self._max_waiting, self._memory.free_bytes, self._prefill.num_shared
        )
        self._thread: threading.Thread | None = None
        self._num_pausing = 0
        self._gathering = Gathering(self._changed)
        self._is_busy = self._is_paused = self._is_released = False
        self._running.clear()
        self._batch.clear()
        self._scoring: list[ScoringRun] = []

    def submit(self, request: EngineRequest) -> None:
        """Queue a request.

        Raises:
            OverloadError: the queue is full.
        """
        with self._changed:
            self._queue.add(request)
            request.future.set_running_or_notify_cancel()  # an observer cancels, not the future
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="qwenvl_kit engine", daemon=True
                )
                _THREADS.add(self._thread)
                self._thread.start()
            self._changed.notify_all()

    def finish(self) -> None:
        """End all requests with the tokens that they have, and then the thread."""
        with self._changed:
            for request in (*self._queue, *self._running):
                request.deadline = 0.0
        self.release()

    def release(self) -> None:
        """End the thread, which holds the model, as soon as no request is left.

        It takes no lock that another thread has, so that a signal handler may call it; the thread
        then notices a little later.
        """
        self._is_released = True
        if self._changed.acquire(blocking=False):
            self._changed.notify_all()
            self._changed.release()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Wait until no request runs, and let none begin within the block.

        It is for changes of the model itself, such as another adapter.
        """
        with self._changed:
            self._num_pausing += 1
        try:
            with self._paused_alone():
                yield
        finally:
            with self._changed:
                self._num_pausing -= 1
                self._changed.notify_all()

    @contextmanager
    def _paused_alone(self) -> Iterator[None]:
        """Wait until no request runs and nobody else pauses.

        It is not told by `_is_busy`, which a thread that begins within the block sets back.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._is_busy and not self._is_paused)
            self._is_paused = True
        try:
            yield
        finally:
            with self._changed:
                self._is_paused = False
                self._changed.notify_all()

    def gather(self) -> AbstractContextManager[None]:
        """Let no request begin within the block if none runs, so that all begin together."""
        return self._gathering.hold()

    @contextmanager
    def idle(self) -> Iterator[bool]:
        """Tell if nothing runs, and let nothing begin within the block."""
        with self._changed:
            yield not self._is_busy and not self._is_paused

    @property
    def load(self) -> Load:
        """The numbers of waiting and running requests; read without a lock, so it never waits."""
        return Load(len(self._queue), len(self._running))

    @property
    def work(self) -> Work:
        """The work done so far, as a copy."""
        return replace(self._work)

    @property
    def running_bytes(self) -> int:
        """The most bytes that the KV caches of the running requests take."""
        requests = (*self._batch.requests, *self._scored())
        return cache_bytes(requests, self._prefill.num_shared(requests))

    def _serve(self) -> None:
        """The body of the thread."""
        try:
            with torch.inference_mode(), torch.autocast(self._device_type, enabled=False):
                while self._run_once():
                    pass
        except BaseException as error:  # a fault of the engine must not leave anybody waiting
            release_frames(error)
            self._fail_all(error)

    def _run_once(self) -> bool:
        """Admit requests, compute their prompts, and decode one step; False if nothing comes.

        It is a frame of its own, so that a waiting thread does not hold the last requests.
        """
        admitted = self._next_requests()
        if admitted is None:
            return False
        self._compute_prompts(admitted)
        self._score()
        self._decode()
        return True

    def _fail_all(self, error: BaseException) -> None:
        with self._changed:
            left = [*self._running, *self._queue.clear()]
            self._running.clear()
            self._batch.clear()
            self._scoring.clear()
            self._thread, self._is_busy = None, False
            self._changed.notify_all()
        fault = GenerationError(f"the model's thread failed ({type(error).__name__}: {error})")
        fault.__cause__ = error
        for request in left:
            request.fail(fault)

    def _next_requests(self) -> list[EngineRequest] | None:
        """The requests that may begin now; None if nothing came for a while."""
        with self._changed:
            if not self._batch.requests and not self._scoring:
                self._is_busy = False
                self._changed.notify_all()
                is_idle = not self._queue
                self._changed.wait_for(self._may_go_on, _IDLE_SECONDS)
                if not self._queue:
                    self._thread = None
                    return None
                self._changed.wait_for(self._may_begin)
                self._is_busy = True
                self._queue.reset_limits(is_idle=is_idle)
            return self._take_from_queue()

    def _take_from_queue(self, not_computed: Sequence[EngineRequest] = ()) -> list[EngineRequest]:
        """The requests that may begin, and those that ended while they waited.

        Args:
            not_computed: admitted requests that are not in the batch yet.
        """
        ended = self._queue.take_ended()
        if self._num_pausing:
            return ended
        begun = [*self._batch.requests, *self._scored(), *not_computed]
        return ended + self._queue.take(begun)

    def _may_go_on(self) -> bool:
        return self._may_begin() or (self._is_released and not len(self._queue))

    def _may_begin(self) -> bool:
        is_held = self._num_pausing or self._gathering.is_active or self._is_busy
        return len(self._queue) > 0 and not is_held

    def _compute_prompts(self, admitted: Sequence[EngineRequest]) -> None:
        """Compute prompts, group by group.

        While no answer waits for the next step, requests that come meanwhile are computed too.
        """
        before = tuple(self._batch.requests)
        left = self._admit(admitted)
        while left:
            group = self._prefill.next_group(left)
            self._run_group(group, before)
            done = () if group.stop is not None else group.requests
            left = [request for request in left if request in self._running and request not in done]
            if left and self._have_readers(before):
                self._decode()
            if not self._batch.requests and not self._scoring:
                with self._changed:
                    admitted = self._take_from_queue(not_computed=left)
                left += self._admit(admitted)

    def _have_readers(self, before: Collection[EngineRequest]) -> bool:
        """True if an answer of the batch should go on between two passes over prompts.

        That is one that ran before, or that somebody reads along. Others that begin together also
        go on together, as that takes fewer steps.
        """
        return any(
            request.sequence.finish_reason is None
            and (request in before or (request.observer is not None and request.observer.is_read()))
            for request in self._batch.requests
        )

    def _admit(self, admitted: Sequence[EngineRequest]) -> list[EngineRequest]:
        """Count requests as running; complete those that have ended, and return the others."""
        for request in admitted:
            self._running[request] = None
            if request.is_over():
                self._complete(request)
        return [request for request in admitted if request in self._running]

    def _run_group(self, group: PrefillGroup, before: Collection[EngineRequest]) -> None:
        """Compute the prompts of a group, choose first tokens, and let them join the batch.

        Args:
            group: the group.
            before: the requests that ran before its requests were admitted.
        """
        chunk_tokens = CHUNK_TOKENS if self._have_readers(before) else ALONE_CHUNK_TOKENS
        passes = self._prefill.run(group, chunk_tokens)
        done: PrefillResult | None = None
        while done is None:
            try:
                with translated_errors():
                    done = next(passes)
                    if done is not None:
                        self._join(group, done)
            except QwenVLKitError as error:
                self._run_apart(group, error, before)
                return
            if done is None and self._pause(group, before):
                return
        if done.output is not None and not group.requests[0].is_scored:
            self._report(group.requests)

    def _join(self, group: PrefillGroup, done: PrefillResult) -> None:
        """Choose the first tokens of a group that is computed, and let it join the batch.

        A group whose answers are given is scored instead.
        """
        self._work.vision_seconds += done.vision_seconds
        self._work.prefill_seconds += done.prefill_seconds
        if done.output is None:
            return
        if group.requests[0].is_scored:
            self._scoring.append(self._scorer.begin(group.requests, done.output))
            return
        sample_tokens(group.requests, done.output.logits, self._batch.dtype)
        self._batch.join(group.requests, done.output)

    def _pause(self, group: PrefillGroup, before: Collection[EngineRequest]) -> bool:
        """Let others go on between two passes over a group; True if all of the group has ended."""
        if self._have_readers(before):
            self._decode()
        if not all(request.is_over() for request in group.requests):
            return False
        for request in group.requests:
            self._complete(request)
        return True

    def _run_apart(
        self, group: PrefillGroup, error: QwenVLKitError, before: Collection[EngineRequest]
    ) -> None:
        """Compute the requests of a failed group one by one, so that one fault costs no other."""
        is_shared = len(group.requests) > 1 and not isinstance(error, OutOfMemoryError)
        if not is_shared:
            self._fail(group.requests, error)
            return
        release_frames(error)
        for request in group.requests:
            self._run_group(PrefillGroup([request], group.prefix), before)

    def _scored(self) -> list[EngineRequest]:
        """The requests whose given answers are being scored."""
        return [request for run in self._scoring for request in run.requests]

    def _score(self) -> None:
        """Score some of the answers that are given, in one pass; then a decode step follows."""
        if not self._scoring:
            return
        run = self._scoring[0]
        self._drop_ended_of(run)
        if not run.is_over:
            num_rows, started = run.next_rows(self._queue.num_rows), time.perf_counter()
            try:
                with translated_errors():
                    run.score(num_rows)
            except QwenVLKitError as error:
                self._score_again(run, num_rows, error)
                return
            seconds = time.perf_counter() - started
            self._work.decode_seconds += seconds
            self._work.num_steps += 1
            self._work.num_row_steps += num_rows
            for request in run.requests:
                request.timings.decode += seconds
            self._drop_ended_of(run)
        if run.is_over:
            self._scoring.remove(run)
            for request in run.requests:
                if request in self._running:
                    self._complete(request)

    def _drop_ended_of(self, run: ScoringRun) -> None:
        """Complete the requests of a run that were cancelled, are late, or have failed."""
        for request in run.requests:
            if request in self._running and request.is_over():
                run.drop(request)
                self._complete(request)

    def _score_again(self, run: ScoringRun, num_rows: int, error: QwenVLKitError) -> None:
        """Go on with fewer answers at a time if memory ran out, or else fail the requests."""
        release_frames(error)
        if isinstance(error, OutOfMemoryError) and (self._memory.clear_cache() or num_rows > 1):
            self._queue.limit_batch_size(max(1, num_rows // 2))
            for request in run.requests:
                request.note_degradation(
                    f"at most {self._queue.max_batch_size} answers were scored together, as memory "
                    "ran out"
                )
            return
        self._scoring.remove(run)
        for request in run.requests:
            if request in self._running:
                del self._running[request]
                request.fail(error)

    def _decode(self) -> None:
        """Run one decode step: one more token for each sequence of the batch."""
        requests = list(self._batch.requests)
        if not requests:
            return
        started = time.perf_counter()
        try:
            with translated_errors():
                self._batch.advance()
        except QwenVLKitError as error:
            self._batch.clear()  # some layers may have taken the new tokens, and others not
            self._fail([request for request in requests if request in self._running], error)
            return
        seconds = time.perf_counter() - started
        self._work.decode_seconds += seconds
        self._work.num_steps += 1
        self._work.num_row_steps += len(requests)
        for request in requests:
            request.timings.decode += seconds
        self._report(requests)

    def _report(self, requests: Sequence[EngineRequest]) -> None:
        """Tell observers of new tokens, and complete the requests that have ended."""
        for request in requests:
            if request not in self._running:
                continue  # it ended before, and is not dropped from the batch yet
            is_over = request.is_over()
            delta = request.sequence.take_delta()  # also completes the text of an ended answer
            try:
                if request.observer is not None:
                    request.observer.on_delta(delta)
            except Exception as error:  # the observer's own error costs its own request
                request.sequence.finish("cancelled")
                del self._running[request]
                request.fail(error)
                continue
            if is_over:
                if request.sequence.error is None:
                    self._keep_answer(request)
                self._complete(request)
        with _optional():
            self._batch.drop_ended()  # or at a later step

    def _keep_answer(self, request: EngineRequest) -> None:
        """Keep the KV cache of a prompt and its answer, for the next turn of the conversation."""
        if self._batch.requests == [request]:
            with _optional():
                self._prefill.keep_answer(request, self._batch.state_of_only_sequence())

    def _complete(self, request: EngineRequest) -> None:
        del self._running[request]
        request.complete()

    def _fail(self, requests: Sequence[EngineRequest], error: QwenVLKitError) -> None:
        """End requests by an error, or queue them again if that error was a lack of memory."""
        release_frames(error)
        if isinstance(error, OutOfMemoryError) and self._make_room(requests):
            with self._changed:
                for request in requests:
                    del self._running[request]
                self._queue.put_back(requests)
            return
        for request in requests:
            del self._running[request]
            request.fail(error)

    def _make_room(self, requests: Sequence[EngineRequest]) -> bool:
        """Clear the caches, or else limit the batch size; False if neither can help."""
        num_together = len(self._batch.requests) + len(requests)
        num_freed = self._memory.clear_cache() + self._batch.release_buffers()
        has_freed = num_freed > 0 and any(request.may_retry() for request in requests)
        if has_freed:
            degradation = "the caches between requests were cleared, as memory ran out"
        elif num_together > 1:
            self._queue.limit_batch_size(len(self._batch.requests) or num_together // 2)
            degradation = (
                f"at most {self._queue.max_batch_size} of {num_together} ran together, as memory "
                "ran out"
            )
        else:
            return False
        for request in requests:
            request.note_freed(has_freed)
            request.note_degradation(degradation)
        return True


@contextmanager
def _optional() -> Iterator[None]:
    """Skip the rest of the block if memory runs out in it: it only saves work."""
    try:
        with translated_errors():
            yield
    except OutOfMemoryError as error:
        release_frames(error)
