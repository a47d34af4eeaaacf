"""A request that is being answered, and its reply once it is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from qwenvl_kit.backends.base import Completion
from qwenvl_kit.errors import OutOfMemoryError
from qwenvl_kit.pipeline.core import Pipeline, Prepared
from qwenvl_kit.pipeline.stats import Totals
from qwenvl_kit.raising import fresh
from qwenvl_kit.results import Delta, Reply, Timing, Usage
from qwenvl_kit.tools.reply_parser import parse_reply

if TYPE_CHECKING:
    from concurrent.futures import Future

OnDelta = Callable[[Delta], None]


class Follower:
    """Follows one request in the backend's thread; an `Observer`.

    Args:
        on_delta: told of each token; None if nobody reads along.
    """

    def __init__(self, on_delta: OnDelta | None = None) -> None:
        self._on_delta = on_delta
        self._cancelled = threading.Event()
        self.has_shown = False

    def on_delta(self, delta: Delta) -> None:
        """A token was generated."""
        self.has_shown = True
        if self._on_delta is not None:
            self._on_delta(delta)

    def is_read(self) -> bool:
        """Whether anybody reads along."""
        return self._on_delta is not None

    def is_cancelled(self) -> bool:
        """Whether nobody wants more of it."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Let the request end at its next token, or before it begins."""
        self._cancelled.set()


class Pending:
    """A request that a backend has.

    Args:
        pipeline: by which it came.
        prepared: the request.
        totals: where its reply is counted.
        follower: who follows it.
    """

    def __init__(
        self, pipeline: Pipeline, prepared: Prepared, totals: Totals, follower: Follower
    ) -> None:
        self._pipeline = pipeline
        self._totals = totals
        self._follower = follower
        self._submit(prepared)

    @property
    def future(self) -> Future[Completion]:
        """Done when the backend is; whoever waits for it then takes `result`."""
        return self._future

    def cancel(self) -> None:
        """End it at its next token; what there is by then is the reply."""
        self._follower.cancel()

    def wait(self) -> None:
        """Wait until the backend is done with it, however it ended."""
        self._future.exception()

    def retry(self) -> bool:
        """Wait until it is done; if it ran out of memory and may be shrunk, ask it once more.

        Nobody may have seen any of its answer, for that of smaller pictures may be another.
        """
        if not isinstance(self._future.exception(), OutOfMemoryError) or self._follower.has_shown:
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
        """Wait for the reply, or for the error by which it failed."""
        try:
            while self.retry():
                pass
            outcome = self._ended_with()
        except Exception as error:
            outcome = error
        except BaseException:  # the wait itself was interrupted
            self.cancel()
            raise
        if isinstance(outcome, Reply):
            self._totals.add(outcome)
            self._pipeline.listeners.reply(outcome)
            return outcome
        self.cancel()
        self._totals.add_failure()
        self._pipeline.listeners.failure(outcome)
        return outcome

    def _ended_with(self) -> Reply | Exception:
        """What the backend gave; an error is not raised, which would have it refer to this."""
        failed = self._future.exception()
        return failed if isinstance(failed, Exception) else self._reply(self._future.result())

    def _submit(self, prepared: Prepared) -> None:
        self._prepared = prepared
        # What the future calls must not hold this, or both live until Python looks for cycles.
        self._ended = ended = list[float]()
        self._future = self._pipeline.submit(prepared, self._follower)
        self._future.add_done_callback(lambda _: ended.append(time.perf_counter()))

    def _reply(self, completion: Completion) -> Reply:
        prepared = self._prepared
        plan, ended = prepared.request.plan, (*self._ended, time.perf_counter())[0]
        if completion.degradations:
            plan = replace(plan, degradations=(*plan.degradations, *completion.degradations))
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
            request_id=prepared.settled.request_id,
            raw_text=completion.raw_text,
        )
        settled = prepared.settled
        apart = parse_reply(reply, settled.messages, begins_in_thought=completion.begins_in_thought)
        told = replace(apart, warnings=(*plan.warnings, *completion.warnings, *apart.warnings))
        return self._pipeline.judged(told, settled)


async def fails_for_memory(pending: Pending) -> bool:
    """Wait until a backend is done with a request; whether the memory was too little for it."""
    import asyncio

    ended = asyncio.wrap_future(pending.future)
    try:
        await asyncio.wait([ended])  # which raises nothing: an error here would refer to itself
    except asyncio.CancelledError:
        ended.cancel()
        raise
    return isinstance(ended.exception(), OutOfMemoryError)
