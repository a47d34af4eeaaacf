"""Scoring: the log-probabilities of given answers to a prompt; nothing is sampled.

The prompt is computed once, as for any request. Then its KV cache is the beginning of many rows,
and each row is given the tokens of one answer, all in one forward pass. Tokens behind the end of a
short answer are padding on the right, which no earlier token sees.
"""

from __future__ import annotations

import math
from collections import abc
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import pad

from qwenvl_kit.backends.base import Completion
from qwenvl_kit.backends.local.cache.kv_cache import CacheState, select_rows
from qwenvl_kit.backends.local.devices import upload
from qwenvl_kit.backends.local.engine.finite_values import LANGUAGE_MODEL, not_numbers
from qwenvl_kit.backends.local.engine.model_runner import ModelRunner, PrefillOutput
from qwenvl_kit.backends.local.engine.request import EngineRequest
from qwenvl_kit.backends.local.engine.top_logits import TopLogits, to_host
from qwenvl_kit.processing.detokenizer import Vocabulary
from qwenvl_kit.results import TokenScore

_MAX_LOGITS = 2**25
"""Most logits that are held at a time: 128 MiB. Long answers are given in several parts."""


@dataclass(frozen=True)
class GivenAnswer:
    """An answer that is scored.

    Attributes:
        text: its text.
        ids: its tokens, without one that ends it.
    """

    text: str
    ids: abc.Sequence[int]


@dataclass(eq=False)
class ScoringRequest(EngineRequest):
    """A request whose answers are given; its future completes with a `Completion` for each.

    Attributes:
        answers: the answers.
        vocabulary: the text of tokens, and those that end an answer.
        scores: for each answer that was scored, the log-probabilities of its tokens.
        ends: for each answer that was scored, the likeliest token that ends it, and its
            log-probability.
    """

    future: Future[Any] = field(default_factory=Future)
    answers: abc.Sequence[GivenAnswer] = ()
    vocabulary: Vocabulary | None = None
    scores: dict[int, list[float]] = field(default_factory=dict)
    ends: dict[int, tuple[int, float]] = field(default_factory=dict)

    @property
    def is_scored(self) -> bool:
        """True: nothing is generated."""
        return True

    def fitting(self) -> list[int]:
        """The numbers of the answers that leave room for the token that ends them."""
        most = self.sequence.max_new_tokens
        return [at for at, answer in enumerate(self.answers) if len(answer.ids) < most]

    def _completion(self) -> Any:
        """A completion for each answer; without tokens for those that were not scored."""
        early = self.sequence.finish_reason
        return tuple(self._completion_of(at, early or "length") for at in range(len(self.answers)))

    def _completion_of(self, at: int, reason: Any) -> Completion:
        answer, end = self.answers[at], self.ends.get(at)
        tokens = [] if end is None or self.vocabulary is None else self._tokens(at, self.vocabulary)
        return Completion(
            text="" if end is None else answer.text,
            finish_reason=reason if end is None else "stop",
            tokens=tuple(tokens),
            end_token=None if end is None else TokenScore("", end[0], end[1]),
            completion_tokens=0 if end is None else len(tokens) + 1,
            reused_tokens=self.reused_tokens,
            vision_seconds=self.timings.vision,
            prefill_seconds=self.timings.prefill,
            decode_seconds=self.timings.decode,
            degradations=tuple(self.degradations),
        )

    def _tokens(self, at: int, vocabulary: Vocabulary) -> list[TokenScore]:
        stream, ids = vocabulary.stream(), self.answers[at].ids
        pieces = [stream.feed(token_id) for token_id in ids]
        pieces[-1] += stream.flush()
        return [TokenScore(*each) for each in zip(pieces, ids, self.scores[at])]


