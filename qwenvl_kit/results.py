"""Results of requests: the answer with its tokens, confidence, cost and plan."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, Union

from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.messages.tool_parts import ToolCall, UnreadCall
from qwenvl_kit.plans import Plan

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FinishReason: TypeAlias = Literal["stop", "length", "cancelled", "deadline", "repetition"]
"""The reason why an answer ended: the model or a stop string ended it ("stop"), `max_new_tokens` or
`max_total_tokens` was reached ("length"), the caller cancelled it, `max_seconds` were over
("deadline"), or it repeated itself for `max_cycle_tokens` ("repetition")."""


@dataclass(frozen=True)
class TokenAlternative:
    """One of the most probable tokens at a position, with its log-probability.

    Attributes:
        text: text of the token.
        token_id: its number in the vocabulary; None if a server does not send it.
        logprob: natural logarithm of its probability, as in `TokenScore`.
    """

    text: str
    token_id: int | None
    logprob: float


@dataclass(frozen=True)
class TokenScore:
    """One generated token with its probability.

    Attributes:
        text: text of the token; empty while a character is incomplete.
        token_id: its number in the vocabulary; None if a server does not send it.
        logprob: natural logarithm of its probability in the raw distribution of the model: before
            temperature, top-k, top-p and penalties, which would make every sampled token look
            more certain than it was.
        alternatives: the most probable tokens at its position, most probable first, itself among
            them; as many as `Sampling.num_alternatives`.
        is_hidden: True if the text of the answer leaves it out. Special tokens are left out unless
            `Sampling.keep_special_tokens` is set.
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

    def to_dict(self) -> dict[str, Any]:
        """Return the token as plain values, which JSON can hold."""
        others = [{"text": other.text, "logprob": other.logprob} for other in self.alternatives]
        values = (self.text, self.token_id, self.logprob, self.probability, self.is_hidden, others)
        return dict(zip(_TOKEN_COLUMNS, values))


_TOKEN_COLUMNS = ("text", "token_id", "logprob", "probability", "is_hidden", "alternatives")


@dataclass(frozen=True)
class Usage:
    """The numbers of tokens that a request used.

    Attributes:
        prompt_tokens: all tokens of the prompt, visual tokens included.
        visual_tokens: tokens of the prompt that stand for pictures and videos.
        completion_tokens: generated tokens, the end token included.
        reused_tokens: prompt tokens that were taken from the prefix cache and not computed again.
    """

    prompt_tokens: int
    visual_tokens: int
    completion_tokens: int
    reused_tokens: int = 0


@dataclass(frozen=True)
class Timing:
    """The time that each stage of a request took, in seconds.

    Requests that run in one batch share their steps: `vision`, `prefill` and `decode` are then
    the times of the batch.

    Attributes:
        media: opening, decoding and resizing the pictures of the request.
        vision: running the vision encoder.
        prefill: computing the prompt, up to the first token of the answer.
        decode: generating the other tokens.
        total: from the start of the request's preparation to its reply, waiting included.
    """

    media: float
    vision: float
    prefill: float
    decode: float
    total: float


