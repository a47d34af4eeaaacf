"""A request in vLLM's engine, with the state of its answer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from qwenvl_kit.backends.admission import deadline_after, early_end
from qwenvl_kit.backends.answer_builder import AnswerBuilder
from qwenvl_kit.backends.base import BackendRequest, Completion, Observer
from qwenvl_kit.processing.detokenizer import TextStream, Vocabulary
from qwenvl_kit.results import Delta, FinishReason, TokenAlternative, TokenScore


@dataclass
class EngineRequest:
    """A request in vLLM's engine, with the state of its answer.

    Attributes:
        asked: the request as the pipeline gave it.
        prompt: its prompt in vLLM's form.
        params: its `SamplingParams` of vLLM.
        vocabulary: decodes token ids.
        observer: the observer of the request; None if it has none.
        lora: the adapter that answers; None for the base model.
        answer_ids: the token ids of the answer, if the constraint allows only one: it is scored
            and not generated.
        opens_thought: True if the prompt had opened the model's thoughts.
        future: the future of its completion.
    """

    asked: BackendRequest
    prompt: dict[str, Any]
    params: Any
    vocabulary: Vocabulary
    observer: Observer | None = None
    lora: Any = None
    answer_ids: Sequence[int] | None = None
    opens_thought: bool = False
    future: Future[Completion] = field(default_factory=Future)

    def __post_init__(self) -> None:
        self._started = time.perf_counter()
        self._deadline = deadline_after(self.asked.sampling.max_seconds)
        self._first: float | None = None
        self._answer = self._begun()
        self._stream = self._decoder()
        self._ids: list[int] = []
        self._reason: FinishReason | None = None
        self._prompt_tokens: int | None = None
        self._reused_tokens = 0
        self.is_cancelled = False
        self.is_scoring = self.answer_ids is not None
        self.future.set_running_or_notify_cancel()

    @property
    def must_end(self) -> FinishReason | None:
        """The reason for which it must end now; None if it may go on."""
        return "cancelled" if self.is_cancelled else early_end(self.observer, self._deadline)

    @property
    def has_enough(self) -> bool:
        """True if the answer is complete although the model would go on."""
        return not self.is_scoring and self._answer.reason is not None

    @property
    def needs_scores(self) -> bool:
        """True if the answer must be scored afterwards.

        While vLLM enforces a constraint, its log-probabilities are those among the allowed tokens.
        """
        return self.asked.constraint is not None and bool(self._ids)

    def scoring_prompt(self) -> dict[str, Any]:
        """Return the prompt with the answer behind it, and switch to scoring."""
        self.is_scoring = True
        if self.answer_ids is not None:
            self._ids = list(self.answer_ids)
        ids = [*self.prompt["prompt_token_ids"], *self._ids]
        return {**self.prompt, "prompt_token_ids": ids}

    def take(self, output: Any) -> bool:
        """Add the tokens of a step of the engine; True if the answer is complete."""
        if self._prompt_tokens is None:
            self._prompt_tokens = len(output.prompt_token_ids or ()) or None
            self._reused_tokens = output.num_cached_tokens or 0
        (piece,) = output.outputs
        scores = piece.logprobs or [None] * len(piece.token_ids)
        for token_id, known in zip(piece.token_ids, scores):
            self._first = self._first or time.perf_counter()
            self._add(int(token_id), known)
            if self._answer.reason is not None:
                break
        if output.finished:
            self._reason = "length" if piece.finish_reason == "length" else "stop"
        return bool(output.finished)

    def take_scores(self, output: Any) -> None:
        """Take the scores of an answer that was read as part of the prompt."""
        begin = len(output.prompt_token_ids) - len(self._ids)
        self._prompt_tokens = begin
        before, self._answer = self._answer, self._begun()
        self._stream = self._decoder()
        for token_id, known in zip(self._ids, output.prompt_logprobs[begin:]):
            self._add(token_id, known, is_told=before.num_tokens == 0)
        if self.answer_ids is not None:
            self._reason = "stop"
        if self._reason == "stop" and output.outputs[0].logprobs:
            self._answer.end_token = self._end(output.outputs[0].logprobs[0])

    def finish(self, reason: FinishReason | None = None) -> None:
        """End the request with the answer so far.

        Args:
            reason: the reason for its end; None takes the model's reason.
        """
        shown = self._answer.complete(self._stream.flush())
        if shown:
            self._tell(Delta(shown))
        ended = time.perf_counter()
        first = self._first or ended
        reason = reason or self._answer.reason or self._reason or "stop"
        self.future.set_result(
            Completion(
                text=self._answer.text,
                finish_reason=reason,
                tokens=self._answer.tokens,
                end_token=self._answer.end_token if reason == "stop" else None,
                completion_tokens=self._answer.num_tokens,
                prompt_tokens=self._prompt_tokens,
                reused_tokens=self._reused_tokens,
                prefill_seconds=first - self._started,
                decode_seconds=ended - first,
                begins_in_thought=self.opens_thought,
                raw_text=self._answer.raw_text,
            )
        )

    def _begun(self) -> AnswerBuilder:
        return AnswerBuilder(self.asked.sampling, begins_in_thought=self.opens_thought)

    def _decoder(self) -> TextStream:
        keeps = self.asked.sampling.keep_special_tokens
        return self.vocabulary.stream(keep_special_tokens=keeps)

    def _add(self, token_id: int, known: Mapping[int, Any] | None, *, is_told: bool = True) -> None:
        is_end = token_id in self.vocabulary.end_ids
        if not is_end:
            self._ids += [] if self.is_scoring else [token_id]
        piece = "" if is_end else self._stream.feed(token_id)
        hidden = "" if is_end or piece else self.vocabulary.special_text(token_id)
        score = self._score(piece + hidden, token_id, known)
        if score is not None and hidden:
            score = replace(score, is_hidden=True)
        delta = self._answer.add(piece, token_id, score, is_end=is_end, hidden=hidden)
        if is_told and not is_end:
            self._tell(delta)

    def _tell(self, delta: Delta) -> None:
        if self.observer is not None:
            self.observer.on_delta(delta)

    def _score(
        self, text: str, token_id: int, known: Mapping[int, Any] | None
    ) -> TokenScore | None:
        if not known or token_id not in known:
            return None
        likeliest = sorted(known.items(), key=lambda item: -item[1].logprob)
        others = [
            TokenAlternative(self.vocabulary.text(name), name, float(score.logprob))
            for name, score in likeliest[: self.asked.sampling.num_alternatives]
        ]
        return TokenScore(text, token_id, float(known[token_id].logprob), tuple(others))

    def _end(self, known: Mapping[int, Any]) -> TokenScore | None:
        """The likeliest of the tokens that end an answer, at the position behind it."""
        ends = [self._score("", token_id, known) for token_id in self.vocabulary.end_ids]
        return max(filter(None, ends), key=lambda token: token.logprob, default=None)
