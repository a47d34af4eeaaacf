"""Limits on the response to one request: its size, and the time by which it must end.

The limits of a request are stored in a context variable, so that the transport (`transport.py`)
can enforce them where bytes arrive. The openai package in between does not know them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

_MIB = 2**20

_BYTES_PER_SCORE = 256
"""Bytes of JSON for a token, its log-probability and its bytes; vLLM writes about 150 at most."""

_BYTES_PER_CHUNK = 1024
"""Bytes of JSON around a token of a stream; servers write about 300."""

_BYTES_PER_ID = 16
"""Bytes of JSON for the id of a token."""

_THOUGHTS = 131_072
"""Most tokens of thoughts in addition to `max_new_tokens`, as some servers do not count them."""


@dataclass(frozen=True, kw_only=True)
class ResponseLimits:
    """Limits on the response to one request.

    Attributes:
        body_bytes: most bytes of the whole response.
        event_bytes: most bytes of one event of a stream.
        is_stream: True if a stream of events was requested.
        ends_at: time by which the response must end, on `time.monotonic`'s clock; infinite by
            default.
    """

    body_bytes: int = 4 * _MIB
    event_bytes: int = _MIB
    is_stream: bool = False
    ends_at: float = math.inf

    @property
    def seconds_left(self) -> float:
        """The time that is left, in seconds; 0 if it is over."""
        return max(0.0, self.ends_at - time.monotonic())

    def until(self, ends_at: float) -> ResponseLimits:
        """Return the same limits with another time by which the response must end."""
        return replace(self, ends_at=ends_at)


def answer_limits(prompt_tokens: int, max_new_tokens: int, num_alternatives: int) -> ResponseLimits:
    """Limits on a streamed answer: far more than an honest server needs.

    The first event may contain the ids of the prompt, and any event the whole answer at once.

    Args:
        prompt_tokens: length of the prompt.
        max_new_tokens: most tokens of the answer.
        num_alternatives: number of the likeliest tokens that were requested at each position.
    """
    scores = (1 + num_alternatives) * _BYTES_PER_SCORE
    return ResponseLimits(
        event_bytes=_MIB + prompt_tokens * _BYTES_PER_ID + max_new_tokens * scores,
        body_bytes=prompt_tokens * _BYTES_PER_ID
        + (max_new_tokens + _THOUGHTS) * (_BYTES_PER_CHUNK + scores),
        is_stream=True,
    )


def scores_limits(prompt_tokens: int, max_new_tokens: int, num_alternatives: int) -> ResponseLimits:
    """Limits on the scores of a prompt with an answer at its end.

    Args:
        prompt_tokens: length of the prompt, without the answer.
        max_new_tokens: most tokens of the answer.
        num_alternatives: number of the likeliest tokens that were requested at each position.
    """
    tokens = prompt_tokens + max_new_tokens
    scores = (2 + num_alternatives) * _BYTES_PER_SCORE
    return ResponseLimits(body_bytes=4 * _MIB + tokens * (scores + _BYTES_PER_ID))


def most_held_characters(max_new_tokens: int, num_alternatives: int) -> int:
    """Most characters of an answer that are kept, `HELD_PER_PIECE` added for each piece.

    No token of Qwen's vocabularies has more than 256 characters.
    """
    thoughts = _THOUGHTS * HELD_PER_PIECE
    return (256 * max_new_tokens + thoughts) * (1 + num_alternatives)


HELD_PER_PIECE = 32

_LIMITS: ContextVar[ResponseLimits] = ContextVar("limits")


def current_limits() -> ResponseLimits:
    """Return the limits of the request that is being sent."""
    return _LIMITS.get(ResponseLimits())


@contextmanager
def limited(limits: ResponseLimits) -> Iterator[None]:
    """Give these limits to all requests that are sent within the context."""
    token = _LIMITS.set(limits)
    try:
        yield
    finally:
        _LIMITS.reset(token)
