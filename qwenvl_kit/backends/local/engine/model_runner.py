"""Passes of a model over tokens: prompts, what is left of them, the next tokens of answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from qwenvl_kit.backends.local.cache.cascade_attention import has_shared_attention
from qwenvl_kit.backends.local.cache.kv_cache import (
    CacheState,
    join_states,
    open_cache,
    read_state,
    repeat_row,
    select_rows,
    share_beginning,
    shared_prefix,
)
from qwenvl_kit.backends.local.engine.finite_values import check_logits
from qwenvl_kit.backends.local.engine.request import Job
from qwenvl_kit.backends.local.engine.vision_encoder import Features, as_encoder_output
from qwenvl_kit.backends.local.keywords import cache_keyword
from qwenvl_kit.errors import GenerationError

_MIN_SAVED = 2048
"""Positions that sharing must save, over all rows; for fewer, attention in two parts takes longer
than attention over all (measured on two cores, with heads of 32 and of 128)."""


@dataclass(frozen=True)
class Computed:
    """What a pass leaves.

    Attributes:
        cache: open, one row a job.
        state: what it holds.
        mask: which positions of it are real, bool (batch, length).
        logits: of each row's last token, fp32 (batch, vocabulary).
    """

    cache: Any
    state: CacheState
    mask: torch.Tensor
    logits: torch.Tensor


class Forward:
    """Runs a model of transformers on parts of sequences.

    Args:
        model: the model.
        pad_id: what stands where a row has no token.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        self._model = model
        self._pad_id = pad_id
        self._cache_keyword = cache_keyword(model)

    def read(
        self,
        jobs: Sequence[Job],
        start: int,
        stops: Sequence[int],
        base: CacheState | None,
        features: Sequence[Mapping[int, Features]],
    ) -> Computed:
        """Compute the tokens of each job from `start` to its stop, after what they have in common.

        Rows are padded on the left of what is computed: at the very beginning, or between what
        they share and what is their own.

        Args:
            jobs: the requests.
            start: how many of their tokens are computed already.
            stops: up to where each is computed now.
            base: the cache after those, of a single row or one for each job.
            features: of each job's pictures and videos that are computed now, by their number.

        Raises:
            GenerationError: a row gives what is no number; nothing of it may be kept.
        """
        device = self._model.device
        width = max(stops) - start
        ids = torch.full((len(jobs), width), self._pad_id)
        own = torch.zeros((len(jobs), width), dtype=torch.bool)
        positions = torch.zeros((4, len(jobs), width), dtype=torch.long)
        for at, (job, stop) in enumerate(zip(jobs, stops)):
            part = slice(width - (stop - start), width)
            ids[at, part] = torch.tensor(job.ids[start:stop])
            own[at, part] = True
            positions[:, at, part] = job.positions_between(start, stop)
        mask = torch.cat([torch.ones((len(jobs), start), dtype=torch.bool), own], dim=1).to(device)
        cache = self._opened(base, len(jobs))
        shown = _shown(jobs, start, stops, features)
        logits = self._run(
            cache,
            input_ids=ids.to(device),
            attention_mask=None if bool(own.all()) else mask.long(),
            position_ids=positions.to(device),
            logits_to_keep=1,
            **({"mm_encoder_outputs": shown} if shown else {}),
        )
        last = logits[:, -1]
        if not any(job.row.removes_invalid_values for job in jobs):
            check_logits(last, self._model.dtype)
        return Computed(cache, read_state(cache), mask, last)

    def read_in_turn(
        self,
        jobs: Sequence[Job],
        base: CacheState,
        features: Sequence[Mapping[int, Features]],
    ) -> Computed:
        """Compute what is left of each job, without padding, over which a state would run on.

        All are read up to where the shortest ends, the others up to where the next one ends, and
        so on.

        Args:
            jobs: the requests, the shortest first. All they show ends before the shortest does.
            base: the cache after what they have in common, of a single row.
            features: of each job's pictures and videos that are computed now, by their number.
        """
        stops = [job.num_tokens for job in jobs]
        state, states, logits = base, list[CacheState](), list[torch.Tensor]()
        for stop in sorted(set(stops)):
            left = [at for at in range(len(jobs)) if stops[at] >= stop]
            ending = range(stops.count(stop))
            done = self.read(
                [jobs[at] for at in left],
                state.length,
                [stop] * len(left),
                state,
                [features[at] for at in left],
            )
            states.append(select_rows(done.state, ending))
            logits.append(done.logits[: len(ending)])
            state = select_rows(done.state, range(len(ending), len(left)))
        joined = join_states(states)
        mask = torch.ones((len(jobs), joined.length), dtype=torch.bool)
        for at, stop in enumerate(stops):
            mask[at, joined.num_shared : joined.num_shared + joined.length - stop] = False
        cache = open_cache(self._model, joined)
        return Computed(cache, joined, mask.to(self._model.device), torch.cat(logits))

    def step(
        self,
        cache: Any,
        mask: torch.Tensor | None,
        ids: Sequence[Sequence[int]],
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """Logits after each of some more tokens of each row, fp32 (batch, tokens, vocabulary).

        Args:
            cache: the open cache, which grows.
            mask: which positions are real, with the new ones: bool (batch, length); None if all.
            ids: the tokens of each row.
            positions: (4, batch, tokens).
        """
        device = self._model.device
        return self._run(
            cache,
            input_ids=torch.tensor(ids, device=device),
            attention_mask=None if mask is None else mask.long(),
            position_ids=positions.to(device),
            logits_to_keep=positions.shape[-1],
        )

    def _run(self, cache: Any, **inputs: Any) -> torch.Tensor:
        """Logits, fp32 (batch, tokens, vocabulary), after what a cache holds; the cache grows."""
        shared = shared_prefix(cache)
        output = self._model(
            **{**inputs, self._cache_keyword: cache, "use_cache": True},
            **({"shared_prefix": shared} if shared else {}),
        )
        if shared and not shared.is_read:
            raise GenerationError(
                "transformers did not hand on what the rows of a batch begin with",
                hint="pip install --upgrade qwenvl-kit, or an earlier transformers",
            )
        logits: torch.Tensor = output.logits.float()
        return logits

    def _opened(self, base: CacheState | None, num_rows: int) -> Any:
        """A cache to go on with, in which all rows begin alike."""
        if base is None or base.num_rows == num_rows:
            return open_cache(self._model, base)
        if base.may_share and self.may_share(base.length, num_rows):
            base = share_beginning(base, base.length)
        return open_cache(self._model, repeat_row(base, num_rows))

    def may_share(self, length: int, num_rows: int) -> bool:
        """Whether so many positions that rows begin with should be held once for all of them."""
        return (num_rows - 1) * length >= _MIN_SAVED and has_shared_attention(self._model)


def _shown(
    jobs: Sequence[Job],
    start: int,
    stops: Sequence[int],
    features: Sequence[Mapping[int, Features]],
) -> dict[str, Any]:
    """The features of what is computed now, by kind, in the order of the placeholders."""
    shown: dict[str, list[Features]] = {"image": [], "video": []}
    for job, stop, known in zip(jobs, stops, features):
        for index in job.media_between(start, stop):
            shown[job.media_kinds[index]].append(known[index])
    return {kind: as_encoder_output(found) for kind, found in shown.items() if found}
