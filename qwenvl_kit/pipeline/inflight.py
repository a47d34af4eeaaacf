"""A request in flight: submitted to the backend, until its reply is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qwenvl_kit.backends.base import Completion
from qwenvl_kit.errors import OutOfMemoryError, fresh
from qwenvl_kit.media.viewing import with_degradations
from qwenvl_kit.pipeline.core import Pipeline, PipelineUse, PreparedRequest
from qwenvl_kit.pipeline.stats import StatsCounter
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Delta, Reply, Timing, Usage
from qwenvl_kit.tools.reply_parser import parse_reply

if TYPE_CHECKING:
    from concurrent.futures import Future

OnDelta = Callable[[Delta], None]


class RequestObserver:
    """Observes one request from the backend's thread, and may cancel it; an `Observer`.

    Args:
        on_delta: called with each token; None if nobody reads along.
        parent: the observer of a request whose end, when it is cancelled, ends this one too.
    """

    def __init__(
        self, on_delta: OnDelta | None = None, parent: RequestObserver | None = None
    ) -> None:
        self._on_delta = on_delta
        self._parent = parent
        self._cancelled = threading.Event()
        self.has_shown = False

    def on_delta(self, delta: Delta) -> None:
        """Pass on a token that was generated."""
        self.has_shown = True
        if self._on_delta is not None:
            self._on_delta(delta)

    def is_read(self) -> bool:
        """True if somebody reads along."""
        return self._on_delta is not None

    def is_cancelled(self) -> bool:
        """True if the rest of the answer is not wanted."""
        return self._cancelled.is_set() or (
            self._parent is not None and self._parent.is_cancelled()
        )

    def cancel(self) -> None:
        """End the request at its next token, or before it begins."""
        self._cancelled.set()


class InFlightRequest:
    """A request that was submitted to the backend.

    Args:
        pipeline: the pipeline that it goes through.
        prepared: the request.
        stats: the counter of replies and failures.
        observer: the observer of the request.
        use: the use of the pipeline that ends with this request; None if the caller ends it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        prepared: PreparedRequest,
        stats: StatsCounter,
        observer: RequestObserver,
        use: PipelineUse | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._stats = stats
        self._observer = observer
        self._use = use
        self._submit(prepared)

    @property
    def future(self) -> Future[Completion]:
        """The backend's future; when it is done, `result` waits no longer."""
        return self._future

    def cancel(self) -> None:
        """End it at its next token; the text until then is the reply."""
        self._observer.cancel()
        if self._future.done():  # nobody may ever ask for the outcome
            self._end_use()

    def wait(self) -> None:
        """Wait until the backend has ended it, with a reply or an error."""
        self._future.exception()
        self._end_use()

    def retry(self) -> bool:
        """Wait until it has ended; submit it again, smaller, if memory ran out and it may shrink.

        Not if somebody has seen a part of its answer: with smaller pictures the answer may differ.

        Returns:
            True if it was submitted again.
        """
        if not isinstance(self._future.exception(), OutOfMemoryError) or self._observer.has_shown:
            return False
        smaller = self._pipeline.prepare_smaller(self._prepared)
        if smaller is not None:
            self._submit(smaller)
        return smaller is not None

    def result(self) -> Reply:
        """Wait for the reply.

        Raises:
            GenerationError: it failed.
        """
        outcome = self.outcome()
        if isinstance(outcome, Reply):
            return outcome
        try:
            raise fresh(outcome)
        finally:
            del outcome, self  # which the traceback would hold, and they it

    def outcome(self) -> Reply | Exception:
        """Wait for the reply, or the error with which it failed; count it and tell listeners."""
        try:
            return self._counted(self._ended())
        finally:
            self._end_use()

    def _ended(self) -> Reply | Exception:
        try:
            while self.retry():
                pass
            return self._ended_with()
        except Exception as error:
            return error
        except BaseException:  # the wait itself was interrupted
            self.cancel()
            raise

    def _counted(self, outcome: Reply | Exception) -> Reply | Exception:
        if isinstance(outcome, Reply):
            self._stats.add(outcome)
            self._pipeline.listeners.reply(outcome)
        else:
            self._observer.cancel()
            self._stats.add_failure()
            self._pipeline.listeners.failure(outcome)
        return outcome

    def _ended_with(self) -> Reply | Exception:
        """The reply or error of the backend. To raise the error would make a reference cycle."""
        failed = self._future.exception()
        return failed if isinstance(failed, Exception) else self._reply(self._future.result())

    def _end_use(self) -> None:
        if self._use is not None:
            self._use.end()

    def _submit(self, prepared: PreparedRequest) -> None:
        self._prepared = prepared
        # The callback must not hold this object: that would be a reference cycle.
        self._end_times = end_times = list[float]()
        self._future = self._pipeline.submit(prepared, self._observer)
        self._future.add_done_callback(lambda _: end_times.append(time.perf_counter()))
        if self._use is not None:
            self._future.add_done_callback(partial(_end_if_cancelled, self._observer, self._use))

    def _reply(self, completion: Completion) -> Reply:
        ended = (*self._end_times, time.perf_counter())[0]
        return reply_of(self._pipeline, self._prepared, completion, ended)


def reply_of(
    pipeline: Pipeline, prepared: PreparedRequest, completion: Completion, ended: float
) -> Reply:
    """The reply to a request.

    Args:
        pipeline: the pipeline that it went through.
        prepared: the request.
        completion: the answer of the backend.
        ended: the end of the answer, on `time.perf_counter`'s clock.
    """
    plan, resolved = prepared.request.plan, prepared.resolved
    if completion.degradations:
        plan = with_degradations(plan, completion.degradations)
    reply = Reply(
        text=completion.text,
        finish_reason=completion.finish_reason,
        tokens=completion.tokens,
        end_token=completion.end_token,
        usage=Usage(
            prompt_tokens=completion.prompt_tokens or plan.prompt_tokens,
            visual_tokens=plan.visual_tokens,
            completion_tokens=completion.completion_tokens,
            reused_tokens=completion.reused_tokens,
        ),
        timing=Timing(
            media=prepared.media_seconds,
            vision=completion.vision_seconds,
            prefill=completion.prefill_seconds,
            decode=completion.decode_seconds,
            total=ended - prepared.started,
        ),
        plan=plan,
        request_id=resolved.request_id,
        raw_text=completion.raw_text,
    )
    apart = parse_reply(reply, resolved.messages, begins_in_thought=completion.begins_in_thought)
    told = replace(apart, warnings=(*plan.warnings, *completion.warnings, *apart.warnings))
    return pipeline.calibrated(told, resolved)


def begin(
    use: PipelineUse, request: Request, stats: StatsCounter, observer: RequestObserver
) -> InFlightRequest:
    """Prepare a request and submit it; its use of the pipeline ends with it.

    Raises:
        InputError: the request cannot be used.
        OverloadError: too many requests wait.
    """
    try:
        prepared = use.pipeline.prepare(use.pipeline.resolve(request))
        return InFlightRequest(use.pipeline, prepared, stats, observer, use)
    except BaseException:
        use.end()
        raise


def _end_if_cancelled(observer: RequestObserver, use: PipelineUse, _: object) -> None:
    """End the use of a request that was cancelled: nobody may ever ask for its outcome."""
    if observer.is_cancelled():
        use.end_in_background()
