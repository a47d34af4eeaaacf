"""Statistics of a chat: totals of its replies, and its state at the moment."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from qwenvl_kit.backends.base import Backend, Load, Queueing, Work
from qwenvl_kit.errors import ModelLoadError
from qwenvl_kit.results import Reply


@dataclass(frozen=True)
class ChatStats:
    """Totals of a chat since it was made.

    Attributes:
        num_replies: requests that were answered.
        num_failures: requests that failed after they were given to the model.
        prompt_tokens, visual_tokens, completion_tokens: tokens of all replies.
        reused_tokens: prompt tokens that came from the cache.
        media_seconds: time to prepare requests, summed over requests that are prepared at once.
        vision_seconds, prefill_seconds, decode_seconds: time of the model in each stage; requests
            of one batch count once. None if the backend does not say.
        num_row_steps: rows of all decode steps. The rows beyond `completion_tokens` were padding
            for answers that had ended. None as above.
    """

    num_replies: int = 0
    num_failures: int = 0
    prompt_tokens: int = 0
    visual_tokens: int = 0
    completion_tokens: int = 0
    reused_tokens: int = 0
    media_seconds: float = 0.0
    vision_seconds: float | None = None
    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    num_row_steps: int | None = None


class StatsCounter:
    """A counter of replies and failures, for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stats = ChatStats()

    def add(self, reply: Reply) -> None:
        """Count a reply."""
        with self._lock:
            stats, usage = self._stats, reply.usage
            self._stats = replace(
                stats,
                num_replies=stats.num_replies + 1,
                prompt_tokens=stats.prompt_tokens + usage.prompt_tokens,
                visual_tokens=stats.visual_tokens + usage.visual_tokens,
                completion_tokens=stats.completion_tokens + usage.completion_tokens,
                reused_tokens=stats.reused_tokens + usage.reused_tokens,
                media_seconds=stats.media_seconds + reply.timing.media,
            )

    def add_failure(self) -> None:
        """Count a request that failed."""
        with self._lock:
            self._stats = replace(self._stats, num_failures=self._stats.num_failures + 1)

    def stats(self, work: Work | None) -> ChatStats:
        """The totals, with the times that the backend measured."""
        if work is None:
            return self._stats
        return replace(
            self._stats,
            vision_seconds=work.vision_seconds,
            prefill_seconds=work.prefill_seconds,
            decode_seconds=work.decode_seconds,
            num_row_steps=work.num_row_steps,
        )


@dataclass(frozen=True)
class Health:
    """The state of a chat at the moment. It is known without waiting for the model.

    Attributes:
        is_ready: True if requests are taken; False after `close`.
        num_waiting: requests that wait for the model.
        num_running: requests that are being answered.
        free_bytes: free memory of the device; None if not known.
    """

    is_ready: bool
    num_waiting: int
    num_running: int
    free_bytes: int | None

    @property
    def is_idle(self) -> bool:
        """True if no request waits and none runs."""
        return not self.num_waiting and not self.num_running


def health_of(backend: Backend, *, is_open: bool = True) -> Health:
    """The state of a backend; `is_open` is False for a chat that takes no more requests."""
    try:
        load = backend.load() if isinstance(backend, Queueing) else Load(0, 0)
        return Health(is_open, load.num_waiting, load.num_running, backend.free_bytes())
    except ModelLoadError:  # it was closed
        return Health(False, 0, 0, None)
