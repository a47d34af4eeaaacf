"""Candidates of a sample: temperature, top-k, top-p and min-p on a few tokens, and the draw.

The rules are those of transformers' logits processors, in the order of `generate`: temperature,
top-k, top-p, min-p. Top-k comes first because then all else is arithmetic on k numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from qwenvl_kit.options import Sampling


@dataclass(frozen=True)
class Candidates:
    """The tokens from which one is drawn.

    Attributes:
        ids: the tokens, the likeliest first.
        weights: their probabilities, up to a common factor.
    """

    ids: Sequence[int]
    weights: Sequence[float]

    def draw(self, chance: float) -> int:
        """The token that a random number selects, by inverting the cumulative distribution.

        Args:
            chance: the random number, in [0, 1).
        """
        sums = list(accumulate(self.weights))
        wanted = chance * sums[-1]
        return self.ids[next((at for at, total in enumerate(sums) if wanted < total), 0)]


def narrowed(logits: Sequence[float], ids: Sequence[int], sampling: Sampling) -> Candidates:
    """The candidates of a sample, of the largest logits of a row.

    Args:
        logits: the largest logits, largest first; all that top-k keeps.
        ids: their tokens.
        sampling: temperature, top-k, top-p and min-p; a temperature must be set.
    """
    count = len(logits)
    if sampling.top_k is not None and sampling.top_k < count:
        least = logits[sampling.top_k - 1]  # logits that equal the last one are kept as well
        count = next((at for at, logit in enumerate(logits) if logit < least), count)
    temperature = sampling.temperature or 1.0
    weights = [math.exp((logit - logits[0]) / temperature) for logit in logits[:count]]
    if sampling.top_p is not None and sampling.top_p < 1.0:
        wanted = sampling.top_p * sum(weights)
        before = (0.0, *accumulate(weights))
        kept = [weight for weight, total in zip(weights, before) if total < wanted]
        weights = kept or weights[:1]
    if sampling.min_p:
        weights = [weight for weight in weights if weight >= sampling.min_p * weights[0]]
    return Candidates(ids[: len(weights)], weights)
