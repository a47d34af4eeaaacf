"""The shortlist of a step: the tokens among which each row chooses, with their raw logits.

It is made on the device, and copied to the processor once for all rows.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from qwenvl_kit.backends.local.engine import sequence as sequences_of
from qwenvl_kit.backends.local.engine.top_logits import TopLogits


def add_token(
    sequence: sequences_of.Sequence,
    token: int,
    logit: float,
    normalizer: float,
    likeliest: Iterable[tuple[int, float]],
) -> None:
    """Add a chosen token to a sequence, with log-probabilities of the raw distribution.

    Args:
        sequence: the sequence.
        token: the token.
        logit: its raw logit.
        normalizer: the logarithm of the sum of exponentials of all raw logits.
        likeliest: the likeliest tokens with their raw logits, likeliest first.
    """
    alternatives = ((other, value - normalizer) for other, value in likeliest)
    sequence.append(token, logit - normalizer, alternatives)


class Shortlist:
    """The largest logits of some rows, and the tokens that are drawn from all others as well.

    Args:
        rows: the sequence of each row.
        top: the logits by which they choose, raw or processed.
        raw: the raw logits of all rows, (rows, vocabulary), or of one after the other.
        count: the number of largest logits.

    Attributes:
        tensors: the largest logits, (rows, count); their tokens, and one more if any is drawn,
            (rows, count or count + 1); and the raw logits of these tokens, likewise.
    """

    def __init__(
        self,
        rows: Iterable[sequences_of.Sequence],
        top: TopLogits,
        raw: torch.Tensor | Iterable[torch.Tensor],
        count: int,
    ) -> None:
        self._top = top
        self._rows = list(rows)
        values, ids = top.top(count)
        self._count = values.shape[1]
        drawn = self._drawn(ids[:, :1])
        if drawn is not None:
            ids = torch.cat([ids, drawn], dim=1)
        if raw is top.logits and drawn is None:
            found = values
        elif isinstance(raw, torch.Tensor):
            found = raw.gather(1, ids)
        else:
            found = torch.stack([row.gather(0, tokens) for row, tokens in zip(raw, ids)])
        self.tensors = (values, ids, found)
        self._lists: list[list[list[float]]] = []

    def take(self, lists: Iterable[list[list[float]]]) -> None:
        """Take `tensors` as lists, which the processor has now."""
        self._lists = list(lists)

    def highest(self, row: int) -> float:
        """The largest logit of a row."""
        return self._lists[0][row][0]

    def likeliest(self, row: int) -> list[tuple[int, float]]:
        """The tokens with the largest logits, and their raw logits, the likeliest first."""
        _, ids, raw = (values[row][: self._count] for values in self._lists)
        return [(int(token), logit) for token, logit in zip(ids, raw)]

    def choose(self, row: int, raw: torch.Tensor) -> tuple[int, float]:
        """Choose the token of a row; return it with its raw logit.

        Args:
            row: the row.
            raw: its raw logits, (vocabulary,). They are asked only for a token that is not on the
                list, because its logit equals the last one.

        Raises:
            GenerationError: no token may come, or the logits are not numbers.
        """
        values, ids, logits = (found[row] for found in self._lists)
        sampler, tokens = self._rows[row].sampler, [int(token) for token in ids]
        if sampler.draws_from_all:
            sampler.check(values[0])
            return tokens[-1], logits[-1]
        token = sampler.choose(values, tokens[: self._count], self._top, row)
        return token, logits[tokens.index(token)] if token in tokens else float(raw[token])

    def _drawn(self, likeliest: torch.Tensor) -> torch.Tensor | None:
        """A token for each row, (rows, 1): drawn if any may be, else the likeliest.

        None if no row draws.
        """
        drawing = [at for at, row in enumerate(self._rows) if row.draws_from_all]
        if not drawing:
            return None
        tokens = list(likeliest)
        for at in drawing:
            with self._rows[at].failing_alone():
                tokens[at] = self._rows[at].sampler.draw(self._top.logits[at])
        return torch.stack(tokens)
