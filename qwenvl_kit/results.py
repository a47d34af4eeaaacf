"""What a user gets back: an answer with its tokens, confidence, cost and plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.plans import Plan

FinishReason: TypeAlias = Literal["stop", "length", "cancelled", "deadline", "repetition"]
"""Why an answer ended: the model or a stop string ended it, `max_new_tokens` was reached, the
caller cancelled it, `max_seconds` were over, or it went round in a circle."""


@dataclass(frozen=True)
class TokenAlternative:
    """A token that could have stood in another's place, with its log-probability."""

    text: str
    token_id: int
    logprob: float


@dataclass(frozen=True)
class TokenScore:
    """One generated token and how probable the model held it.

    Attributes:
        text: what it adds to the answer; empty for a special token, and while a character is
            incomplete.
        token_id: its number in the vocabulary.
        logprob: natural logarithm of its probability under the model's raw distribution: before
            temperature, top-k, top-p or penalties, which would make every sampled token look
            surer than it was.
        alternatives: the likeliest tokens in its place, likeliest first (itself among them), as
            many as `Sampling.num_alternatives` asked for.
    """

    text: str
    token_id: int
    logprob: float
    alternatives: tuple[TokenAlternative, ...] = ()

    @property
    def probability(self) -> float:
        """The probability, in [0, 1]."""
        return math.exp(self.logprob)


@dataclass(frozen=True)
class Usage:
    """Tokens that a request took.

    Attributes:
        prompt_tokens: all tokens of the prompt, visual tokens included.
        visual_tokens: those that stand for pictures and videos.
        completion_tokens: generated tokens, the end token included.
        reused_tokens: prompt tokens that had been computed before.
    """

    prompt_tokens: int
    visual_tokens: int
    completion_tokens: int
    reused_tokens: int = 0


@dataclass(frozen=True)
class Timing:
    """Where the time went, in seconds.

    Requests that run together share their steps: `vision`, `prefill` and `decode` are then those
    of the batch.

    Attributes:
        media: opening, decoding and resizing this request's pictures.
        vision: the vision encoder.
        prefill: the prompt, up to the first token.
        decode: the other tokens.
        total: from the beginning of this request's preparation to its reply.
    """

    media: float
    vision: float
    prefill: float
    decode: float
    total: float


@dataclass(frozen=True)
class Reply:
    """An answer. `str(reply)` is its text.

    Attributes:
        text: the answer, without special tokens.
        finish_reason: why it ended.
        tokens: the tokens of the text, in order; their texts join to `text` unless a stop string
            cut it. None where the backend gives no scores.
        end_token: the token by which the model ended its answer; None if it did not.
        usage: tokens that it took.
        timing: where the time went.
        plan: what was executed.
        thinking: the model's reasoning before the answer; None where it did not reason.
        request_id: the id that the request was given, if any.
    """

    text: str
    finish_reason: FinishReason
    tokens: tuple[TokenScore, ...] | None
    end_token: TokenScore | None
    usage: Usage
    timing: Timing
    plan: Plan
    thinking: str | None = None
    request_id: str | None = None

    def __str__(self) -> str:
        return self.text

    @property
    def logprob(self) -> float | None:
        """Log-probability of the whole answer, its end included; None without scores."""
        scores = self._scores()
        return sum(score.logprob for score in scores) if scores else None

    @property
    def confidence(self) -> float | None:
        """How sure the model was, in [0, 1]; None without scores.

        The geometric mean of its tokens' probabilities, the end token included:
        exp(mean logprob), the inverse of the answer's perplexity. It does not shrink with
        length, as the probability of the whole answer (`exp(reply.logprob)`) does.
        """
        scores = self._scores()
        if not scores:
            return None
        return min(1.0, math.exp(sum(score.logprob for score in scores) / len(scores)))

    def _scores(self) -> tuple[TokenScore, ...]:
        if self.tokens is None:
            return ()
        return self.tokens if self.end_token is None else (*self.tokens, self.end_token)


@dataclass(frozen=True)
class Delta:
    """What one step of a stream adds.

    Attributes:
        text: new text; may be empty while a character or stop string is incomplete.
        token: the token that it came with; None for text held back until the end.
    """

    text: str
    token: TokenScore | None = None


@dataclass(frozen=True)
class Failure:
    """A request of `ask_many` that could not be answered; its neighbours were.

    Attributes:
        index: its position among the requests.
        error: why, with the place in the request.
        request_id: the id that the request was given, if any.
    """

    index: int
    error: QwenVLKitError
    request_id: str | None = None

    def __str__(self) -> str:
        return f"request {self.index} failed: {type(self.error).__name__}: {self.error}"