class Scorer:
    """Scores given answers with a model.

    Args:
        model: the model of transformers.
        runner: runs its language model.
        end_ids: the tokens that end an answer.
    """

    def __init__(self, model: Any, runner: ModelRunner, end_ids: abc.Iterable[int]) -> None:
        self._model = model
        self._runner = runner
        self._end_ids = sorted(end_ids)

    def begin(self, requests: abc.Sequence[EngineRequest], output: PrefillOutput) -> ScoringRun:
        """Begin to score the answers of requests whose prompts were computed together.

        Args:
            requests: the requests.
            output: the output of their prefill, one row each.
        """
        scored = [request for request in requests if isinstance(request, ScoringRequest)]
        return ScoringRun(self._runner, scored, output, self._end_ids, self._model.dtype)


@dataclass(frozen=True)
class _Row:
    """A row of a forward pass: the number of a request of the run, and of one of its answers."""

    request: int
    answer: int


@dataclass
class _Scored:
    """An answer while it is scored.

    Attributes:
        ids: its tokens.
        scores: the log-probabilities of its first tokens.
        end: the likeliest token that ends it, and its log-probability.
        is_sound: False if one of them is made of logits that are no numbers.
    """

    ids: abc.Sequence[int]
    scores: list[float]
    end: tuple[int, float] = (0, 0.0)
    is_sound: bool = True

    def at(self, place: int) -> int:
        """The token at a place; behind the answer, its last one, whose scores nobody reads."""
        return self.ids[min(place, len(self.ids) - 1)]

    def add(self, logit: float, normalizer: float) -> None:
        """Add the score of the next token."""
        self.scores.append(logit - normalizer)
        self.is_sound = self.is_sound and math.isfinite(normalizer)

    def add_end(
        self, logits: abc.Sequence[float], end_ids: abc.Sequence[int], normalizer: float
    ) -> None:
        """Add the score of the likeliest token that ends the answer."""
        logit, end_id = max(zip(logits, end_ids), key=lambda pair: pair[0])
        self.end = end_id, logit - normalizer
        self.is_sound = self.is_sound and math.isfinite(normalizer)


