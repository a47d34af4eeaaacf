"""One request inside the engine: what is known of it before, while and after it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy
import torch

from qwenvl_kit.backends.base import Completion
from qwenvl_kit.backends.local.cache.token_sequences import MediaSpan, TokenSequence
from qwenvl_kit.backends.local.engine.prompt_lookup import Guesser
from qwenvl_kit.backends.local.engine.sequence import Row
from qwenvl_kit.backends.local.engine.vision_encoder import Features
from qwenvl_kit.media.types import DecodedMedia
from qwenvl_kit.processing.prompt_encoder import Prompt


@dataclass
class Times:
    """Where the time of a request went, in seconds."""

    vision: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0


@dataclass(eq=False)
class Job:
    """A request on its way through the model.

    Attributes:
        prompt: its prompt.
        positions: (4, prompt length).
        media: its pictures and videos, decoded or known.
        digests: of their pixels.
        media_keys: what tells each from others in a prompt.
        media_kinds: "image" or "video" for each.
        row: its answer.
        reused_tokens: prompt tokens that had been computed before.
        begun_tokens: those that were computed for it, ahead of the others.
        times: where its time went.
        max_tokens: how many tokens prompt and answer may have at most.
        cache_bytes: what their cache takes then.
        deadline: when it ends at the latest, on `time.perf_counter`'s clock.
        guesser: who guesses its next tokens; None if nobody does.
        losses: what was given up to make it run, in words.
        prompt_sequence: its prompt, as `sequence` is while nothing is answered.
    """

    prompt: Prompt
    positions: torch.Tensor
    media: Sequence[DecodedMedia | Features]
    digests: Sequence[bytes]
    media_keys: Sequence[bytes]
    media_kinds: Sequence[str]
    row: Row
    max_tokens: int
    cache_bytes: int
    reused_tokens: int = 0
    begun_tokens: int = 0
    times: Times = field(default_factory=Times)
    deadline: float = math.inf
    guesser: Guesser | None = None
    losses: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._next_visual = int(self.positions[1:].max()) + 1
        self.prompt_sequence = self._sequence = self._sequence_now()
        self._freed_at: tuple[int, int] | None = None

    @property
    def ids(self) -> list[int]:
        """Prompt and answer so far."""
        return [*self.prompt.ids, *self.row.token_ids]

    @property
    def sequence(self) -> TokenSequence:
        """Prompt and answer so far, with what the placeholders stand for."""
        if len(self._sequence.ids) != self.num_tokens:
            self._sequence = self._sequence_now()
        return self._sequence

    def _sequence_now(self) -> TokenSequence:
        spans = zip(self.prompt.spans, self.media_keys)
        return TokenSequence(
            numpy.array(self.ids, numpy.int64), tuple(MediaSpan(span, key) for span, key in spans)
        )

    @property
    def num_tokens(self) -> int:
        """How many tokens prompt and answer have so far."""
        return len(self.prompt.ids) + len(self.row.token_ids)

    def may_free(self) -> bool:
        """Whether it has come further since memory was freed for it; if not, that was no help."""
        return self._freed_at != (self.begun_tokens, self.num_tokens)

    def note_freed(self, has_freed: bool) -> None:
        """Remember how far it had come when memory was freed for it, or that it has more now."""
        self._freed_at = (self.begun_tokens, self.num_tokens) if has_freed else None

    def note_loss(self, loss: str) -> None:
        """Remember what was given up."""
        if loss not in self.losses:
            self.losses.append(loss)

    def positions_between(self, start: int, stop: int) -> torch.Tensor:
        """(4, stop - start): the positions of some of its tokens."""
        num_prompt = len(self.prompt.ids)
        inside = self.positions[:, start : min(stop, num_prompt)]
        if stop <= num_prompt:
            return inside
        first = max(start, num_prompt)
        text = torch.arange(first, stop)
        visual = text - num_prompt + self._next_visual
        return torch.cat([inside, torch.stack([text, visual, visual, visual])], dim=1)

    def last_position(self) -> tuple[int, int]:
        """Where its last token stands: in the text, and in time, height and width alike."""
        answered = len(self.row.token_ids) - 1
        return len(self.prompt.ids) + answered, self._next_visual + answered

    def media_between(self, start: int, stop: int) -> list[int]:
        """Which of its pictures and videos stand there."""
        spans = enumerate(self.prompt.spans)
        return [at for at, span in spans if start <= span.start and span.end <= stop]

    def completion(self) -> Completion:
        """Its answer as it stands, for who asked."""
        answer = self.row.answer
        return Completion(
            text=answer.text,
            finish_reason=self.row.finish_reason or "length",
            tokens=answer.tokens or (),
            end_token=answer.end_token,
            completion_tokens=answer.num_tokens,
            reused_tokens=self.reused_tokens,
            vision_seconds=self.times.vision,
            prefill_seconds=self.times.prefill,
            decode_seconds=self.times.decode,
            degradations=tuple(self.losses),
            begins_in_thought=self.prompt.opens_thought,
            raw_text=answer.raw_text,
        )
