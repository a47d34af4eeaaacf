"""The sampler: the next token of each sequence of a step, greedy or sampled.

Most requests choose among few tokens: greedy ones take the likeliest, and published settings have
a top-k of 20. Their candidates are found for all rows at once (`top_logits`), copied from the
device at once, and narrowed and drawn as plain numbers (`candidates`). Requests with penalties,
rules of generation_config.json or a grammar have their logits processed first, row by row.

Top-p is applied in one of three places:
- in `logits_processors.py` if rules narrow by more than temperature, top-k, top-p and min-p;
- else in `candidates.py`, by `narrowed`, with a top-k of at most `MOST_CANDIDATES`;
- else in `Sampler.probabilities`.

The distribution is that of `generate` of transformers. The random numbers are the sequence's own,
so that a seeded answer does not depend on its batch; `generate` draws a number for each token of
the vocabulary, which takes longer than all the rest.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import LogitsProcessorList

from qwenvl_kit.backends.local.engine.candidates import narrowed
from qwenvl_kit.backends.local.engine.logits_processors import (
    ProcessorContext,
    has_other_narrowing,
    make_processors,
)
from qwenvl_kit.backends.local.engine.top_logits import TopLogits
from qwenvl_kit.errors import GenerationError
from qwenvl_kit.options import Sampling, describe_sampling
from qwenvl_kit.processing.generation_rules import GenerationRules

_KEEPING_ARGMAX = frozenset({"renormalize_logits", "top_h", "typical_p"}) | frozenset(
    {"epsilon_cutoff", "eta_cutoff", "remove_invalid_values"}
)
"""Rules that never change which token is the likeliest."""

MOST_CANDIDATES = 256
"""The largest top-k for which candidates are taken from the device."""

SPARE_CANDIDATES = 16
"""Candidates beyond top-k, for logits that equal the last one."""

_SORTED = 1024
"""Tokens among which top-p is looked for before the whole vocabulary is sorted."""


@dataclass(frozen=True)
class SamplerSettings:
    """The settings for the tokens of one answer.

    Attributes:
        sampling: the settings of the request.
        rules: the rules of the checkpoint, which hold for every request.
        prompt_ids: the prompt.
        max_new_tokens: the most tokens of the answer.
        end_ids: the tokens that end it.
    """

    sampling: Sampling
    rules: GenerationRules = field(default_factory=GenerationRules)
    prompt_ids: Sequence[int] = ()
    max_new_tokens: int = 1
    end_ids: Set[int] = frozenset()

    @property
    def takes_argmax(self) -> bool:
        """True if the next token is always the one with the largest raw logit."""
        has_rule = bool(self.rules.entries.keys() - _KEEPING_ARGMAX)
        return self.sampling.is_greedy and not self._has_penalty and not has_rule

    @property
    def num_candidates(self) -> int | None:
        """The number of largest logits from which a token is chosen; None if it may be any."""
        if self.sampling.is_greedy:
            return 1
        top_k = self.sampling.top_k
        is_few = top_k is not None and top_k <= MOST_CANDIDATES
        is_plain = not has_other_narrowing(self.rules.entries)
        return top_k + SPARE_CANDIDATES if top_k and is_few and is_plain else None

    @property
    def takes_raw_logits(self) -> bool:
        """True if nothing changes the logits before they are narrowed."""
        has_rule = bool(self.rules.entries.keys() - {"remove_invalid_values"})
        return self.takes_argmax or not (self._has_penalty or has_rule)

    @property
    def _has_penalty(self) -> bool:
        sampling = self.sampling
        return sampling.repetition_penalty not in (None, 1.0) or bool(sampling.presence_penalty)

    def processors(self, logits: torch.Tensor) -> LogitsProcessorList:
        """The logits processors for raw logits, (vocabulary,), in the order of `generate`.

        Narrowing that `candidates` does is left out.
        """
        num_ids = logits.shape[-1]
        context = ProcessorContext(
            self.prompt_ids, self.max_new_tokens, self.end_ids, num_ids, str(logits.device)
        )
        narrows = has_other_narrowing(self.rules.entries)
        return make_processors(self.sampling, self.rules.entries, context, narrows=narrows)


class Sampler:
    """Chooses the next tokens of one sequence.

    Args:
        settings: the settings for the answer.
    """

    def __init__(self, settings: SamplerSettings) -> None:
        self.settings = settings
        self.takes_raw_logits = settings.takes_raw_logits
        self.num_candidates = settings.num_candidates
        self._processors: LogitsProcessorList | None = None
        self._ids = _GrowingIds()
        seed = settings.sampling.seed
        self._random = random.Random() if seed is None else random.Random(seed)

    def process(self, ids: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        """The logits after penalties and rules, (vocabulary,).

        Args:
            ids: the prompt and the answer so far.
            logits: raw logits, fp32 (vocabulary,); minus infinity for tokens that may not come.
        """
        if self.takes_raw_logits:
            return logits
        if self._processors is None:
            self._processors = self.settings.processors(logits)
        context: Any = self._ids.tensor(ids, logits.device)
        scores = self._processors(context, logits[None].clone())
        # A rule that forces a token may not force one that the grammar forbids.
        left: torch.Tensor = scores.masked_fill(logits[None] == -torch.inf, -torch.inf)[0]
        return left

    def choose(self, logits: Sequence[float], ids: Sequence[int], top: TopLogits, row: int) -> int:
        """Choose a token among the largest logits of its row.

        Args:
            logits: the largest logits, at least `num_candidates` of them, largest first.
            ids: their tokens.
            top: the logits of all rows.
            row: the row of this sequence among them.

        Raises:
            GenerationError: no token may come, or the logits are not numbers.
        """
        self._check(logits[0])
        sampling = self.settings.sampling
        if sampling.is_greedy:
            return ids[0]
        if self.num_candidates is None:
            return self._draw_from_all(top.logits[row])
        least = logits[min(sampling.top_k or 1, len(logits)) - 1]
        has_more = len(logits) < top.logits.shape[1] and logits[-1] == least
        if has_more and least > -math.inf:  # others may equal the last of top-k
            logits, ids = top.at_least(row, least)
        return narrowed(logits, ids, sampling).draw(self._random.random())

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """The probabilities of a sample from the whole vocabulary, (vocabulary,).

        For settings without a top-k, with one that hardly narrows, or with rules that narrow by
        more; those have been applied by `process`.

        Args:
            logits: processed logits, fp32 (vocabulary,).
        """
        sampling = self.settings.sampling
        if has_other_narrowing(self.settings.rules.entries):
            return torch.softmax(logits, dim=-1)
        scores = logits / (sampling.temperature or 1.0)
        if sampling.top_k is not None and sampling.top_k < len(scores):
            least = scores.topk(sampling.top_k).values[-1]
            scores = scores.masked_fill(scores < least, -torch.inf)
        probabilities = torch.softmax(scores, dim=-1)
        if sampling.top_p is not None and sampling.top_p < 1.0:
            probabilities = _within_top_p(probabilities, sampling.top_p)
        if sampling.min_p:
            least = sampling.min_p * probabilities.amax()
            probabilities = probabilities.masked_fill(probabilities < least, 0.0)
        return probabilities

    def _draw_from_all(self, logits: torch.Tensor) -> int:
        sums = self.probabilities(logits).cpu().double().cumsum(-1)  # some devices have no fp64
        wanted = sums[-1] * self._random.random()
        return int(torch.searchsorted(sums, wanted, right=True).clamp(max=len(sums) - 1))

    def _check(self, highest: float) -> None:
        if math.isfinite(highest):
            return
        if highest == -math.inf:
            raise GenerationError(
                "no token is left that may come next: the rules of generation_config.json and the "
                "form of the answer allow no token in common",
                hint="chat.report()['generation_rules'], or another form",
            )
        raise GenerationError(
            "with the settings of this answer its logits are no longer numbers "
            f"({describe_sampling(self.settings.sampling)})",
            hint="settings nearer to those of Sampling(), or chat.report()['generation_rules'] for "
            "what the checkpoint adds",
        )


class _GrowingIds:
    """Prompt and answer as a tensor that grows by a token at a time, (1, length)."""

    def __init__(self) -> None:
        self._tensor: torch.Tensor | None = None
        self._length = 0

    def tensor(self, ids: Sequence[int], device: torch.device) -> torch.Tensor:
        """All ids; only those that are new are copied to the device."""
        if self._tensor is None or len(ids) > self._tensor.shape[1]:
            room = torch.zeros((1, 2 * len(ids) + 64), dtype=torch.long, device=device)
            room[0, : len(ids)] = torch.tensor(ids, device=device)
            self._tensor = room
        elif len(ids) > self._length:
            new = torch.tensor(ids[self._length :], device=device)
            self._tensor[0, self._length : len(ids)] = new
        self._length = len(ids)
        return self._tensor[:, : self._length]


def _within_top_p(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Probabilities of the likeliest tokens that make up `top_p` together; 0 for all others."""
    values, ids = TopLogits(probabilities[None]).top(_SORTED)
    if float(values.sum()) < top_p:
        values, ids = probabilities[None].sort(descending=True)
    before = values.cumsum(-1) - values
    kept = before < top_p
    kept[:, 0] = True
    return torch.zeros_like(probabilities).scatter_(0, ids[kept], values[kept])
