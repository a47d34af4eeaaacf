"""The next token of one row: greedy, or sampled as `generate` of transformers samples."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import LogitsProcessorList

from qwenvl_kit.backends.local.engine.logits_processors import Setting, make_processors
from qwenvl_kit.errors import GenerationError
from qwenvl_kit.options import Sampling, describe_sampling
from qwenvl_kit.processing.generation_rules import GenerationRules

_AFTER_THE_CHOICE = frozenset({"renormalize_logits", "top_h", "typical_p"}) | frozenset(
    {"epsilon_cutoff", "eta_cutoff", "remove_invalid_values"}
)
"""Rules that leave the likeliest token the likeliest."""


@dataclass(frozen=True)
class Choice:
    """How the tokens of one answer are chosen.

    Attributes:
        sampling: what the request asks for.
        rules: what the checkpoint says, whatever is asked.
        prompt_ids: the prompt.
        max_new_tokens: how long the answer may become.
        end_ids: the tokens that end it.
    """

    sampling: Sampling
    rules: GenerationRules = field(default_factory=GenerationRules)
    prompt_ids: Sequence[int] = ()
    max_new_tokens: int = 1
    end_ids: Set[int] = frozenset()

    def processors(self, logits: torch.Tensor) -> LogitsProcessorList:
        """All that changes raw logits, (vocabulary,), before a token is taken of them."""
        num_ids = logits.shape[-1]
        setting = Setting(
            self.prompt_ids, self.max_new_tokens, self.end_ids, num_ids, str(logits.device)
        )
        return make_processors(self.sampling, self.rules.entries, setting)

    @property
    def takes_the_likeliest(self) -> bool:
        """Whether the choice is that of the raw distribution's maximum."""
        sampling = self.sampling
        has_penalty = sampling.repetition_penalty not in (None, 1.0) or sampling.presence_penalty
        has_rule = bool(self.rules.entries.keys() - _AFTER_THE_CHOICE)
        return sampling.is_greedy and not has_penalty and not has_rule


class TokenChooser:
    """Chooses the next token of one row, as `generate` of transformers would.

    Each row has its own random generator, so that a seeded answer does not depend on the batch
    that it was part of, and its own processors, which see its tokens without padding.
    """

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self.takes_the_likeliest = choice.takes_the_likeliest
        self._processors: LogitsProcessorList | None = None
        self._generator: torch.Generator | None = None

    def choose(self, ids: Sequence[int], logits: torch.Tensor) -> int:
        """The next token.

        Args:
            ids: prompt and answer so far.
            logits: raw logits, (vocabulary,), fp32; minus infinity for what may not come.

        Raises:
            GenerationError: nothing may come, or what is left are not numbers.
        """
        scores = logits if self.takes_the_likeliest else self._processed(ids, logits)
        highest = scores.amax(dim=-1)
        token = self._picked(scores, highest)
        token_id, value = torch.stack([token.float(), highest]).tolist()  # exact below 2**24
        if not math.isfinite(value):
            raise self._no_choice(value)
        return int(token_id)

    def _processed(self, ids: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
        """What the settings of the answer make of logits, (vocabulary,)."""
        if self._processors is None:
            self._processors = self._choice.processors(logits)
        context: Any = torch.tensor([ids], device=logits.device)
        scores = self._processors(context, logits[None].clone())
        # A rule that forces a token may not force one that the form of the answer forbids.
        left: torch.Tensor = scores.masked_fill(logits[None] == -torch.inf, -torch.inf)[0]
        return left

    def _picked(self, scores: torch.Tensor, highest: torch.Tensor) -> torch.Tensor:
        """The likeliest token or one by chance, on the device, which is not waited for.

        A GPU ends the process that draws from what is no number. So zeros are drawn from in its
        place, and whoever reads the token sees by the highest score that it is none.
        """
        if self._choice.sampling.is_greedy:
            return scores.argmax(dim=-1)
        sound = torch.where(highest.isfinite(), scores, torch.zeros_like(scores))
        drawn = torch.multinomial(
            torch.softmax(sound, dim=-1), 1, generator=self._seeded(scores.device)
        )
        return drawn[0]

    def _no_choice(self, highest: float) -> GenerationError:
        """Why none of some scores can be taken, by the highest of them."""
        if highest == -math.inf:
            return GenerationError(
                "no token is left that may come next: what generation_config.json of the "
                "checkpoint and the form of the answer allow has nothing in common",
                hint="chat.report()['generation_rules'], or another form",
            )
        return GenerationError(
            "the settings of the answer make of its logits what are not numbers "
            f"({describe_sampling(self._choice.sampling)})",
            hint="settings nearer to those of Sampling(), or chat.report()['generation_rules'] for "
            "what the checkpoint adds",
        )

    def _seeded(self, device: torch.device) -> torch.Generator:
        """The row's own generator, where the logits are."""
        if self._generator is None:
            self._generator = torch.Generator(device=device)
            seed = self._choice.sampling.seed
            if seed is None:
                self._generator.seed()
            else:
                self._generator.manual_seed(seed)
        return self._generator
