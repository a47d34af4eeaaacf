"""What a chat has answered so far, counted."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from qwenvl_kit.backends.base import Work
from qwenvl_kit.results import Reply


@dataclass(frozen=True)
class ChatStats:
    """Totals of a chat since it was made.

    Attributes:
        num_replies: requests that were answered.
        num_failures: those that failed after they were given to the model.
        prompt_tokens, visual_tokens, completion_tokens: of all replies.
        reused_tokens: prompt tokens that had been computed before.
        media_seconds: preparing requests; several are prepared at a time, and each counts.
        vision_seconds, prefill_seconds, decode_seconds: how long the model was at it; requests
            that ran together count once. None where the backend does not say.
        num_row_steps: places in the steps in which answers were written; those beyond
            `completion_tokens` were kept for answers that had ended. None as above.
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


class Totals:
    """Adds up replies, from any thread."""

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
        """All of it, with what the backend says of its own work."""
        if work is None:
            return self._stats
        return replace(
            self._stats,
            vision_seconds=work.vision_seconds,
            prefill_seconds=work.prefill_seconds,
            decode_seconds=work.decode_seconds,
            num_row_steps=work.num_row_steps,
        )
