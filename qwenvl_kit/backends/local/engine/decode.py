"""The decode batch: the sequences that are generated together, one token each a step.

A request joins the batch when its prompt has been computed, and is dropped some steps after its
answer has ended. All sequences share one KV cache, padded on the left; a prefix that all of them
begin with is held in it once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from transformers.generation.logits_process import InfNanRemoveLogitsProcessor

from qwenvl_kit.backends.local.cache.cache_key import common_length
from qwenvl_kit.backends.local.cache.kv_cache import (
    CacheState,
    join_states,
    select_rows,
    share_prefix,
)
from qwenvl_kit.backends.local.devices import upload
from qwenvl_kit.backends.local.engine.finite_values import LANGUAGE_MODEL, not_numbers
from qwenvl_kit.backends.local.engine.model_runner import ModelRunner, PrefillOutput
from qwenvl_kit.backends.local.engine.processed_logits import process_logits
from qwenvl_kit.backends.local.engine.prompt_lookup import Draft
from qwenvl_kit.backends.local.engine.request import EngineRequest
from qwenvl_kit.backends.local.engine.shortlist import Shortlist, add_token
from qwenvl_kit.backends.local.engine.static_decode import StaticDecoder
from qwenvl_kit.backends.local.engine.top_logits import TopLogits, to_host


class DecodeBatch:
    """The requests that share each decode step, and their KV cache.

    Args:
        model: the model of transformers.
        runner: runs its forward passes.
        static: decodes with fixed shapes what it can; None to decode nothing so.

    Attributes:
        requests: the requests, in the order of their rows in the cache.
    """

    def __init__(
        self, model: Any, runner: ModelRunner, static: StaticDecoder | None = None
    ) -> None:
        self._model = model
        self._runner = runner
        self._static, self._may_enter = static, True
        self.requests: list[EngineRequest] = []
        self._cache: Any = None
        self._draft: Draft | None = None
        self._joined_mask = torch.ones((0, 0), dtype=torch.bool)  # on the processor
        self._device_mask: torch.Tensor | None = None
        self._num_steps = 0

    @property
    def dtype(self) -> torch.dtype:
        """The dtype in which the model computes."""
        dtype: torch.dtype = self._model.dtype
        return dtype

    def join(self, requests: Sequence[EngineRequest], output: PrefillOutput) -> None:
        """Add requests whose prompts have been computed.

        Args:
            requests: the requests.
            output: the output of their prefill, one row each.
        """
        if self.requests:
            self._leave()
            self._drop_draft()
            states, masks = (
                (self._runner.read(self._cache), output.state),
                (self._mask, output.mask),
            )
            num_shared = self._num_shared(requests, states, masks)
            state = join_states([share_prefix(state, num_shared) for state in states])
            widened = [_widened(mask, state.length, num_shared) for mask in masks]
            self._continue_with(self._runner.open_state(state), torch.cat(widened))
        else:
            self._continue_with(output.cache, output.mask)
        self.requests += requests

    def advance(self) -> None:
        """Add the next token to each sequence that has not ended."""
        if self._static is not None and self._is_static(self._static):
            self._static.advance(self.requests)
            self._num_steps += 1
        else:
            sample_tokens(self.requests, self.step(), self.dtype)

    def _is_static(self, static: StaticDecoder) -> bool:
        """True if the next step has fixed shapes; the sequences then lie in a bucket."""
        if not static.takes(self.requests):
            return False
        if static.is_full:
            self._leave()
        if static.is_active or not self._may_enter:
            return static.is_active
        self._drop_draft()
        state = self._runner.read(self._cache)
        self._may_enter = not state.num_shared and static.enter(state, self._mask, self.requests)
        if self._may_enter:
            self._cache = None
        return self._may_enter

    def _leave(self) -> None:
        """Have the sequences in a cache that grows, wherever they lie."""
        if self._static is not None and self._static.is_active:
            self._cache = self._runner.open_state(self._static.leave())

    def step(self) -> torch.Tensor:
        """Return the logits of the next token of each sequence, fp32 (batch, vocabulary).

        The model is given the last token of each sequence, unless a draft held that token and the
        logits after it are known already.
        """
        self._leave()
        draft = self._draft
        logits = None if draft is None else draft.logits_after(self.requests[0].sequence.last_id)
        if logits is None:
            self._drop_draft()
            logits = self._run(self._draft_tokens())
        self._num_steps += 1
        return logits

    @property
    def _mask(self) -> torch.Tensor:
        """True for positions that are not padding, bool (batch, length), on the processor."""
        return pad(self._joined_mask, (0, self._num_steps), value=True)

    def _draft_tokens(self) -> list[int]:
        """The draft for a sequence that is alone; drafts of several differ in useful length."""
        lookup = self.requests[0].lookup
        if lookup is None or len(self.requests) > 1:
            return []
        return lookup.propose(self.requests[0].sequence.token_ids)

    def _run(self, draft: Sequence[int]) -> torch.Tensor:
        """Return the logits after the last token of each sequence; keep those after a draft."""
        width = 1 + len(draft)
        text, visual = zip(*(request.last_position() for request in self.requests))
        positions = torch.tensor([text, visual, visual, visual])[:, :, None] + torch.arange(width)
        mask = self._device_mask
        logits = self._runner.step(
            self._cache,
            None if mask is None else pad(mask, (0, self._num_steps + width), value=True),
            [[request.sequence.last_id, *draft] for request in self.requests],
            positions,
        )
        if draft and (lookup := self.requests[0].lookup):
            self._draft = Draft(lookup, draft, logits[0])
        return logits[:, 0]

    def _drop_draft(self) -> None:
        """Cut the cache back to the tokens of the answer, and forget the rest of a draft."""
        if self._draft is not None:
            self._runner.cut(self._cache, self._joined_mask.shape[1] + self._num_steps)
            self._draft = None

    def drop_ended(self) -> None:
        """Drop the requests that have ended, once they are a quarter of all.

        Not one by one, because the cache of those that stay is copied.
        """
        left = [
            row
            for row, request in enumerate(self.requests)
            if request.sequence.finish_reason is None
        ]
        num_ended = len(self.requests) - len(left)
        if not left:
            self.clear()
        elif 4 * num_ended >= len(self.requests):
            self.keep(left)

    def keep(self, rows: Sequence[int]) -> None:
        """Keep the requests of some rows, and drop the others."""
        self._leave()
        state = self._runner.read(self._cache)
        mask = self._mask[list(rows)]
        shared, own = mask[:, : state.num_shared], mask[:, state.num_shared :]
        num_skipped = int(own.any(dim=0).int().argmax())
        state = select_rows(state, rows, num_skipped)
        if len(rows) == 1:
            state = share_prefix(state, 0)
        self._continue_with(
            self._runner.open_state(state), torch.cat([shared, own[:, num_skipped:]], dim=1)
        )
        self.requests = [self.requests[row] for row in rows]

    def clear(self) -> None:
        """Drop all requests and their cache."""
        self.requests, self._cache, self._draft = [], None, None
        if self._static is not None:
            self._static.clear()

    def release_buffers(self) -> int:
        """Release what is kept for further batches, if none runs; return its bytes."""
        return 0 if self._static is None else self._static.release()

    def state_of_only_sequence(self) -> CacheState | None:
        """The cache of a sequence that is alone and has no padding; None otherwise."""
        if len(self.requests) != 1 or self._device_mask is not None:
            return None
        self._leave()
        self._drop_draft()
        return self._runner.read(self._cache)

    def _num_shared(
        self,
        joining: Sequence[EngineRequest],
        states: Sequence[CacheState],
        masks: Sequence[torch.Tensor],
    ) -> int:
        """The length of the prefix that the batch is to hold once after requests have joined.

        Args:
            joining: the requests that join.
            states: the caches of the batch and of the requests that join.
            masks: True for positions that are not padding; likewise.
        """
        if not all(map(_may_share, states, masks)):
            return 0
        first, *others = (*self.requests, *joining)
        lengths = [common_length(first.cache_key, other.cache_key) for other in others]
        length = min(*lengths, *(state.num_shared or state.length for state in states))
        return length if self._runner.may_share(length, 1 + len(others)) else 0

    def _continue_with(self, cache: Any, mask: torch.Tensor) -> None:
        self._cache, self._joined_mask, self._num_steps = cache, mask, 0
        self._may_enter = True
        is_whole = bool(mask.all())
        self._device_mask = None if is_whole else upload(mask, self._model.device)


def _may_share(state: CacheState, mask: torch.Tensor) -> bool:
    """True if a cache can hold a prefix once, and its rows begin without padding."""
    return state.may_share and (state.num_shared > 0 or bool(mask.all()))


def _widened(mask: torch.Tensor, length: int, num_shared: int) -> torch.Tensor:
    """The mask for a longer cache, with the new padding after the shared prefix."""
    shared, own = mask[:, :num_shared], mask[:, num_shared:]
    return torch.cat([shared, pad(own, (length - mask.shape[1], 0), value=False)], dim=1)


def sample_tokens(
    requests: Sequence[EngineRequest], logits: torch.Tensor, dtype: torch.dtype
) -> None:
    """Add the next token to each sequence that has not ended.

    A sequence for which no token can be chosen ends by an error of its own. Scores are those of
    the raw distribution: after temperature and top-p they would overstate how sure the model was.

    Args:
        requests: the requests, in the order of the rows of `logits`.
        logits: raw logits, fp32 (batch, vocabulary).
        dtype: the dtype in which the model computes, for messages.
    """
    sequences = [request.sequence for request in requests]
    if any(sequence.removes_invalid_values for sequence in sequences):
        logits = InfNanRemoveLogitsProcessor()(None, logits)
    top = TopLogits(logits)
    processed = process_logits(sequences, logits)
    raw_list = Shortlist(sequences, top, logits, max(each.num_wanted for each in sequences))
    lists, rows = [raw_list], {at: row for row, at in enumerate(processed)}
    if processed:
        chosen = [sequences[at] for at in processed]
        count = max(sequence.sampler.num_candidates or 1 for sequence in chosen)
        processed_top = TopLogits(torch.stack([*processed.values()]))
        are_all = len(processed) == len(sequences)
        raw = logits if are_all else (logits[at] for at in processed)
        lists.append(Shortlist(chosen, processed_top, raw, count))
    normalizers, *found = to_host(
        [top.log_normalizers()[:, None], *(each for made in lists for each in made.tensors)]
    )
    for number, made in enumerate(lists):
        made.take(found[3 * number : 3 * number + 3])
    for at, sequence in enumerate(sequences):
        if not math.isfinite(raw_list.highest(at)):
            sequence.fail(not_numbers(LANGUAGE_MODEL, dtype))
        if sequence.finish_reason is None:
            with sequence.failing_alone():
                made, row = (lists[1], rows[at]) if at in rows else (raw_list, at)
                token, logit = made.choose(row, logits[at])
                (normalizer,) = normalizers[at]
                add_token(sequence, token, logit, normalizer, raw_list.likeliest(at))
