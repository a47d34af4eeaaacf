"""The sampler: the next token of one sequence, greedy or sampled.

It gives the token that `generate` of transformers gives for the same settings. Penalties,
temperature, top-k, top-p and the rules of generation_config.json are in `logits_processors`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import LogitsProcessorList

from qwenvl_kit.backends.local.engine.logits_processors import ProcessorContext, make_processors
from qwenvl_kit.errors import GenerationError
from qwenvl_kit.options import Sampling, describe_sampling
from qwenvl_kit.processing.generation_rules import GenerationRules

_KEEPING_ARGMAX = frozenset({"renormalize_logits", "top_h", "typical_p"}) | frozenset(
    {"epsilon_cutoff", "eta_cutoff", "remove_invalid_values"}
)
"""Rules that leave the likeliest token the likeliest."""


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

    def processors(self, logits: torch.Tensor) -> LogitsProcessorList:
        """The logits processors for raw logits, (vocabulary,), in the order of `generate`."""
        num_ids = logits.shape[-1]
        context = ProcessorContext(
            self.prompt_ids, self.max_new_tokens, self.end_ids, num_ids, str(logits.device)
        )
        return make_processors(self.sampling, self.rules.entries, context)

    @property
    def takes_argmax(self) -> bool:
        """True if the next token is always the one with the largest raw logit."""
        sampling = self.sampling
        has_penalty = sampling.repetition_penalty not in (None, 1.0) or sampling.presence_penalty
        has_rule = bool(self.rules.entries.keys() - _KEEPING_ARGMAX)
        return sampling.is_greedy and not has_penalty and not has_rule


class Sampler:
    """Chooses the next token of one sequence, as `generate` of transformers does.

    Each sequence has its own random generator, so that a seeded answer does not depend on its
    batch, and its own logits processors, which see its tokens without padding.

    Args:
        settings: the settings for the answer.
    """

    def __init__(self, settings: SamplerSettings) -> None:
        self._settings = settings
        self.takes_argmax = settings.takes_argmax
        self._processors: LogitsProcessorList | None = None
        self._generator: torch.Generator | None = None

    def sample(self, ids: Sequence[int], logits: torch.Tensor) -> int:
        """Choose the next token, and return its id.

        Args:
            ids: the prompt and the answer so far.
            logits: raw logits, fp32 (vocabulary,); minus infinity for tokens that may not come.

        Raises:
            GenerationError: no token may come, or the processed logits are not numbers.
        """
        scores = logits if self.takes_argmax else self._processed(ids, logits)
        highest = scores.amax(dim=-1)
        token = self._picked(scores, highest)
        token_id, value = torch.stack([token.float(), highest]).tolist()  # exact below 2**24
        if not math.isfinite(value):
            raise self._no_choice(value)
        return int(token_id)

    def _processed(self, ids: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        """The logits after all processors, (vocabulary,)."""
        if self._processors is None:
            self._processors = self._settings.processors(logits)
        context: Any = torch.tensor([ids], device=logits.device)
        scores = self._processors(context, logits[None].clone())
        # A rule that forces a token may not force one that the grammar forbids.
        left: torch.Tensor = scores.masked_fill(logits[None] == -torch.inf, -torch.inf)[0]
        return left

    def _picked(self, scores: torch.Tensor, highest: torch.Tensor) -> torch.Tensor:
        """The likeliest or a random token, as a tensor on the device, without waiting for it.

        A GPU ends its process if it samples from logits that are not numbers. So zeros take their
        place here, and the caller finds the fault in the highest score.
        """
        if self._settings.sampling.is_greedy:
            return scores.argmax(dim=-1)
        sound = torch.where(highest.isfinite(), scores, torch.zeros_like(scores))
        drawn = torch.multinomial(
            torch.softmax(sound, dim=-1), 1, generator=self._seeded(scores.device)
        )
        return drawn[0]

    def _no_choice(self, highest: float) -> GenerationError:
        """The error for scores without a token to choose, by the highest of them."""
        if highest == -math.inf:
            return GenerationError(
                "no token is left that may come next: the rules of generation_config.json and the "
                "form of the answer allow no token in common",
                hint="chat.report()['generation_rules'], or another form",
            )
        return GenerationError(
            "with the settings of this answer its logits are no longer numbers "
            f"({describe_sampling(self._settings.sampling)})",
            hint="settings nearer to those of Sampling(), or chat.report()['generation_rules'] for "
            "what the checkpoint adds",
        )

    def _seeded(self, device: torch.device) -> torch.Generator:
        """The sequence's own random generator, on the device of the logits."""
        if self._generator is None:
            self._generator = torch.Generator(device=device)
            seed = self._settings.sampling.seed
            if seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(seed)
        return self._generator
