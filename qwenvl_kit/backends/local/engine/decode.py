"""The decode batch: the sequences that are generated together, one token each a step.

A request joins the batch when its prompt has been computed, and is dropped some steps after its
answer has ended. All sequences share one KV cache, padded on the left; a prefix that all of them
begin with is held in it once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import pad
from transformers.generation.logits_process import InfNanRemoveLogitsProcessor

from qwenvl_kit.backends.local.cache.cache_key import common_length
from qwenvl_kit.backends.local.cache.kv_cache import (
    CacheState,
    cut_cache,
    join_states,
    open_cache,
    read_state,
    select_rows,
    share_prefix,
)
from qwenvl_kit.backends.local.engine.finite_values import LANGUAGE_MODEL, not_numbers
from qwenvl_kit.backends.local.engine.model_runner import ModelRunner, PrefillOutput
from qwenvl_kit.backends.local.engine.prompt_lookup import Draft
from qwenvl_kit.backends.local.engine.request import EngineRequest
from qwenvl_kit.backends.local.engine.top_logits import TopLogits, to_host
from qwenvl_kit.backends.local.error_mapping import translated_errors
from qwenvl_kit.errors import OutOfMemoryError, QwenVLKitError


class DecodeBatch:
    """The requests that share each decode step, and their KV cache.

    Args:
        model: the model of transformers.
        runner: runs its forward passes.

    Attributes:
        requests: the requests, in the order of their rows in the cache.
    """

    def __init__(self, model: Any, runner: ModelRunner) -> None:
        self._model = model
        self._runner = runner
        self.requests: list[EngineRequest] = []
        self._cache: Any = None
        self._draft: Draft | None = None
        self._mask = torch.ones((0, 0), dtype=torch.bool)

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
            self._drop_draft()
            states, masks = (read_state(self._cache), output.state), (self._mask, output.mask)
            num_shared = self._num_shared(requests, states, masks)
            state = join_states([share_prefix(state, num_shared) for state in states])
            widened = [_widened(mask, state.length, num_shared) for mask in masks]
            self._continue_with(open_cache(self._model, state), torch.cat(widened))
        else:
            self._continue_with(output.cache, output.mask)
        self.requests += requests

    def step(self) -> torch.Tensor:
        """Return the logits of the next token of each sequence, fp32 (batch, vocabulary).

        The model is given the last token of each sequence, unless a draft held that token and the
        logits after it are known already.
        """
        draft = self._draft
        logits = None if draft is None else draft.logits_after(self.requests[0].sequence.last_id)
        if logits is None:
            self._drop_draft()
            logits = self._run(self._draft_tokens())
        self._mask = pad(self._mask, (0, 1), value=True)
        return logits

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
        logits = self._runner.step(
            self._cache,
            None if self._is_whole else pad(self._mask, (0, width), value=True),
            [[request.sequence.last_id, *draft] for request in self.requests],
            positions,
        )
        if draft and (lookup := self.requests[0].lookup):
            self._draft = Draft(lookup, draft, logits[0])
        return logits[:, 0]

    def _drop_draft(self) -> None:
        """Cut the cache back to the tokens of the answer, and forget the rest of a draft."""
        if self._draft is not None:
            cut_cache(self._cache, self._mask.shape[1])
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
        state = read_state(self._cache)
        mask = self._mask[torch.tensor(rows, device=self._mask.device)]
        shared, own = mask[:, : state.num_shared], mask[:, state.num_shared :]
        num_skipped = int(own.any(dim=0).int().argmax())
        state = select_rows(state, rows, num_skipped)
        if len(rows) == 1:
            state = share_prefix(state, 0)
        self._continue_with(
            open_cache(self._model, state), torch.cat([shared, own[:, num_skipped:]], dim=1)
        )
        self.requests = [self.requests[row] for row in rows]

    def clear(self) -> None:
        """Drop all requests and their cache."""
        self.requests, self._cache, self._draft = [], None, None

    def state_of_only_sequence(self) -> CacheState | None:
        """The cache of a sequence that is alone and has no padding; None otherwise."""
        if len(self.requests) != 1 or not self._is_whole:
            return None
        self._drop_draft()
        return read_state(self._cache)

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
        self._cache, self._mask = cache, mask
        self._is_whole = bool(mask.all())


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
    if any(request.sequence.removes_invalid_values for request in requests):
        logits = InfNanRemoveLogitsProcessor()(None, logits)
    top = TopLogits(logits)
    values, ids = top.top(max(request.sequence.num_wanted for request in requests))
    raw, raw_ids, normalizers = to_host((values, ids, top.log_normalizers()[:, None]))
    for request, row in zip(requests, raw):
        if not math.isfinite(row[0]):  # before sampling: a GPU ends its process for NaN
            request.sequence.fail(not_numbers(LANGUAGE_MODEL, dtype))
    chosen = _chosen_of_processed(requests, logits)
    for at, request in enumerate(requests):
        sequence, tokens = request.sequence, [int(token) for token in raw_ids[at]]
        if sequence.finish_reason is None:
            with _failing_alone(request):
                if at not in chosen:
                    token = sequence.sampler.choose(raw[at], tokens, top, at)
                    chosen[at] = token, _logit_of(token, tokens, raw[at], logits[at])
                token, logit = chosen[at]
                normalizer = normalizers[at][0]
                alternatives = ((each, value - normalizer) for each, value in zip(tokens, raw[at]))
                sequence.append(token, logit - normalizer, alternatives)


def _chosen_of_processed(
    requests: Sequence[EngineRequest], logits: torch.Tensor
) -> dict[int, tuple[int, float]]:
    """The tokens of sequences whose logits are processed first, with their raw logits, by row."""
    rows, processed = list[int](), list[torch.Tensor]()
    for at, request in enumerate(requests):
        sequence = request.sequence
        if sequence.finish_reason is None and not sequence.takes_raw_logits:
            with _failing_alone(request):
                processed.append(sequence.process(request.ids, logits[at]))
                rows.append(at)
    if not rows:
        return {}
    top = TopLogits(torch.stack(processed))
    count = max(requests[at].sequence.sampler.num_candidates or 1 for at in rows)
    values, ids = to_host(top.top(count))
    tokens = dict[int, int]()
    for row, at in enumerate(rows):
        with _failing_alone(requests[at]):
            sampler = requests[at].sequence.sampler
            tokens[at] = sampler.choose(values[row], [int(each) for each in ids[row]], top, row)
    wanted = torch.tensor([[at, token] for at, token in tokens.items()], device=logits.device)
    raw = logits[wanted[:, 0], wanted[:, 1]].tolist() if tokens else []
    return {at: (token, logit) for (at, token), logit in zip(tokens.items(), raw)}


def _logit_of(
    token: int, tokens: Sequence[int], values: Sequence[float], logits: torch.Tensor
) -> float:
    """The raw logit of a token, without asking the device if it is among the largest."""
    return values[tokens.index(token)] if token in tokens else float(logits[token])


@contextmanager
def _failing_alone(request: EngineRequest) -> Iterator[None]:
    """Let an error end this sequence alone; a lack of memory concerns the whole batch."""
    try:
        with translated_errors():
            yield
    except OutOfMemoryError:
        raise
    except QwenVLKitError as error:
        request.sequence.fail(error)
