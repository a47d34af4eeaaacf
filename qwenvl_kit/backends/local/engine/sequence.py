"""One request of a batch while it is generated: its tokens, their scores, when it ends."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from qwenvl_kit.backends.answer_builder import AnswerBuilder
from qwenvl_kit.backends.local.engine.grammar import Bound
from qwenvl_kit.backends.local.engine.sampler import Choice, TokenChooser
from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.messages.thinking import CLOSE
from qwenvl_kit.processing.detokenizer import Vocabulary
from qwenvl_kit.results import Delta, FinishReason, TokenAlternative, TokenScore


class Row:
    """One request of a batch while it is generated.

    Args:
        choice: how to generate, and when to stop at the latest.
        vocabulary: tokens to text.
        bound: the form that its answer is bound to; None for none.
        begins_in_thought: whether it thinks first, which nothing binds.
    """

    def __init__(
        self,
        choice: Choice,
        vocabulary: Vocabulary,
        bound: Bound | None = None,
        *,
        begins_in_thought: bool = False,
    ) -> None:
        self._sampling = sampling = choice.sampling
        self._bound = bound
        self._is_thinking = begins_in_thought
        self._thought_end = ""
        self.max_new_tokens = choice.max_new_tokens
        self.removes_invalid_values = "remove_invalid_values" in choice.rules.entries
        self._vocabulary = vocabulary
        self._chooser = TokenChooser(choice)
        self._stream = vocabulary.stream(keep_special_tokens=sampling.keep_special_tokens)
        self._untold = Delta("")
        self._is_complete = False
        self.answer = AnswerBuilder(sampling, begins_in_thought=begins_in_thought)
        self.token_ids: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.error: QwenVLKitError | None = None

    @property
    def last_id(self) -> int:
        """Its last token; any where it ended before its first, and waits to be dropped."""
        return self.token_ids[-1] if self.token_ids else 0

    @property
    def takes_the_likeliest(self) -> bool:
        """Whether the next token is always that of the largest logit."""
        return self._bound is None and self._chooser.takes_the_likeliest

    def choose(self, ids: Sequence[int], logits: torch.Tensor) -> int:
        """The id of the next token.

        Args:
            ids: prompt and answer so far.
            logits: raw logits, (vocabulary,).

        Raises:
            GenerationError: nothing may come next.
        """
        if self._bound is not None and not self._is_thinking:
            logits = self._bound.masked(logits, self.max_new_tokens - len(self.token_ids))
        return self._chooser.choose(ids, logits)

    def append(self, token_id: int, logprob: float, logprobs: torch.Tensor) -> None:
        """Keep a token with its score.

        Args:
            token_id: what was chosen.
            logprob: its raw log-probability.
            logprobs: those of all tokens, (vocabulary,).
        """
        self.token_ids.append(token_id)
        if self._bound is not None and not self._is_thinking:
            self._bound.accept(token_id)
        is_end = token_id in self._vocabulary.end_ids
        piece = "" if is_end else self._stream.feed(token_id)
        hidden = "" if is_end or piece else self._vocabulary.special_text(token_id)
        score = TokenScore(
            piece + hidden, token_id, logprob, self._alternatives(logprobs), bool(hidden)
        )
        self._note_thought(piece)
        self._untold = self.answer.add(piece, token_id, score, is_end=is_end, hidden=hidden)
        self.finish_reason = "stop" if is_end else self._reason

    def finish(self, reason: FinishReason) -> None:
        """End the row, unless it has ended already."""
        self.finish_reason = self.finish_reason or reason

    def fail(self, error: QwenVLKitError) -> None:
        """End the row by an error of its own."""
        self.error = error
        self.finish("cancelled")

    def take_delta(self) -> Delta:
        """What the answer has gained since this was last asked: a token at most."""
        delta, self._untold = self._untold, Delta("")
        if self.finish_reason is None or self._is_complete:
            return delta
        self._is_complete = True
        shown = self.answer.complete(self._stream.flush())
        return Delta(delta.text + shown, delta.token and self.answer.last_token)

    def _note_thought(self, piece: str) -> None:
        """See whether its thoughts have come to an end; their mark may be of several tokens."""
        if self._is_thinking:
            self._thought_end = (self._thought_end + piece)[-2 * len(CLOSE) :]
            self._is_thinking = CLOSE not in self._thought_end

    @property
    def _reason(self) -> FinishReason | None:
        """Why it must end; None if it may go on."""
        is_full = len(self.token_ids) >= self.max_new_tokens
        return "length" if is_full and self.answer.reason != "stop" else self.answer.reason

    def _alternatives(self, logprobs: torch.Tensor) -> tuple[TokenAlternative, ...]:
        count = min(self._sampling.num_alternatives, logprobs.shape[-1])
        if not count:
            return ()
        values, ids = logprobs.topk(count)
        return tuple(
            TokenAlternative(self._vocabulary.text(token_id), token_id, value)
            for value, token_id in zip(values.tolist(), ids.tolist())
        )
