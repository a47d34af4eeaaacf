"""A batch on its way through `generate` of transformers: scored, observed, stopped.

The choice of a token is made in a logits processor because that is where the raw distribution
is seen: the scores that `generate` itself returns come after temperature and top-p and would
overstate how sure the model was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria

from qwenvl_kit.backends.base import Observer
from qwenvl_kit.backends.local.rows import Row
from qwenvl_kit.errors import GenerationError


class Decoding:
    """Drives the rows of a batch through `generate`, as logits processor and stopping rule.

    Args:
        rows: the requests of the batch.
        pad_id: what a row that has ended goes on with until the others have.
        observer: told of each token, asked whether to go on.
        on_first_token: called once, when the prompt has been read.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        pad_id: int,
        observer: Observer | None,
        on_first_token: Callable[[], None],
    ) -> None:
        self._rows = rows
        self._pad_id = pad_id
        self._observer = observer
        self._on_first_token: Callable[[], None] | None = on_first_token

    def choose(self, input_ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Scores that leave each row one choice: (batch, vocabulary).

        Args:
            input_ids: (batch, length).
            logits: raw logits, (batch, vocabulary), fp32.
        """
        if self._on_first_token is not None:
            self._on_first_token()
            self._on_first_token = None
        chosen_ids = self._choose_ids(input_ids, logits)
        columns = torch.tensor(chosen_ids, device=logits.device)[:, None]
        logprobs = torch.log_softmax(logits, dim=-1)
        self._append(chosen_ids, logprobs.gather(1, columns)[:, 0].tolist(), logprobs)
        return torch.full_like(logits, -math.inf).scatter_(1, columns, 0.0)

    def _choose_ids(self, input_ids: torch.Tensor, logits: torch.Tensor) -> list[int]:
        """The next token of each row; padding for those that have ended."""
        likeliest = logits.argmax(dim=-1).tolist()
        return [
            self._pad_id if row.finish_reason else row.choose(input_ids[at], logits[at], best)
            for at, (row, best) in enumerate(zip(self._rows, likeliest))
        ]

    def _append(
        self, chosen_ids: Sequence[int], chosen: Sequence[float], logprobs: torch.Tensor
    ) -> None:
        """Keep each row's token and score; what is not a number is an error, not an answer."""
        for index, row in enumerate(self._rows):
            if row.finish_reason is not None:
                continue
            if math.isnan(chosen[index]):
                raise GenerationError(
                    "the model's logits are not numbers",
                    hint="dtype='bfloat16' or 'float32'; fp16 has too small a range",
                )
            row.append(chosen_ids[index], chosen[index], logprobs[index])
            self._show(index, row)

    def all_ended(self, device: torch.device) -> torch.Tensor:
        """Which rows have ended: (batch,) of bool."""
        if self._observer is not None and self._observer.is_cancelled():
            for index, row in enumerate(self._rows):
                if row.finish_reason is None:
                    row.finish("cancelled")
                    self._show(index, row)
        ended = [row.finish_reason is not None for row in self._rows]
        return torch.tensor(ended, dtype=torch.bool, device=device)

    def _show(self, index: int, row: Row) -> None:
        delta = row.take_delta()  # also completes the text of a row that has ended
        if self._observer is not None:
            self._observer.on_delta(index, delta)


class ChooseTokens(LogitsProcessor):
    """`Decoding` as `generate` calls it before each token."""

    def __init__(self, decoding: Decoding) -> None:
        self._decoding = decoding

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """See `Decoding.choose`."""
        return self._decoding.choose(input_ids, scores)


class StopWhenEnded(StoppingCriteria):
    """`Decoding` as `generate` calls it after each token."""

    def __init__(self, decoding: Decoding) -> None:
        self._decoding = decoding

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """See `Decoding.all_ended`."""
        return self._decoding.all_ended(input_ids.device)
