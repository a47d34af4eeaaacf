"""What a user gets back: an answer with its tokens, confidence, cost and plan."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Literal, TypeAlias, Union

from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.messages.tool_parts import ToolCall, UnreadCall
from qwenvl_kit.plans import Plan

FinishReason: TypeAlias = Literal["stop", "length", "cancelled", "deadline", "repetition"]
"""Why an answer ended: the model or a stop string ended it, `max_new_tokens` was reached, the
caller cancelled it, `max_seconds` were over, or it went round in a circle."""


@dataclass(frozen=True)
class TokenAlternative:
    """A token that could have stood in another's place, with its log-probability.

    `token_id` is None where a server does not tell it.
    """

    text: str
    token_id: int | None
    logprob: float


@dataclass(frozen=True)
class TokenScore:
    """One generated token and how probable the model held it.

    Attributes:
        text: what it is written as; empty while a character is incomplete.
        token_id: its number in the vocabulary; None where a server does not tell it.
        logprob: natural logarithm of its probability under the model's raw distribution: before
            temperature, top-k, top-p or penalties, which would make every sampled token look
            surer than it was.
        alternatives: the likeliest tokens in its place, likeliest first (itself among them), as
            many as `Sampling.num_alternatives` asked for.
        is_hidden: whether the text of the answer leaves it out, as it does with special tokens
            unless `Sampling.keep_special_tokens` is set.
    """

    text: str
    token_id: int | None
    logprob: float
    alternatives: tuple[TokenAlternative, ...] = ()
    is_hidden: bool = False

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
        text: the answer, without special tokens unless `Sampling.keep_special_tokens` is set.
        finish_reason: why it ended.
        tokens: the tokens of the text, in order; the texts of those that are not hidden join to
            `text`, and those of all to `raw_text`, unless a stop string cut it. None where the
            backend gives no scores.
        end_token: the token by which the model ended its answer; None if it did not.
        usage: tokens that it took.
        timing: where the time went.
        plan: what was executed.
        thinking: the model's reasoning before the answer; None where it did not reason.
        request_id: the id that the request was given, if any.
        calibrated_confidence: the share of such answers that are right, where the chat has a
            `Calibrator`; None where it has none, and without scores.
        abstain_below: the confidence that was asked for at least; None if none was.
        samples: other answers to the same request, where some were asked for.
        tool_calls: the tools that the model wants called; `text` is what it says beside them.
        raw_text: all that it wrote, thoughts, calls and special tokens included, where that is
            more than `text`; the token that ended it is not in it.
        warnings: what of the request is likely not meant as it is written, and what of the answer
            could not be read, in words.
        unread_calls: what was meant as a call of a tool, or may have been, and is not understood;
            `warnings` says the same in words.
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
    calibrated_confidence: float | None = None
    abstain_below: float | None = None
    samples: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    raw_text: str | None = None
    warnings: tuple[str, ...] = ()
    unread_calls: tuple[UnreadCall, ...] = ()

    def __str__(self) -> str:
        return self.text

    @property
    def scores(self) -> tuple[TokenScore, ...]:
        """All generated tokens, the end token included; none without scores."""
        if self.tokens is None:
            return ()
        return self.tokens if self.end_token is None else (*self.tokens, self.end_token)

    @property
    def logprob(self) -> float | None:
        """Log-probability of the whole answer, its end included; None without scores."""
        return sum(score.logprob for score in self.scores) if self.scores else None

    @property
    def confidence(self) -> float | None:
        """How sure the answer is, in [0, 1]; None without scores.

        Where the chat has a `Calibrator`, the share of such answers that are right; otherwise
        `raw_confidence`.
        """
        if self.calibrated_confidence is not None:
            return self.calibrated_confidence
        return self.raw_confidence

    @property
    def raw_confidence(self) -> float | None:
        """How sure the model was of its tokens, in [0, 1]; None without scores.

        The geometric mean of their probabilities, the end token's included: exp(mean logprob),
        the inverse of the answer's perplexity. It does not shrink with length, as the
        probability of the whole answer (`exp(reply.logprob)`) does.
        """
        return _geometric_mean(self.scores)

    @property
    def is_abstained(self) -> bool:
        """Whether it is not known to be as sure as was asked for; its text is there all the same.

        Without scores nothing is known.
        """
        if self.abstain_below is None:
            return False
        return self.confidence is None or self.confidence < self.abstain_below

    @property
    def agreement(self) -> float | None:
        """The share of `samples` that say the same as `text`, but for case and white space.

        Another sign of how sure an answer is, which needs no scores (Wang et al.,
        "Self-Consistency Improves Chain of Thought Reasoning", 2022, arXiv:2203.11171).
        None without samples.
        """
        if not self.samples:
            return None
        own = _plain(self.text)
        return sum(_plain(sample) == own for sample in self.samples) / len(self.samples)

    @property
    def text_offset(self) -> int:
        """Where `text` begins in `raw_text`; 0 where it is empty, or something stands after it."""
        if self.raw_text is None or not self.text or not self.raw_text.endswith(self.text):
            return 0
        return len(self.raw_text) - len(self.text)

    def tokens_between(self, start: int, stop: int) -> tuple[TokenScore, ...]:
        """The tokens that wrote any of `text[start:stop]`; none without scores.

        Where `text` is not the end of `raw_text`, as calls of tools stand among it, places in
        `raw_text` are meant.
        """
        bounds = self._token_bounds
        first = bisect_right(bounds, start, lo=1) - 1
        last = bisect_left(bounds, stop, hi=len(bounds) - 1)
        return (self.tokens or ())[first:last]

    @cached_property
    def _token_bounds(self) -> Sequence[int]:
        """Where the first token begins, and then where each ends; never less than before."""
        shown = self._shown_of_raw()
        is_raw = not self.text or not shown.endswith(self.text)
        lengths = [
            len(token.text) if is_raw or not token.is_hidden else 0 for token in self.tokens or ()
        ]
        return tuple(accumulate(lengths, initial=0 if is_raw else len(self.text) - len(shown)))

    def _shown_of_raw(self) -> str:
        """All that it wrote, without what is hidden."""
        if self.raw_text is None:
            return self.text
        shown, at = list[str](), 0
        for token in self.tokens or ():
            end = at + len(token.text)
            if not token.is_hidden:
                shown.append(self.raw_text[at:end])
            at = end
        return "".join((*shown, self.raw_text[at:]))

    def confidence_between(self, start: int, stop: int) -> float | None:
        """How sure the model was of `text[start:stop]`: as `confidence`, of these tokens alone."""
        return _geometric_mean(self.tokens_between(start, stop))

    def probability_between(self, start: int, stop: int) -> float | None:
        """How probable `text[start:stop]` was as a whole, after what comes before it.

        The product of its tokens' probabilities; None without scores.
        """
        tokens = self.tokens_between(start, stop)
        if not tokens:
            return None
        return min(1.0, math.exp(sum(token.logprob for token in tokens)))


def _plain(text: str) -> str:
    """What answers are compared by."""
    return " ".join(text.casefold().split()).rstrip(".")


def _geometric_mean(scores: tuple[TokenScore, ...]) -> float | None:
    """Of the tokens' probabilities; None if there are none."""
    if not scores:
        return None
    return min(1.0, math.exp(sum(score.logprob for score in scores) / len(scores)))


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


Result: TypeAlias = Union[Reply, Failure]
"""The result of one request of a batch."""


@dataclass(frozen=True)
class BatchEvent:
    """A step of one of many requests.

    Attributes:
        index: its position among the requests.
        delta: the new piece of its answer; None if this is its end.
        result: its reply or failure; None until its end.
    """

    index: int
    delta: Delta | None = None
    result: Result | None = None
