"""The next token of one row: greedy, or sampled as `generate` of transformers samples."""

from __future__ import annotations

import torch
from transformers import LogitsProcessorList
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from qwenvl_kit.options import Sampling


class TokenChooser:
    """Chooses the next token of one row, as `generate` of transformers would.

    Each row has its own random generator, so that a seeded answer does not depend on the batch
    that it was part of.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._is_greedy = sampling.is_greedy
        self._seed = sampling.seed
        self._penalty = _penalty(sampling)
        self._presence_penalty = sampling.presence_penalty or 0.0
        self._warpers = LogitsProcessorList() if sampling.is_greedy else _warpers(sampling)
        self._generator: torch.Generator | None = None

    @property
    def takes_the_likeliest(self) -> bool:
        """Whether the choice is that of the raw distribution's maximum."""
        return self._is_greedy and not self._penalty and not self._presence_penalty

    def choose(self, context_ids: torch.Tensor, prompt_tokens: int, logits: torch.Tensor) -> int:
        """The next token.

        Args:
            context_ids: prompt and answer so far, (1, length), without padding.
            prompt_tokens: how many of them are the prompt.
            logits: raw logits, (1, vocabulary), fp32.
        """
        scores = self._penalty(context_ids, logits)  # type: ignore[arg-type]  # LongTensor
        scores = self._discourage(context_ids[:, prompt_tokens:], scores)
        scores = self._warpers(context_ids, scores)  # type: ignore[arg-type]
        if self._is_greedy:
            return int(scores.argmax(dim=-1))
        probabilities = torch.softmax(scores, dim=-1)
        return int(torch.multinomial(probabilities, 1, generator=self._seeded(logits.device)))

    def _discourage(self, answer_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores less the presence penalty for what the answer holds; transformers has none."""
        if not self._presence_penalty:
            return scores
        present = torch.zeros_like(scores, dtype=torch.bool).scatter_(1, answer_ids, True)
        return scores - self._presence_penalty * present

    def _seeded(self, device: torch.device) -> torch.Generator:
        """The row's own generator, where the logits are."""
        if self._generator is None:
            self._generator = torch.Generator(device=device)
            if self._seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(self._seed)
        return self._generator


def _penalty(sampling: Sampling) -> LogitsProcessorList:
    processors = LogitsProcessorList()
    if sampling.repetition_penalty not in (None, 1.0):
        processors.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    return processors


def _warpers(sampling: Sampling) -> LogitsProcessorList:
    """In the order in which `generate` applies them."""
    warpers = LogitsProcessorList([TemperatureLogitsWarper(float(sampling.temperature or 1.0))])
    if sampling.top_k is not None:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p is not None and sampling.top_p < 1.0:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p is not None:
        warpers.append(MinPLogitsWarper(sampling.min_p))
    return warpers
