"""What a server may send for one request, and until when.

A request carries its limits in the context in which it is sent, so that they are held where bytes
come in (`transport.py`), below a client that knows nothing of them.
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
"""Of JSON for a token, its log-probability and its bytes; vLLM writes some 150 at most."""

_BYTES_PER_CHUNK = 1024
"""Of JSON around a token of a stream; servers write some 300."""

_BYTES_PER_ID = 16
"""Of JSON for the id of a token."""

_THOUGHTS = 131_072
"""Tokens that a model may think beside `max_new_tokens`: not every server counts its thoughts."""


@dataclass(frozen=True, kw_only=True)
class ResponseLimits:
    """What a server may send for one request.

    Attributes:
        body_bytes: most bytes of the whole answer.
        event_bytes: most bytes of one event of a stream.
        is_stream: whether a stream of events was asked for.
        ends_at: until when, by `time.monotonic`; never, where nobody said.
    """

    body_bytes: int = 4 * _MIB
    event_bytes: int = _MIB
    is_stream: bool = False
    ends_at: float = math.inf

    @property
    def seconds_left(self) -> float:
        """How long it may still take; 0 if it is over."""
        return max(0.0, self.ends_at - time.monotonic())

    def until(self, ends_at: float) -> ResponseLimits:
        """The same, to end by a time of `time.monotonic`."""
        return replace(self, ends_at=ends_at)


def answer_limits(prompt_tokens: int, max_new_tokens: int, num_alternatives: int) -> ResponseLimits:
    """What a streamed answer may take: far more than an honest one does.

    The first event may tell the ids of the prompt, and any may tell the whole answer at once.

    Args:
        prompt_tokens: length of the prompt.
        max_new_tokens: most tokens that were asked for.
        num_alternatives: how many likeliest tokens were asked for at each place.
    """
    scores = (1 + num_alternatives) * _BYTES_PER_SCORE
    return ResponseLimits(
        event_bytes=_MIB + prompt_tokens * _BYTES_PER_ID + max_new_tokens * scores,
        body_bytes=prompt_tokens * _BYTES_PER_ID
        + (max_new_tokens + _THOUGHTS) * (_BYTES_PER_CHUNK + scores),
        is_stream=True,
    )


def scores_limits(prompt_tokens: int, max_new_tokens: int, num_alternatives: int) -> ResponseLimits:
    """What the scores of a prompt may take, with an answer at its end.

    Args:
        prompt_tokens: length of the prompt, without the answer.
        max_new_tokens: most tokens of the answer.
        num_alternatives: how many likeliest tokens were asked for at each place.
    """
    tokens = prompt_tokens + max_new_tokens
    scores = (2 + num_alternatives) * _BYTES_PER_SCORE
    return ResponseLimits(body_bytes=4 * _MIB + tokens * (scores + _BYTES_PER_ID))


def most_held_characters(max_new_tokens: int, num_alternatives: int) -> int:
    """How much of an answer is held at most, `HELD_PER_PIECE` characters added for each piece.

    No token of Qwen's vocabularies has more than 256 characters.
    """
    thoughts = _THOUGHTS * HELD_PER_PIECE
    return (256 * max_new_tokens + thoughts) * (1 + num_alternatives)


HELD_PER_PIECE = 32

_LIMITS: ContextVar[ResponseLimits] = ContextVar("limits")


def current_limits() -> ResponseLimits:
    """The limits of the request that is being sent."""
    return _LIMITS.get(ResponseLimits())


@contextmanager
def limited(limits: ResponseLimits) -> Iterator[None]:
    """Requests that are sent within it have these limits."""
    token = _LIMITS.set(limits)
    try:
        yield
    finally:
        _LIMITS.reset(token)
