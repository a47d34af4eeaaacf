"""The requests whose answers are being written, a token of each at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from qwenvl_kit.backends.local.cache.kv_cache import (
    CacheState,
    cut_cache,
    join_states,
    open_cache,
    read_state,
    select_rows,
    share_beginning,
)
from qwenvl_kit.backends.local.cache.token_sequences import common_length
from qwenvl_kit.backends.local.engine.model_runner import Computed, Forward
from qwenvl_kit.backends.local.engine.prompt_lookup import Ahead
from qwenvl_kit.backends.local.engine.request import Job


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
        self._ahead: Ahead | None = None
        self._mask = torch.ones((0, 0), dtype=torch.bool)

    @property
    def dtype(self) -> torch.dtype:
        """What the model computes in."""
        dtype: torch.dtype = self._model.dtype
        return dtype

    def join(self, jobs: Sequence[Job], read: Computed) -> None:
        """Take in requests whose prompts have been read.

        Args:
            jobs: the requests.
            read: what that left, a row for each.
        """
        if self.jobs:
            self._drop_ahead()
            states, masks = (read_state(self._cache), read.state), (self._mask, read.mask)
            alike = self._num_alike(jobs, states, masks)
            state = join_states([share_beginning(state, alike) for state in states])
            widened = [_widened(mask, state.length, alike) for mask in masks]
            self._go_on(open_cache(self._model, state), torch.cat(widened))
        else:
            self._go_on(read.cache, read.mask)
        self.jobs += jobs

    def step(self) -> torch.Tensor:
        """Logits of the next token of each row, fp32 (batch, vocabulary).

        The last token of each is fed to the model, unless it was guessed and fed already.
        """
        ahead = self._ahead
        logits = None if ahead is None else ahead.logits_after(self.jobs[0].row.last_id)
        if logits is None:
            self._drop_ahead()
            logits = self._feed(self._guess())
        self._mask = pad(self._mask, (0, 1), value=True)
        return logits

    def _guess(self) -> list[int]:
        """What may follow a row that is alone; several would be right for different lengths."""
        guesser = self.jobs[0].guesser
        if guesser is None or len(self.jobs) > 1:
            return []
        return guesser.guess(self.jobs[0].row.token_ids)

    def _feed(self, guess: Sequence[int]) -> torch.Tensor:
        """The logits after the last token of each row; those after a guess are kept."""
        width = 1 + len(guess)
        text, visual = zip(*(job.last_position() for job in self.jobs))
        positions = torch.tensor([text, visual, visual, visual])[:, :, None] + torch.arange(width)
        logits = self._forward.step(
            self._cache,
            None if self._is_whole else pad(self._mask, (0, width), value=True),
            [[job.row.last_id, *guess] for job in self.jobs],
            positions,
        )
        if guess and (guesser := self.jobs[0].guesser):
            self._ahead = Ahead(guesser, guess, logits[0])
        return logits[:, 0]

    def _drop_ahead(self) -> None:
        """Cut the cache back to what came, and forget what was computed beyond."""
        if self._ahead is not None:
            cut_cache(self._cache, self._mask.shape[1])
            self._ahead = None

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
        state = read_state(self._cache)
        mask = self._mask[torch.tensor(rows, device=self._mask.device)]
        shared, own = mask[:, : state.num_shared], mask[:, state.num_shared :]
        num_skipped = int(own.any(dim=0).int().argmax())
        state = select_rows(state, rows, num_skipped)
        if len(rows) == 1:
            state = share_beginning(state, 0)
        self._go_on(
            open_cache(self._model, state), torch.cat([shared, own[:, num_skipped:]], dim=1)
        )
        self.jobs = [self.jobs[row] for row in rows]

    def clear(self) -> None:
        """Let all rows go."""
        self.jobs, self._cache, self._ahead = [], None, None

    def state_of_only_row(self) -> CacheState | None:
        """The cache of a row that is alone and has no padding; None otherwise."""
        if len(self.jobs) != 1 or not self._is_whole:
            return None
        self._drop_ahead()
        return read_state(self._cache)

    def _num_alike(
        self, coming: Sequence[Job], states: Sequence[CacheState], masks: Sequence[torch.Tensor]
    ) -> int:
        """How many first positions are to be held once for the rows there are and those that come.

        Args:
            coming: those that come.
            states: of those there are, and of those that come.
            masks: which positions are real; likewise.
        """
        if not all(map(_may_share, states, masks)):
            return 0
        first, *others = (*self.jobs, *coming)
        lengths = [common_length(first.sequence, job.sequence) for job in others]
        length = min(*lengths, *(state.num_shared or state.length for state in states))
        return length if self._forward.may_share(length, 1 + len(others)) else 0

    def _go_on(self, cache: Any, mask: torch.Tensor) -> None:
        self._cache, self._mask = cache, mask
        self._is_whole = bool(mask.all())


def _may_share(state: CacheState, mask: torch.Tensor) -> bool:
    """Whether rows begin without padding, in a cache whose beginning can be held once."""
    return state.may_share and (state.num_shared > 0 or bool(mask.all()))


def _widened(mask: torch.Tensor, length: int, num_shared: int) -> torch.Tensor:
    """The mask with padding after what is shared."""
    shared, own = mask[:, :num_shared], mask[:, num_shared:]
    return torch.cat([shared, pad(own, (length - mask.shape[1], 0), value=False)], dim=1)
