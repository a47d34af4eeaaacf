"""An engine request: one request on its way through the engine, from the queue to its completion.

It holds the prompt, the media, the answer as a `Sequence`, and the future that its caller waits
for. The other parts of the engine pass it on: `request_queue`, `prefill`, `decode`.
"""

from __future__ import annotations

import math
from collections import abc
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy
import torch

from qwenvl_kit.backends.admission import early_end
from qwenvl_kit.backends.base import Completion, Observer
from qwenvl_kit.backends.local.cache.cache_key import CacheKey, MediaSpan
from qwenvl_kit.backends.local.engine.prompt_lookup import PromptLookup
from qwenvl_kit.backends.local.engine.sequence import Sequence
from qwenvl_kit.backends.local.engine.vision_encoder import Features
from qwenvl_kit.errors import release_frames
from qwenvl_kit.media.types import DecodedMedia
from qwenvl_kit.processing.prompt_encoder import Prompt


@dataclass
class Timings:
    """The time that each stage of a request took, in seconds."""

    vision: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0


class MediaPart(NamedTuple):
    """Some visual tokens of a picture or video.

    Attributes:
        number: the number of the picture or video in its prompt.
        first: the number of its first visual token of these.
        last: the number after the last.
    """

    number: int
    first: int
    last: int


