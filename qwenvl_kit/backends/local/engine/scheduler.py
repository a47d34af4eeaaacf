"""Serves requests from any thread on one model: gathers them, reads prompts, writes answers."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Protocol

import torch

from qwenvl_kit.backends.admission import Gathering
from qwenvl_kit.backends.base import Load, Work
from qwenvl_kit.backends.local.engine.decode import Running
from qwenvl_kit.backends.local.engine.decoding import choose_tokens
from qwenvl_kit.backends.local.engine.prefill import Group, PromptReader
from qwenvl_kit.backends.local.engine.request import Job
from qwenvl_kit.backends.local.engine.request_queue import Queue, Ticket, cache_bytes
from qwenvl_kit.backends.local.error_mapping import translated_errors
from qwenvl_kit.errors import (
    GenerationError,
    OutOfMemoryError,
    QwenVLKitError,
)
from qwenvl_kit.raising import release_frames

_IDLE_SECONDS = 1.0
"""A thread that has nothing to do for so long ends; the next request starts another."""


_JOIN_SECONDS = 10.0
"""How long the end of the program waits for a pass of the model."""

_SCHEDULERS: weakref.WeakSet[Scheduler] = weakref.WeakSet()
_THREADS: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


@atexit.register
def _finish_all() -> None:
    """A thread must not be inside native code when the interpreter goes."""
    for scheduler in tuple(_SCHEDULERS):
        scheduler.finish()
    for thread in tuple(_THREADS):
        thread.join(_JOIN_SECONDS)


class StandStill:
    """Within it no request runs: for who changes the model."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def __enter__(self) -> None:
        self._scheduler.hold()

    def __exit__(self, *_: object) -> None:
        self._scheduler.release()


class Memory(Protocol):
    """What a scheduler must know of memory."""

    def free_bytes(self) -> int | None:
        """What the model's device could give; None where not known."""

    def let_go(self) -> int:
        """Drop what is kept between requests; the bytes that it took."""


