"""The next token of one row: greedy, or sampled as `generate` of transformers samples."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import LogitsProcessorList

from qwenvl_kit.backends.local.processors import Setting, make_processors
from qwenvl_kit.errors import GenerationError
from qwenvl_kit.options import Sampling
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
            GenerationError: nothing may come.
        """
        if self.takes_the_likeliest:
            return int(logits.argmax())
        if self._processors is None:
            self._processors = self._choice.processors(logits)
        context: Any = torch.tensor([ids], device=logits.device)
        scores = self._processors(context, logits[None].clone())
        # A rule that forces a token may not force one that the form of the answer forbids.
        scores = scores.masked_fill(logits[None] == -torch.inf, -torch.inf)
        if scores.max() == -torch.inf:
            raise GenerationError(
                "no token is left that may come next: what generation_config.json of the "
                "checkpoint and the form of the answer allow has nothing in common",
                hint="chat.report()['generation_rules'], or another form",
            )
        if self._choice.sampling.is_greedy:
            return int(scores.argmax(dim=-1))
        probabilities = torch.softmax(scores, dim=-1)
        return int(torch.multinomial(probabilities, 1, generator=self._seeded(logits.device)))

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