@dataclass(eq=False)
class EngineRequest:
    """A request inside the engine.

    Attributes:
        prompt: the encoded prompt.
        positions: M-RoPE positions of the prompt, (4, prompt length).
        media: its pictures and videos: decoded pixels, or features that are known already.
        digests: the digest of the pixels of each.
        media_keys: the identity of each in a prompt, its positions included.
        media_kinds: "image" or "video" for each.
        sequence: the answer, which grows by one token each decode step.
        max_tokens: the most tokens that prompt and answer may have together.
        cache_bytes: the size of the KV cache for that many tokens.
        future: completes with the answer, or fails with the error of the request.
        observer: is told of each token, and may cancel; None if nobody follows the request.
        deadline: the latest end of the request, on the clock of `time.perf_counter`.
        lookup: drafts the next tokens of the answer; None without prompt lookup decoding.
        reused_tokens: prompt tokens that were found in the prefix cache.
        begun_tokens: prompt tokens that were computed for this request, ahead of others that
            begin with the same prefix.
        timings: the time that each stage took.
        degradations: sentences about what was given up so that the request could run.
        prompt_cache_key: the cache key of the prompt alone.
    """

    prompt: Prompt
    positions: torch.Tensor
    media: abc.Sequence[DecodedMedia | Features]
    digests: abc.Sequence[bytes]
    media_keys: abc.Sequence[bytes]
    media_kinds: abc.Sequence[str]
    sequence: Sequence
    max_tokens: int
    cache_bytes: int
    future: Future[Any] = field(default_factory=Future)
    observer: Observer | None = None
    deadline: float = math.inf
    lookup: PromptLookup | None = None
    reused_tokens: int = 0
    begun_tokens: int = 0
    timings: Timings = field(default_factory=Timings)
    degradations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._next_visual = int(self.positions[1:].max()) + 1
        self.prompt_cache_key = self._cache_key = self._build_cache_key()
        self._freed_at: tuple[int, int] | None = None

    @property
    def is_scored(self) -> bool:
        """True if its answers are given and scored, so that nothing is generated."""
        return False

    @property
    def ids(self) -> list[int]:
        """The token ids of the prompt and of the answer so far."""
        return [*self.prompt.ids, *self.sequence.token_ids]

    @property
    def num_tokens(self) -> int:
        """The number of tokens of the prompt and of the answer so far."""
        return len(self.prompt.ids) + len(self.sequence.token_ids)

    @property
    def cache_key(self) -> CacheKey:
        """The cache key of the prompt and of the answer so far."""
        if len(self._cache_key.ids) != self.num_tokens:
            self._cache_key = self._build_cache_key()
        return self._cache_key

    def _build_cache_key(self) -> CacheKey:
        spans = zip(self.prompt.spans, self.media_keys)
        return CacheKey(
            numpy.array(self.ids, numpy.int64), tuple(MediaSpan(span, key) for span, key in spans)
        )

    def is_over(self) -> bool:
        """True if the answer has ended, was cancelled, or is past its deadline.

        In the last two cases this ends the sequence.
        """
        reason = early_end(self.observer, self.deadline)
        if reason is not None:
            self.sequence.finish(reason)
        return self.sequence.finish_reason is not None

    def may_retry(self) -> bool:
        """True if the request has made progress since the cache was last cleared for it.

        If it has not, clearing the cache once more will not help.
        """
        return self._freed_at != (self.begun_tokens, self.num_tokens)

    def note_freed(self, has_freed: bool) -> None:
        """Remember the progress at which the cache was cleared; forget it if nothing was freed."""
        self._freed_at = (self.begun_tokens, self.num_tokens) if has_freed else None

    def note_degradation(self, degradation: str) -> None:
        """Remember a sentence about what was given up, once."""
        if degradation not in self.degradations:
            self.degradations.append(degradation)

    def positions_between(self, start: int, stop: int) -> torch.Tensor:
        """The M-RoPE positions of the tokens from `start` to `stop`, (4, stop - start)."""
        num_prompt = len(self.prompt.ids)
        inside = self.positions[:, start : min(stop, num_prompt)]
        if stop <= num_prompt:
            return inside
        first = max(start, num_prompt)
        text = torch.arange(first, stop)
        visual = text - num_prompt + self._next_visual
        return torch.cat([inside, torch.stack([text, visual, visual, visual])], dim=1)

    def last_position(self) -> tuple[int, int]:
        """The last token's position in the text, and its one position in time, height and width."""
        answered = len(self.sequence.token_ids) - 1
        return len(self.prompt.ids) + answered, self._next_visual + answered

    def media_between(self, start: int, stop: int) -> list[int]:
        """The numbers of the pictures and videos that lie between two places of the prompt."""
        spans = enumerate(self.prompt.spans)
        return [at for at, span in spans if start <= span.start and span.end <= stop]

    def media_parts(self, start: int, stop: int) -> list[MediaPart]:
        """The parts of pictures and videos that lie between two places, which may cut them.

        A placeholder stands for each visual token; the times between the frames of a video have
        none.
        """
        ids, found = self.prompt_cache_key.ids, list[MediaPart]()
        for number, span in enumerate(self.prompt.spans):
            if span.start >= stop:
                break
            if span.end > start:
                is_visual = ids[span.start : min(span.end, stop)] == ids[span.start]
                first = int(is_visual[: max(0, start - span.start)].sum())
                last = int(is_visual.sum())
                if first < last:
                    found.append(MediaPart(number, first, last))
        return found

    def complete(self) -> None:
        """Complete the future with the answer, or with the error of the sequence."""
        error = self.sequence.error
        if error is not None:
            release_frames(error)
            self.fail(error)
        else:
            self.observer = None  # a decode batch may hold the request a little longer
            self.future.set_result(self._completion())

    def fail(self, error: BaseException) -> None:
        """Complete the future with an error."""
        self.observer = None
        self.future.set_exception(error)

    def _completion(self) -> Any:
        answer = self.sequence.answer
        return Completion(
            text=answer.text,
            finish_reason=self.sequence.finish_reason or "length",
            tokens=answer.tokens or (),
            end_token=answer.end_token,
            completion_tokens=answer.num_tokens,
            reused_tokens=self.reused_tokens,
            vision_seconds=self.timings.vision,
            prefill_seconds=self.timings.prefill,
            decode_seconds=self.timings.decode,
            degradations=tuple(self.degradations),
            begins_in_thought=self.prompt.opens_thought,
            raw_text=answer.raw_text,
        )
