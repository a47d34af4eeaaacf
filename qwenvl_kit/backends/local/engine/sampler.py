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
from torch.nn.functional import pad
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

_BLOCK = 512
"""Tokens of a block whose probabilities are summed before they are looked at one by one."""

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

    @property
    def draws_from_all(self) -> bool:
        """True if any token may be drawn, so that this is done on the device of the logits."""
        return self.num_candidates is None

    def unread(self, answer_ids: Sequence[int]) -> Sequence[int]:
        """The ids of prompt and answer that `read` must be given before logits are processed.

        Args:
            answer_ids: the answer so far.
        """
        prompt_ids, num_read = self.settings.prompt_ids, self._ids.length
        if self.takes_raw_logits:
            return ()
        if num_read < len(prompt_ids):
            return [*prompt_ids[num_read:], *answer_ids]
        return answer_ids[num_read - len(prompt_ids) :]

    def read(self, ids: torch.Tensor) -> None:
        """Take ids that are new, (number,), on the device of the logits."""
        self._ids.add(ids)

    def process(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits after penalties and rules, (vocabulary,).

        Args:
            logits: raw logits, fp32 (vocabulary,); minus infinity for tokens that may not come.
        """
        if self.takes_raw_logits:
            return logits
        if self._processors is None:
            self._processors = self.settings.processors(logits)
        context: Any = self._ids.tensor
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
        self.check(logits[0])
        sampling = self.settings.sampling
        if sampling.is_greedy:
            return ids[0]
        if self.draws_from_all:
            return int(self.draw(top.logits[row]))
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

    def draw(self, logits: torch.Tensor) -> torch.Tensor:
        """A token that is drawn from the whole vocabulary, (1,), on the device of the logits.

        Args:
            logits: processed logits, fp32 (vocabulary,).
        """
        return drawn(self.probabilities(logits), self._random.random())

    def check(self, highest: float) -> None:
        """Check that a token can be chosen, by the largest processed logit.

        Raises:
            GenerationError: no token may come, or the logits are not numbers.
        """
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
    """Prompt and answer on the device of the logits, to which ids are added.

    Attributes:
        length: the number of ids.
    """

    def __init__(self) -> None:
        self._room = torch.zeros((1, 0), dtype=torch.long)
        self.length = 0

    @property
    def tensor(self) -> torch.Tensor:
        """All ids, (1, length)."""
        return self._room[:, : self.length]

    def add(self, ids: torch.Tensor) -> None:
        """Add ids, (number,)."""
        length = self.length + len(ids)
        if length > self._room.shape[1]:
            room = ids.new_zeros((1, 2 * length + 64))
            if self.length:
                room[:, : self.length] = self.tensor
            self._room = room
        self._room[0, self.length : length] = ids
        self.length = length


def drawn(weights: torch.Tensor, chance: float) -> torch.Tensor:
    """The token that a random number selects, by inverting the cumulative distribution, (1,).

    Blocks are summed first and then the tokens of one block, because a sum over the vocabulary
    would be too coarse in fp32, and some devices have no fp64. The device is not waited for.

    Args:
        weights: the probabilities of all tokens, up to a common factor, fp32 (vocabulary,). If
            they are no numbers, the token has no meaning, and is one of the vocabulary.
        chance: the random number, in [0, 1).
    """
    if weights.device.type == "cpu":
        weights = weights.double()
    blocks = pad(weights, (0, -len(weights) % _BLOCK)).unflatten(0, (-1, _BLOCK))
    sizes = blocks.sum(-1)
    sums = sizes.cumsum(-1)
    wanted = sums[-1:] * chance
    block = _first_above(sums, sizes, wanted)
    inside = blocks[block][0]
    rest = wanted - (sums - sizes)[block]
    token = block * _BLOCK + _first_above(inside.cumsum(-1), inside, rest)
    return token.clamp(max=len(weights) - 1)


def _first_above(sums: torch.Tensor, weights: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The first place with a weight whose running sum is larger than a number, (1,).

    The last place with a weight, if no sum is, because of rounding.
    """
    is_possible = weights > 0
    is_above = (sums > wanted) & is_possible
    last = len(weights) - 1 - is_possible.flip(0).int().argmax(-1, keepdim=True)
    return torch.where(is_above.any(), is_above.int().argmax(-1, keepdim=True), last)


def _within_top_p(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Probabilities of the likeliest tokens that make up `top_p` together; 0 for all others."""
    values, ids = _sorted_down(probabilities, top_p)
    before = values.cumsum(-1) - values
    kept = torch.where(before < top_p, values, 0.0)
    kept[0] = values[0]
    return torch.zeros_like(probabilities).scatter_(0, ids, kept)


def _sorted_down(probabilities: torch.Tensor, top_p: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The likeliest tokens that make up `top_p` together, and maybe more, largest first.

    A processor sorts a few first. Other devices sort all at once, and would be waited for to know
    if a few are enough.

    Returns:
        Their probabilities and ids, (number,) each.
    """
    if probabilities.device.type == "cpu":
        values, ids = TopLogits(probabilities[None]).top(_SORTED)
        if float(values.sum()) >= top_p:
            return values[0], ids[0]
    return probabilities.sort(descending=True, stable=True)
