"""The requests whose answers are being written, a token of each at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from qwenvl_kit.backends.local.caches import (
    CacheState,
    join_states,
    open_cache,
    read_state,
    select_rows,
)
from qwenvl_kit.backends.local.forward import Computed, Forward
from qwenvl_kit.backends.local.jobs import Job


class Running:
    """Rows that share each pass of the model. They come when their prompts have been read, and go.

    Args:
        model: the model of transformers.
        forward: runs it.
    """

    def __init__(self, model: Any, forward: Forward) -> None:
        self._model = model
        self._forward = forward
        self.jobs: list[Job] = []
        self._cache: Any = None
        self._mask = torch.ones((0, 0), dtype=torch.bool)

    def join(self, jobs: Sequence[Job], read: Computed) -> None:
        """Take in requests whose prompts have been read.

        Args:
            jobs: the requests.
            read: what that left, a row for each.
        """
        if self.jobs:
            state = join_states([read_state(self._cache), read.state])
            masks = [_widened(mask, state.length) for mask in (self._mask, read.mask)]
            self._go_on(open_cache(self._model, state), torch.cat(masks))
        else:
            self._go_on(read.cache, read.mask)
        self.jobs += jobs

    def step(self) -> torch.Tensor:
        """Feed the last token of each row; logits of the next, fp32 (batch, vocabulary)."""
        self._mask = pad(self._mask, (0, 1), value=True)
        text, visual = zip(*(job.last_position() for job in self.jobs))
        return self._forward.step(
            self._cache,
            None if self._is_whole else self._mask,
            [job.row.last_id for job in self.jobs],
            torch.tensor([text, visual, visual, visual])[:, :, None],
        )

    def drop_ended(self) -> None:
        """Give up the places of rows that have ended, once they are a good part of all.

        What stays is copied, which is why it is not done for each.
        """
        going_on = [at for at, job in enumerate(self.jobs) if job.row.finish_reason is None]
        num_ended = len(self.jobs) - len(going_on)
        if not going_on:
            self.clear()
        elif 4 * num_ended >= len(self.jobs):
            self.keep(going_on)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some of the rows."""
        mask = self._mask[torch.tensor(rows, device=self._mask.device)]
        num_skipped = int(mask.any(dim=0).int().argmax())
        state = select_rows(read_state(self._cache), rows, num_skipped)
        self._go_on(open_cache(self._model, state), mask[:, num_skipped:])
        self.jobs = [self.jobs[row] for row in rows]

    def clear(self) -> None:
        """Let all rows go."""
        self.jobs, self._cache = [], None

    def state_of_only_row(self) -> CacheState | None:
        """The cache of a row that is alone and has no padding; None otherwise."""
        if len(self.jobs) != 1 or not self._is_whole:
            return None
        return read_state(self._cache)

    def _go_on(self, cache: Any, mask: torch.Tensor) -> None:
        self._cache, self._mask = cache, mask
        self._is_whole = bool(mask.all())


def _widened(mask: torch.Tensor, length: int) -> torch.Tensor:
    return pad(mask, (length - mask.shape[1], 0), value=False)