class Scheduler:
    """Runs the model in a thread of its own, for whoever submits a request.

    Args:
        reader: reads prompts.
        running: writes answers.
        memory: what the model's device has, and what may be let go.
        device_type: where the model is, as torch names it.
        max_waiting: most requests that wait.
    """

    def __init__(
        self,
        reader: PromptReader,
        running: Running,
        memory: Memory,
        device_type: str,
        max_waiting: int,
    ) -> None:
        self._device_type = device_type
        self._reader = reader
        self._running = running
        self._memory = memory
        self._max_waiting = max_waiting
        self._work = Work()
        self._tickets: dict[Job, Ticket] = {}
        self.start_over()
        _SCHEDULERS.add(self)

    def start_over(self) -> None:
        """Forget the thread and what it did, as a forked process must: it has none of it."""
        self._changed = threading.Condition()
        self._waiting = Queue(self._max_waiting, self._memory.free_bytes, self._reader.num_shared)
        self._thread: threading.Thread | None = None
        self._num_holding = 0
        self._gathering = Gathering(self._changed)
        self._is_busy = self._is_let_go = False
        self._tickets.clear()
        self._running.clear()

    def finish(self) -> None:
        """Have all requests end with what they have, and then the thread."""
        with self._changed:
            for ticket in (*self._waiting, *self._tickets.values()):
                ticket.job.deadline = 0.0
        self.let_go()

    def let_go(self) -> None:
        """End the thread, and with it its hold on the model, once no request is left.

        Takes no lock if another thread has it, so that a signal handler may call it; the thread
        then notices a little later.
        """
        self._is_let_go = True
        if self._changed.acquire(blocking=False):
            self._changed.notify_all()
            self._changed.release()

    @property
    def load(self) -> Load:
        """What waits and what runs; without a lock, so that it never has to wait itself."""
        return Load(len(self._waiting), len(self._tickets))

    def submit(self, ticket: Ticket) -> None:
        """Queue a request.

        Raises:
            OverloadError: too many wait.
        """
        with self._changed:
            self._waiting.add(ticket)
            ticket.future.set_running_or_notify_cancel()  # who waits may leave, not take it back
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._serve, name="qwenvl_kit engine", daemon=True
                )
                _THREADS.add(self._thread)
                self._thread.start()
            self._changed.notify_all()

    def gather(self) -> AbstractContextManager[None]:
        """Return a context in which nothing begins if nothing runs, as more is to follow."""
        return self._gathering.hold()

    @property
    def work(self) -> Work:
        """What it has done so far."""
        return replace(self._work)

    @property
    def running_bytes(self) -> int:
        """What the caches of the requests that run take at most."""
        jobs = tuple(self._running.jobs)
        return cache_bytes(jobs, self._reader.num_shared(jobs))

    def hold(self) -> None:
        """Wait until no request runs, and let none begin before `release`."""
        with self._changed:
            self._num_holding += 1
            self._changed.wait_for(lambda: not self._is_busy)
            self._is_busy = True

    def release(self) -> None:
        """Let requests run again."""
        with self._changed:
            self._num_holding -= 1
            self._is_busy = False
            self._changed.notify_all()

    def _serve(self) -> None:
        try:
            with torch.inference_mode(), torch.autocast(self._device_type, enabled=False):
                while self._goes_on():
                    pass
        except BaseException as error:  # a fault of ours must not leave anybody waiting
            release_frames(error)
            self._give_up(error)

    def _goes_on(self) -> bool:
        """Take in what may begin, and write a token of each answer; False when nothing comes.

        A frame of its own: while a thread waits, it must not hold the requests before.
        """
        admitted = self._next()
        if admitted is None:
            return False
        self._read(admitted)
        self._write()
        return True

    def _give_up(self, error: BaseException) -> None:
        with self._changed:
            left = [*self._tickets.values(), *self._waiting.clear()]
            self._tickets.clear()
            self._running.clear()
            self._thread, self._is_busy = None, False
            self._changed.notify_all()
        fault = GenerationError(f"the model's thread failed ({type(error).__name__}: {error})")
        fault.__cause__ = error
        for ticket in left:
            ticket.future.set_exception(fault)

    def _next(self) -> list[Ticket] | None:
        """What may begin now; None when there has been nothing to do for a while."""
        with self._changed:
            if not self._running.jobs:
                self._is_busy = False
                self._changed.notify_all()
                is_idle = not self._waiting
                self._changed.wait_for(self._may_go_on, _IDLE_SECONDS)
                if not self._waiting:
                    self._thread = None
                    return None
                self._changed.wait_for(self._may_begin)
                self._is_busy = True
                self._waiting.start_over(is_idle=is_idle)
            return self._admitted()

    def _admitted(self, beside: Sequence[Job] = ()) -> list[Ticket]:
        """Those that come next, and those that need not come any more."""
        over = self._waiting.take_over()
        return (
            over if self._num_holding else over + self._waiting.take([*self._running.jobs, *beside])
        )

    def _may_go_on(self) -> bool:
        return self._may_begin() or (self._is_let_go and not len(self._waiting))

    def _may_begin(self) -> bool:
        is_held = self._num_holding or self._gathering.is_active or self._is_busy
        return len(self._waiting) > 0 and not is_held

    def _read(self, admitted: Sequence[Ticket]) -> None:
        """Read prompts; whoever comes meanwhile is read along, while no answer waits for it."""
        unread = self._begun(admitted)
        while unread:
            group = self._reader.next_group(unread)
            self._read_group(group)
            done = () if group.stop is not None else group.jobs
            unread = [job for job in unread if job in self._tickets and job not in done]
            if not self._running.jobs:
                with self._changed:
                    admitted = self._admitted(beside=unread)
                unread += self._begun(admitted)

    def _begun(self, admitted: Sequence[Ticket]) -> list[Job]:
        """Take on requests; those that nobody wants any more end at once."""
        for ticket in admitted:
            self._tickets[ticket.job] = ticket
            if ticket.is_over:
                self._end(ticket.job)
        return [ticket.job for ticket in admitted if ticket.job in self._tickets]

    def _read_group(self, group: Group) -> None:
        try:
            with translated_errors():
                done = self._reader.read(group)
                self._work.vision_seconds += done.vision_seconds
                self._work.prefill_seconds += done.prefill_seconds
                if done.computed is None:
                    return
                choose_tokens(group.jobs, done.computed.logits, self._running.dtype)
                self._running.join(group.jobs, done.computed)
        except QwenVLKitError as error:
            self._read_apart(group, error)
        else:
            self._show(group.jobs)

    def _read_apart(self, group: Group, error: QwenVLKitError) -> None:
        """A group that failed: each by itself, so that one's fault costs no other."""
        is_shared = len(group.jobs) > 1 and not isinstance(error, OutOfMemoryError)
        if not is_shared:
            self._fail(group.jobs, error)
            return
        release_frames(error)
        for job in group.jobs:
            self._read_group(Group([job], group.base))

    def _write(self) -> None:
        """One token more of each answer."""
        jobs = list(self._running.jobs)
        if not jobs:
            return
        started = time.perf_counter()
        try:
            with translated_errors():
                choose_tokens(jobs, self._running.step(), self._running.dtype)
        except QwenVLKitError as error:
            self._running.clear()  # some layers may have taken the new tokens, and others not
            self._fail([job for job in jobs if job in self._tickets], error)
            return
        seconds = time.perf_counter() - started
        self._work.decode_seconds += seconds
        self._work.num_steps += 1
        self._work.num_row_steps += len(jobs)
        for job in jobs:
            job.times.decode += seconds
        self._show(jobs)

    def _show(self, jobs: Sequence[Job]) -> None:
        """Tell who follows them, end those that nobody wants, and hand over what is done."""
        for job in jobs:
            ticket = self._tickets.get(job)
            if ticket is None:
                continue  # it ended before, and its row is not yet gone
            is_over = ticket.is_over
            delta = job.row.take_delta()  # also completes the text of a row that has ended
            try:
                if ticket.observer is not None:
                    ticket.observer.on_delta(delta)
            except Exception as error:  # the observer's own; it costs its own request
                job.row.finish("cancelled")
                self._tickets.pop(job).future.set_exception(error)
                continue
            if is_over:
                if job.row.error is None:
                    self._keep(job)
                self._end(job)
        with _as_memory_allows():
            self._running.drop_ended()  # or at a later step

    def _keep(self, job: Job) -> None:
        """Keep what a conversation goes on from."""
        if self._running.jobs == [job]:
            with _as_memory_allows():
                self._reader.keep_answer(job, self._running.state_of_only_row())

    def _end(self, job: Job) -> None:
        future = self._tickets.pop(job).future
        if job.row.error is not None:
            release_frames(job.row.error)
            future.set_exception(job.row.error)
        else:
            future.set_result(job.completion())

    def _fail(self, jobs: Sequence[Job], error: QwenVLKitError) -> None:
        """End requests by an error, unless they can be computed once more with more room."""
        release_frames(error)
        if isinstance(error, OutOfMemoryError) and self._make_room(jobs):
            with self._changed:
                self._waiting.put_back([self._tickets.pop(job) for job in jobs])
            return
        for job in jobs:
            self._tickets.pop(job).future.set_exception(error)

    def _make_room(self, jobs: Sequence[Job]) -> bool:
        """Give up something that takes memory; False where there is nothing."""
        num_rows = len(self._running.jobs) + len(jobs)
        has_freed = bool(self._memory.let_go()) and any(job.may_free() for job in jobs)
        if has_freed:
            loss = "what was kept between requests was let go, as memory ran out"
        elif num_rows > 1:
            self._waiting.narrow(len(self._running.jobs) or num_rows // 2)
            loss = f"at most {self._waiting.max_rows} of {num_rows} ran together, as memory ran out"
        else:
            return False
        for job in jobs:
            job.note_freed(has_freed)
            job.note_loss(loss)
        return True


@contextmanager
def _as_memory_allows() -> Iterator[None]:
    """Leave out what is within, which only saves work, if there is no memory for it."""
    try:
        with translated_errors():
            yield
    except OutOfMemoryError as error:
        release_frames(error)