class ScoringRun:
    """The scoring of the answers of some requests whose prompts were computed together.

    Args:
        runner: runs the language model.
        requests: the requests.
        output: the output of their prefill, one row each.
        end_ids: the tokens that end an answer.
        dtype: the dtype in which the model computes, for messages.

    Attributes:
        requests: the requests.
    """

    def __init__(
        self,
        runner: ModelRunner,
        requests: abc.Sequence[ScoringRequest],
        output: PrefillOutput,
        end_ids: abc.Sequence[int],
        dtype: torch.dtype,
    ) -> None:
        self.requests = list(requests)
        self._runner = runner
        self._state, self._logits = output.state, output.logits
        self._mask = None if bool(output.mask.all()) else output.mask
        self._end_ids = end_ids
        self._dtype = dtype
        rows = [
            _Row(at, answer)
            for at, request in enumerate(self.requests)
            for answer in request.fitting()
        ]
        rows.sort(key=self._length, reverse=True)  # rows of a pass then differ little in length
        self._left = rows
        self._end_index = upload(torch.tensor(end_ids), output.logits.device)
        self._normalizers = [row[0] for row in to_host([_normalizers(self._logits)[:, None]])[0]]

    @property
    def is_over(self) -> bool:
        """True if no answer is left."""
        return not self._left

    def next_rows(self, num_rows: abc.Callable[[int, int], int]) -> int:
        """The number of answers that the next pass takes.

        Args:
            num_rows: returns how many rows of some positions each may run together; it is given
                the positions that each row has for itself, and the size of one in bytes.
        """
        first = self.requests[self._left[-1].request]
        each = first.cache_bytes // max(1, first.max_tokens)
        width = self._length(self._left[0])
        if len(self.requests) == 1 and self._state.may_share:
            count = min(len(self._left), num_rows(width, each))
            if self._runner.may_share(self._state.length, count):
                return count
        own = self._state.length - self._state.num_shared
        return min(len(self._left), num_rows(own + width, each))

    def drop(self, request: ScoringRequest) -> None:
        """Score no more answers of a request, which has ended."""
        number = self.requests.index(request)
        self._left = [row for row in self._left if row.request != number]

    def score(self, count: int) -> None:
        """Score the next answers; a request whose logits are no numbers ends by an error.

        Args:
            count: their number.

        Raises:
            OutOfMemoryError: memory ran out; these answers are still to be scored.
        """
        rows = self._left[-count:]
        cache, mask = self._open(rows)
        scored = [
            _Scored(self._ids(row), [score]) for row, score in zip(rows, self._first_scores(rows))
        ]
        width = max(len(each.ids) for each in scored)
        positions = torch.stack([self._positions(row, width) for row in rows], dim=1)
        at_a_time = max(1, _MAX_LOGITS // (len(rows) * self._logits.shape[-1]))
        for begin in range(0, width, at_a_time):
            stop = min(begin + at_a_time, width)
            mask = None if mask is None else pad(mask, (0, stop - begin), value=True)
            given = [[each.at(place) for place in range(begin, stop)] for each in scored]
            logits = self._runner.step(cache, mask, given, positions[:, :, begin:stop])
            self._take(scored, begin, logits)
        for row, each in zip(rows, scored):
            request = self.requests[row.request]
            if not each.is_sound:
                request.sequence.fail(not_numbers(LANGUAGE_MODEL, self._dtype))
            request.scores[row.answer], request.ends[row.answer] = each.scores, each.end
        del self._left[-count:]

    def _take(self, scored: abc.Sequence[_Scored], begin: int, logits: torch.Tensor) -> None:
        """Add the scores of the tokens that follow some places of the answers.

        Args:
            scored: the answers.
            begin: the first of the places.
            logits: the logits there, fp32 (rows, places, vocabulary).
        """
        num_places, flat = logits.shape[1], logits.flatten(0, 1)
        following = [
            [each.at(place + 1) for place in range(begin, begin + num_places)] for each in scored
        ]
        wanted = upload(torch.tensor(following), logits.device)[:, :, None]
        normalizers, nexts, ends = to_host(
            [
                _normalizers(flat)[:, None],
                logits.gather(2, wanted).flatten(0, 1),
                flat.index_select(1, self._end_index),
            ]
        )
        for number, each in enumerate(scored):
            for place in range(begin, min(begin + num_places, len(each.ids))):
                at = number * num_places + place - begin
                if place + 1 < len(each.ids):
                    each.add(nexts[at][0], normalizers[at][0])
                else:
                    each.add_end(ends[at], self._end_ids, normalizers[at][0])

    def _first_scores(self, rows: abc.Sequence[_Row]) -> list[float]:
        """The scores of the first tokens, which the logits of the prompts give."""
        places = torch.tensor([(row.request, self._ids(row)[0]) for row in rows])
        numbers, token_ids = upload(places, self._logits.device).unbind(1)
        (logits,) = to_host([self._logits[numbers, token_ids][:, None]])
        return [logit - self._normalizers[row.request] for row, (logit,) in zip(rows, logits)]

    def _open(self, rows: abc.Sequence[_Row]) -> tuple[Any, torch.Tensor | None]:
        """A cache in which each row begins with its prompt, and its mask."""
        if len(self.requests) == 1:
            return self._runner.open(self._state, len(rows)), None
        numbers = [row.request for row in rows]
        mask = None
        if self._mask is not None:
            mask = upload(self._mask[numbers], self._logits.device)
        state: CacheState = select_rows(self._state, numbers)
        return self._runner.open(state, len(rows)), mask

    def _positions(self, row: _Row, width: int) -> torch.Tensor:
        request = self.requests[row.request]
        start = len(request.prompt.ids)
        return request.positions_between(start, start + width)

    def _ids(self, row: _Row) -> abc.Sequence[int]:
        return self.requests[row.request].answers[row.answer].ids

    def _length(self, row: _Row) -> int:
        return len(self._ids(row))


def _normalizers(logits: torch.Tensor) -> torch.Tensor:
    """For each row of logits, the logarithm of the sum of their exponentials, (rows,)."""
    return TopLogits(logits).log_normalizers()