@dataclass(frozen=True)
class Reply:
    """The answer to a request, with its scores, cost and plan. `str(reply)` is its text.

        reply = chat.ask("What is this?", "cat.jpg")
        print(reply)
        print(reply.confidence, reply.usage.completion_tokens, reply.timing.total)

    Attributes:
        text: the answer, without special tokens unless `Sampling.keep_special_tokens` is set.
        finish_reason: the reason why it ended: "stop", "length", "cancelled", "deadline" or
            "repetition".
        tokens: generated tokens in order, the end token excluded. The texts of those that are not
            hidden join to `text`, the texts of all join to `raw_text`, unless a stop string cut
            it. None if the backend gives no scores.
        end_token: the token by which the model ended the answer; None if it was ended otherwise.
        usage: numbers of tokens of prompt and answer.
        timing: seconds that each stage took.
        plan: the plan that was executed: sizes, frames, tokens and memory.
        thinking: the thoughts of the model before the answer; None if it did not think.
        request_id: the id that the caller gave the request; None if there is none.
        calibrated_confidence: the share of such answers that are correct, in [0, 1], if the chat
            has a `Calibrator`; None without a calibrator or without scores.
        abstain_below: the lowest confidence that the caller accepts; None if none was given. See
            `is_abstained`.
        samples: other answers to the same request, if `num_samples` asked for some.
        tool_calls: the tool calls that the model makes; `text` is the text besides them.
        raw_text: the whole output with thoughts, tool calls and special tokens, without the end
            token; None if it is the same as `text`.
        warnings: sentences on likely mistakes in the request, and on parts of the answer that
            could not be parsed.
        unread_calls: tool calls, or texts that look like one, that could not be parsed;
            `warnings` tells them in words.
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

    def __repr__(self) -> str:
        from qwenvl_kit.display.replies import reply_repr

        return reply_repr(self)

    def _repr_html_(self) -> str:
        from qwenvl_kit.display.replies import reply_html

        return reply_html(self)

    def plot(self, ax: Axes | None = None) -> Figure:
        """Plot the probability of each token along the answer, with matplotlib.

        Args:
            ax: the axes to plot on; None makes a figure.

        Raises:
            MissingPackageError: matplotlib is not installed.
            UnsupportedFeatureError: the reply has no scores.
        """
        from qwenvl_kit.display.plots import plot_pieces
        from qwenvl_kit.display.replies import scored_pieces

        return plot_pieces(scored_pieces(self), self.raw_confidence, ax)

    def to_dict(self) -> dict[str, Any]:
        """Return the answer with its confidence and cost as plain values, which JSON can hold.

        Tokens and plan are left out. `error` and `error_type` are None, as a `Failure` has the same
        names.
        """
        return {
            "request_id": self.request_id,
            "text": self.text,
            "confidence": self.confidence,
            "raw_confidence": self.raw_confidence,
            "is_abstained": self.is_abstained,
            "finish_reason": self.finish_reason,
            "thinking": self.thinking,
            **asdict(self.usage),
            **{f"{name}_seconds": value for name, value in asdict(self.timing).items()},
            "tool_calls": [
                {"name": call.name, "arguments": dict(call.arguments)} for call in self.tool_calls
            ],
            "samples": list(self.samples),
            "warnings": list(self.warnings),
            "error_type": None,
            "error": None,
        }

    def to_pandas(self) -> pandas.DataFrame:
        """Return the tokens as a pandas data frame, a row each; no rows without scores.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        from qwenvl_kit.display.records import to_frame

        return to_frame((token.to_dict() for token in self.tokens or ()), _TOKEN_COLUMNS)

    @property
    def scores(self) -> tuple[TokenScore, ...]:
        """All generated tokens, the end token included; empty if the backend gives no scores."""
        if self.tokens is None:
            return ()
        return self.tokens if self.end_token is None else (*self.tokens, self.end_token)

    @property
    def logprob(self) -> float | None:
        """Natural log-probability of the answer, end token included; None without scores."""
        return sum(score.logprob for score in self.scores) if self.scores else None

    @property
    def confidence(self) -> float | None:
        """The confidence in the answer, in [0, 1]; None without scores.

        With a `Calibrator` in the chat, it is the share of such answers that are correct;
        otherwise it is `raw_confidence`.
        """
        if self.calibrated_confidence is not None:
            return self.calibrated_confidence
        return self.raw_confidence

    @property
    def raw_confidence(self) -> float | None:
        """The geometric mean of the probabilities of all tokens, in [0, 1]; None without scores.

        The end token is included: exp(mean logprob), the inverse of the perplexity of the answer.
        It does not shrink with the length of the answer, as the probability of the whole answer
        (`exp(reply.logprob)`) does.
        """
        return _geometric_mean(self.scores)

    @property
    def is_abstained(self) -> bool:
        """True if the confidence is below `abstain_below`, or not known because of no scores.

        False if `abstain_below` is None. The text is there in any case.
        """
        if self.abstain_below is None:
            return False
        return self.confidence is None or self.confidence < self.abstain_below

    @property
    def agreement(self) -> float | None:
        """The share of `samples` that equal `text`, in [0, 1]; None without samples.

        Case, white space and a full stop at the end are ignored. Like the confidence, it tells how
        far to trust an answer, and it needs no scores (Wang et al., "Self-Consistency Improves
        Chain of Thought Reasoning", 2022, arXiv:2203.11171).
        """
        if not self.samples:
            return None
        own = _plain(self.text)
        return sum(_plain(sample) == own for sample in self.samples) / len(self.samples)

    @property
    def text_offset(self) -> int:
        """The index in `raw_text` at which `text` begins; 0 if `raw_text` does not end with it."""
        if self.raw_text is None or not self.text or not self.raw_text.endswith(self.text):
            return 0
        return len(self.raw_text) - len(self.text)

    @property
    def text_bounds(self) -> Sequence[int] | None:
        """The start of the first token as an index of `text`, then the end of each token.

        A start may be negative, as tokens come before the text. None if the tokens do not make up
        the text, as with tool calls in it, or there are no scores.
        """
        is_part = self.text and self._shown_of_raw().endswith(self.text)
        return self._token_bounds if self.tokens and is_part else None

    def tokens_between(self, start: int, stop: int) -> tuple[TokenScore, ...]:
        """Return the tokens that overlap `text[start:stop]`; empty without scores.

        If `raw_text` does not end with `text`, because tool calls stand in between, `start` and
        `stop` are indices of `raw_text`.
        """
        indices = self.token_indices_between(start, stop)
        return (self.tokens or ())[indices.start : indices.stop]

    def token_indices_between(self, start: int, stop: int) -> range:
        """Return the indices in `tokens` of what `tokens_between` returns; empty without scores."""
        bounds = self._token_bounds
        first = bisect_right(bounds, start, lo=1) - 1
        last = bisect_left(bounds, stop, hi=len(bounds) - 1)
        return range(first, max(first, last)) if self.tokens else range(0)

    @cached_property
    def _token_bounds(self) -> Sequence[int]:
        """The start index of the first token, then the end index of each token, in rising order."""
        shown = self._shown_of_raw()
        is_raw = not self.text or not shown.endswith(self.text)
        lengths = [
            len(token.text) if is_raw or not token.is_hidden else 0 for token in self.tokens or ()
        ]
        return tuple(accumulate(lengths, initial=0 if is_raw else len(self.text) - len(shown)))

    def _shown_of_raw(self) -> str:
        """The whole output without the hidden tokens."""
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
        """Return the confidence in `text[start:stop]`: as `raw_confidence`, of its tokens alone."""
        return _geometric_mean(self.tokens_between(start, stop))

    def probability_between(self, start: int, stop: int) -> float | None:
        """Return the probability of `text[start:stop]` as a whole, given the text before it.

        It is the product of the probabilities of its tokens; None without scores.
        """
        tokens = self.tokens_between(start, stop)
        if not tokens:
            return None
        return min(1.0, math.exp(sum(token.logprob for token in tokens)))


