"""One request of a batch while it is generated: its tokens, their scores, when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from qwenvl_kit.backends.local.choosing import TokenChooser
from qwenvl_kit.backends.local.constraining import Bound
from qwenvl_kit.backends.repetition import CycleDetector
from qwenvl_kit.backends.stops import StopText
from qwenvl_kit.options import Sampling
from qwenvl_kit.processing.vocabulary import Vocabulary
from qwenvl_kit.results import Delta, FinishReason, TokenAlternative, TokenScore
from qwenvl_kit.thinking import CLOSE


class Row:
    """One request of a batch while it is generated.

    Args:
        sampling: how to generate.
        max_new_tokens: when to stop at the latest.
        prompt_tokens: length of its prompt.
        vocabulary: tokens to text.
        bound: the form that its answer is bound to; None for none.
        begins_in_thought: whether it thinks first, which nothing binds.
    """

    def __init__(
        self,
        sampling: Sampling,
        max_new_tokens: int,
        prompt_tokens: int,
        vocabulary: Vocabulary,
        bound: Bound | None = None,
        *,
        begins_in_thought: bool = False,
    ) -> None:
        self._sampling = sampling
        self._bound = bound
        self._is_thinking = begins_in_thought
        self._thought_end = ""
        self.max_new_tokens = max_new_tokens
        self._prompt_tokens = prompt_tokens
        self._vocabulary = vocabulary
        self._chooser = TokenChooser(sampling)
        self._stream = vocabulary.stream()
        self._stop_text = StopText(sampling.stop)
        self._cycles = CycleDetector(sampling.max_cycle_tokens)
        self._num_shown_tokens = 0
        self._num_shown_characters = 0
        self.token_ids: list[int] = []
        self.tokens: list[TokenScore] = []
        self.end_token: TokenScore | None = None
        self.finish_reason: FinishReason | None = None

    @property
    def text(self) -> str:
        """The answer so far, as far as it may be shown."""
        return self._stop_text.text

    @property
    def num_tokens(self) -> int:
        """Generated tokens, the end token included."""
        return len(self.tokens) + (self.end_token is not None)

    @property
    def last_id(self) -> int:
        """Its last token."""
        return self.token_ids[-1]

    @property
    def takes_the_likeliest(self) -> bool:
        """Whether the next token is always that of the largest logit."""
        return self._bound is None and self._chooser.takes_the_likeliest

    def choose(self, ids: Sequence[int], logits: torch.Tensor) -> int:
        """The id of the next token.

        Args:
            ids: prompt and answer so far.
            logits: raw logits, (vocabulary,).
        """
        if self._bound is not None and not self._is_thinking:
            logits = self._bound.masked(logits, self.max_new_tokens - len(self.tokens))
            if self._chooser.takes_the_likeliest:
                return int(logits.argmax())
        context = torch.tensor([ids], device=logits.device)
        return self._chooser.choose(context, self._prompt_tokens, logits[None])

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
        score = TokenScore(piece, token_id, logprob, self._alternatives(logprobs))
        self._note_thought(piece)
        self._cycles.feed(token_id)
        if is_end:
            self.end_token = score
            self.finish_reason = "stop"
        else:
            self.tokens.append(score)
            self._stop_text.feed(piece)
            self._check_end()

    def finish(self, reason: FinishReason) -> None:
        """End the row, unless it has ended already."""
        self.finish_reason = self.finish_reason or reason

    def take_delta(self) -> Delta:
        """What the answer has gained since this was last asked: a token at most."""
        if self.finish_reason is not None:
            self._flush()
        has_new_token = len(self.tokens) > self._num_shown_tokens
        delta = Delta(
            text=self.text[self._num_shown_characters :],
            token=self.tokens[-1] if has_new_token else None,
        )
        self._num_shown_tokens = len(self.tokens)
        self._num_shown_characters = len(self.text)
        return delta

    def _flush(self) -> None:
        rest = self._stream.flush()
        if rest and self.tokens:
            self.tokens[-1] = replace(self.tokens[-1], text=self.tokens[-1].text + rest)
        self._stop_text.feed(rest)
        self._stop_text.flush()

    def _note_thought(self, piece: str) -> None:
        """See whether its thoughts have come to an end; their mark may be of several tokens."""
        if self._is_thinking:
            self._thought_end = (self._thought_end + piece)[-2 * len(CLOSE) :]
            self._is_thinking = CLOSE not in self._thought_end

    def _check_end(self) -> None:
        if self._stop_text.is_stopped:
            self.finish_reason = "stop"
        elif len(self.tokens) >= self.max_new_tokens:
            self.finish_reason = "length"
        elif self._cycles.is_found:
            self.finish_reason = "repetition"

    def _alternatives(self, logprobs: torch.Tensor) -> tuple[TokenAlternative, ...]:
        count = min(self._sampling.num_alternatives, logprobs.shape[-1])
        if not count:
            return ()
        values, ids = logprobs.topk(count)
        return tuple(
            TokenAlternative(self._vocabulary.text(token_id), token_id, value)
            for value, token_id in zip(values.tolist(), ids.tolist())
        )
