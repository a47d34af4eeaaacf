"""A sequence: the answer of one request while it is generated.

Its tokens, their scores, the text so far, and the reason why it ended.
"""

from __future__ import annotations

from collections import abc
from contextlib import contextmanager
from itertools import islice
from typing import Any

from qwenvl_kit.backends.answer_builder import AnswerBuilder
from qwenvl_kit.backends.local.engine.grammar import GrammarState
from qwenvl_kit.backends.local.engine.sampler import Sampler, SamplerSettings
from qwenvl_kit.backends.local.error_mapping import translated_errors
from qwenvl_kit.errors import OutOfMemoryError, QwenVLKitError
from qwenvl_kit.messages.thinking import CLOSE
from qwenvl_kit.processing.detokenizer import Vocabulary
from qwenvl_kit.results import Delta, FinishReason, TokenAlternative, TokenScore


class Sequence:
    """The generated tokens of one request, and all that decides on the next one.

    Args:
        settings: the settings of its sampler, and the most tokens that it may have.
        vocabulary: turns tokens into text.
        grammar: the grammar that the answer follows; None leaves it free.
        begins_in_thought: True if the model thinks first; the grammar does not hold for thoughts.
    """

    def __init__(
        self,
        settings: SamplerSettings,
        vocabulary: Vocabulary,
        grammar: GrammarState | None = None,
        *,
        begins_in_thought: bool = False,
    ) -> None:
        self._sampling = sampling = settings.sampling
        self._grammar = grammar
        self._is_thinking = begins_in_thought
        self._thought_end = ""
        self.max_new_tokens = settings.max_new_tokens
        self.removes_invalid_values = "remove_invalid_values" in settings.rules.entries
        self._vocabulary = vocabulary
        self.sampler = Sampler(settings)
        self._stream = vocabulary.stream(keep_special_tokens=sampling.keep_special_tokens)
        self._pending_delta = Delta("")
        self._is_complete = False
        self.answer = AnswerBuilder(sampling, begins_in_thought=begins_in_thought)
        self.token_ids: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.error: QwenVLKitError | None = None

    @property
    def last_id(self) -> int:
        """The last token; 0 for a sequence that ended before its first token.

        Such a sequence stays in its batch until it is dropped, and its logits are not used.
        """
        return self.token_ids[-1] if self.token_ids else 0

    @property
    def takes_raw_logits(self) -> bool:
        """True if nothing changes the logits before a token is chosen among the largest."""
        return not self._is_constrained and self.sampler.takes_raw_logits

    @property
    def is_greedy(self) -> bool:
        """True if the token with the largest logit, raw or processed, always comes next."""
        return self._sampling.is_greedy

    @property
    def draws_from_all(self) -> bool:
        """True if its next token is drawn from the whole vocabulary."""
        return self.finish_reason is None and self.sampler.draws_from_all

    @property
    def num_wanted(self) -> int:
        """The number of largest raw logits that this sequence needs at each step."""
        candidates = self.sampler.num_candidates or 1 if self.takes_raw_logits else 1
        return max(candidates, self._sampling.num_alternatives)

    @property
    def _is_constrained(self) -> bool:
        """True if the next token must follow the grammar."""
        return self._grammar is not None and not self._is_thinking

    def allowed(self, num_ids: int) -> Any:
        """The tokens that the grammar allows next, as an array, bool (vocabulary,).

        None if any may come.

        Args:
            num_ids: the size of the vocabulary.
        """
        if self._grammar is None or self._is_thinking:
            return None
        return self._grammar.allowed(num_ids, self.max_new_tokens - len(self.token_ids))

    def append(
        self, token_id: int, logprob: float, top_logprobs: abc.Iterable[tuple[int, float]] = ()
    ) -> None:
        """Add a token to the answer, and end the answer if it is complete.

        Args:
            token_id: the chosen token.
            logprob: its raw log-probability.
            top_logprobs: the likeliest tokens with their raw log-probabilities, likeliest first; at
                least as many as the request wants to see.
        """
        self.token_ids.append(token_id)
        if self._grammar is not None and not self._is_thinking:
            self._grammar.accept(token_id)
        is_end = token_id in self._vocabulary.end_ids
        piece = "" if is_end else self._stream.feed(token_id)
        hidden = "" if is_end or piece else self._vocabulary.special_text(token_id)
        alternatives = tuple(
            TokenAlternative(self._vocabulary.text(other), other, value)
            for other, value in islice(top_logprobs, self._sampling.num_alternatives)
        )
        score = TokenScore(piece + hidden, token_id, logprob, alternatives, bool(hidden))
        self._note_thought(piece)
        self._pending_delta = self.answer.add(piece, token_id, score, is_end=is_end, hidden=hidden)
        self.finish_reason = "stop" if is_end else self._reason

    def finish(self, reason: FinishReason) -> None:
        """End the answer, unless it has ended already."""
        self.finish_reason = self.finish_reason or reason

    def fail(self, error: QwenVLKitError) -> None:
        """End the answer by an error of its own; other sequences of the batch go on."""
        self.error = error
        self.finish("cancelled")

    @contextmanager
    def failing_alone(self) -> abc.Iterator[None]:
        """Let an error within the block end this answer alone.

        A lack of memory concerns the whole batch, and is raised.
        """
        try:
            with translated_errors():
                yield
        except OutOfMemoryError:
            raise
        except QwenVLKitError as error:
            self.fail(error)

    def take_delta(self) -> Delta:
        """Return the text and the token that were added since the last call.

        After the end of the answer this also completes its text.
        """
        delta, self._pending_delta = self._pending_delta, Delta("")
        if self.finish_reason is None or self._is_complete:
            return delta
        self._is_complete = True
        shown = self.answer.complete(self._stream.flush())
        return Delta(delta.text + shown, delta.token and self.answer.last_token)

    def _note_thought(self, piece: str) -> None:
        """Notice the end of the model's thoughts; their closing tag may be several tokens."""
        if self._is_thinking:
            self._thought_end = (self._thought_end + piece)[-2 * len(CLOSE) :]
            self._is_thinking = CLOSE not in self._thought_end

    @property
    def _reason(self) -> FinishReason | None:
        """The reason to end the answer now; None if it may go on."""
        is_full = len(self.token_ids) >= self.max_new_tokens
        return "length" if is_full and self.answer.reason != "stop" else self.answer.reason