def _plain(text: str) -> str:
    """The form in which answers are compared: no case, single spaces, no full stop at the end."""
    return " ".join(text.casefold().split()).rstrip(".")


def _geometric_mean(scores: tuple[TokenScore, ...]) -> float | None:
    """The geometric mean of the tokens' probabilities; None if there are no tokens."""
    if not scores:
        return None
    return min(1.0, math.exp(sum(score.logprob for score in scores) / len(scores)))


@dataclass(frozen=True)
class Delta:
    """One step of a stream: the text that it adds to the answer.

    Attributes:
        text: new text; empty while a character or a possible stop string is incomplete.
        token: the token that it came with; None for text that was held back until the end.
    """

    text: str
    token: TokenScore | None = None


@dataclass(frozen=True)
class Failure:
    """A request of `ask_many` that could not be answered; the other requests are not affected.

    Attributes:
        index: position among the requests, from 0.
        error: the error, with the place in the request.
        request_id: the id that the caller gave the request; None if there is none.
    """

    index: int
    error: QwenVLKitError
    request_id: str | None = None

    def __str__(self) -> str:
        return f"request {self.index} failed: {type(self.error).__name__}: {self.error}"

    def __repr__(self) -> str:
        from qwenvl_kit.display.replies import failure_repr

        return failure_repr(self.index, self.error, self.request_id)

    def _repr_html_(self) -> str:
        from qwenvl_kit.display.replies import failure_html

        return failure_html(f"request {self.index}", self.error)

    def to_dict(self) -> dict[str, Any]:
        """Return id and error as plain values, which JSON can hold."""
        return {
            "request_id": self.request_id,
            "error_type": type(self.error).__name__,
            "error": str(self.error),
        }


Result: TypeAlias = Union[Reply, Failure]
"""The result of one request of a batch."""

_AnyResult = TypeVar("_AnyResult", bound=Result)


class Results(list[_AnyResult]):
    """A list of replies and failures that shows itself as a table.

    It is a list in every other way: `ask_many` returns one where a list is promised, it equals a
    list with the same results, and a slice of it is a plain list. `Results(some_list)` shows any
    replies as a table.

        results = chat.ask_many(requests)
        Results(results[:100]).to_pandas().to_csv("answers.csv")
    """

    def __repr__(self) -> str:
        from qwenvl_kit.display.replies import results_repr

        return results_repr(self)

    def _repr_html_(self) -> str:
        from qwenvl_kit.display.replies import results_html

        return results_html(self)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return each reply and failure as plain values, in order, with the same names for all."""
        records = [result.to_dict() for result in self]
        names = dict.fromkeys(name for record in records for name in record)
        return [{name: record.get(name) for name in names} for record in records]

    def to_pandas(self) -> pandas.DataFrame:
        """Return a pandas data frame with a row for each reply and failure, in order.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        from qwenvl_kit.display.records import to_frame

        records = self.to_dicts()
        return to_frame(records, records[0] if records else ("request_id", "text", "error"))


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
