"""The model runner: forward passes of the language model, with a KV cache.

`prefill` computes prompts or parts of them, `step` one decode step. Both take positions and
features that were computed before; no pixels reach the model here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from qwenvl_kit.backends.local.cache.cascade_attention import has_shared_attention
from qwenvl_kit.backends.local.cache.kv_cache import (
    CacheState,
    cut_cache,
    join_states,
    open_cache,
    read_shared_prefix,
    read_state,
    repeat_row,
    reserve,
    select_rows,
    share_prefix,
)
from qwenvl_kit.backends.local.devices import upload
from qwenvl_kit.backends.local.engine.finite_values import LANGUAGE_MODEL, are_usable, not_numbers
from qwenvl_kit.backends.local.engine.request import EngineRequest
from qwenvl_kit.backends.local.engine.vision_encoder import (
    EncoderOutputs,
    Features,
    as_encoder_output,
)
from qwenvl_kit.backends.local.keywords import cache_keyword
from qwenvl_kit.errors import GenerationError

_MIN_SAVED = 2048
"""Positions that a shared prefix must save, over all rows. For fewer, attention in two parts takes
longer than attention over all (measured on two cores, with heads of 32 and of 128)."""


@dataclass(frozen=True)
class PrefillOutput:
    """The output of computing prompts, one row each.

    Attributes:
        cache: the open KV cache, with which decoding goes on.
        state: the contents of that cache.
        mask: True for positions that are not padding, bool (batch, length), on the processor.
        logits: the logits after the last token of each row, fp32 (batch, vocabulary).
    """

    cache: Any
    state: CacheState
    mask: torch.Tensor
    logits: torch.Tensor


class ModelRunner:
    """Runs a model of transformers on parts of sequences.

    A subclass for another engine overrides `may_share`, `open_state`, `read`, `cut`, `_reserve` and
    `_run`, which alone touch the model and its cache.

    Args:
        model: the model.
        pad_id: the token for padding.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        self._model = model
        self._pad_id = pad_id

    @cached_property
    def _cache_keyword(self) -> str:
        return cache_keyword(self._model)

    def prefill(
        self,
        requests: Sequence[EngineRequest],
        start: int,
        stops: Sequence[int],
        prefix: CacheState | None,
        features: Sequence[Mapping[int, Features]],
    ) -> PrefillOutput:
        """Compute the tokens of each request from `start` to its stop, after a common prefix.

        The rows are padded on the left of what is computed: at the very beginning, or between
        the common prefix and a row's own tokens.

        Args:
            requests: the requests.
            start: the length of the common prefix, which is computed already.
            stops: the place up to which each request is computed.
            prefix: the state after the common prefix, with one row for all or one for each.
            features: for each request, the features of the media within the computed part, by
                the number of the picture or video.

        Raises:
            GenerationError: the logits of a row are not numbers; nothing of it may be kept.
        """
        cache = self.open(prefix, len(requests))
        return self._read(cache, requests, start, stops, features)

    def prefill_in_chunks(
        self,
        request: EngineRequest,
        start: int,
        stops: Sequence[int],
        prefix: CacheState | None,
        features: Mapping[int, Features],
    ) -> Iterator[PrefillOutput]:
        """Compute the tokens of a request from `start` on in chunks.

        Args:
            request: the request.
            start: the length of its prefix, which is computed already.
            stops: the places at which the chunks end.
            prefix: the state after the prefix.
            features: the features of the media within the computed part, by the number of the
                picture or video.

        Returns:
            The output after each chunk; that after the last is what `prefill` gives.

        Raises:
            GenerationError: the logits after a chunk are not numbers.
        """
        cache = self.open(prefix, 1)
        self._reserve(cache, stops[-1])
        for stop in stops:
            yield self._read(cache, [request], start, [stop], [features])
            start = stop

    def _read(
        self,
        cache: Any,
        requests: Sequence[EngineRequest],
        start: int,
        stops: Sequence[int],
        features: Sequence[Mapping[int, Features]],
    ) -> PrefillOutput:
        """Compute the tokens of each request from `start` to its stop with an open cache."""
        device = self._model.device
        width = max(stops) - start
        ids = torch.full((len(requests), width), self._pad_id)
        own = torch.zeros((len(requests), width), dtype=torch.bool)
        positions = torch.zeros((4, len(requests), width), dtype=torch.long)
        for row, (request, stop) in enumerate(zip(requests, stops)):
            part = slice(width - (stop - start), width)
            ids[row, part] = torch.tensor(request.ids[start:stop])
            own[row, part] = True
            positions[:, row, part] = request.positions_between(start, stop)
        before = torch.ones((len(requests), start), dtype=torch.bool)
        mask = torch.cat([before, own], dim=1)
        outputs = _encoder_outputs(requests, start, stops, features)
        logits = self._run(
            cache,
            input_ids=upload(ids, device),
            attention_mask=None if bool(own.all()) else upload(mask, device).long(),
            position_ids=upload(positions, device),
            logits_to_keep=1,
            **({"mm_encoder_outputs": EncoderOutputs(outputs)} if outputs else {}),
        )
        last = logits[:, -1]
        may_be_invalid = any(request.sequence.removes_invalid_values for request in requests)
        # The device is waited for in any case, so that the time of this stage is that of its work.
        if not are_usable(last) and not may_be_invalid:
            raise not_numbers(LANGUAGE_MODEL, self._model.dtype)
        return PrefillOutput(cache, self.read(cache), mask, last)

    def prefill_without_padding(
        self,
        requests: Sequence[EngineRequest],
        prefix: CacheState,
        features: Sequence[Mapping[int, Features]],
    ) -> PrefillOutput:
        """Compute requests of different lengths without padding, in several passes.

        It is for states of linear attention, which padding would change. The first pass computes
        all requests up to the end of the shortest, the next one those that are left up to the end
        of the next, and so on.

        Args:
            requests: the requests, the shortest first. All their media end before the shortest
                does.
            prefix: the state after their common prefix, with a single row.
            features: for each request, the features of the media within the computed part, by
                the number of the picture or video.
        """
        stops = [request.num_tokens for request in requests]
        state, states, logits = prefix, list[CacheState](), list[torch.Tensor]()
        for stop in sorted(set(stops)):
            left = [row for row in range(len(requests)) if stops[row] >= stop]
            ending = range(stops.count(stop))
            output = self.prefill(
                [requests[row] for row in left],
                state.length,
                [stop] * len(left),
                state,
                [features[row] for row in left],
            )
            states.append(select_rows(output.state, ending))
            logits.append(output.logits[: len(ending)])
            state = select_rows(output.state, range(len(ending), len(left)))
        joined = join_states(states)
        mask = torch.ones((len(requests), joined.length), dtype=torch.bool)
        for row, stop in enumerate(stops):
            mask[row, joined.num_shared : joined.num_shared + joined.length - stop] = False
        cache = self.open_state(joined)
        return PrefillOutput(cache, joined, mask, torch.cat(logits))

    def step(
        self,
        cache: Any,
        mask: torch.Tensor | None,
        ids: Sequence[Sequence[int]],
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """Return the logits after each of some new tokens, fp32 (batch, tokens, vocabulary).

        Args:
            cache: the open KV cache, which grows by these tokens.
            mask: True for positions that are not padding, the new ones included, bool (batch,
                length); None if there is no padding.
            ids: the new tokens of each row.
            positions: their M-RoPE positions, (4, batch, tokens).
        """
        inputs = upload(torch.cat([torch.tensor(ids)[None], positions]), self._model.device)
        return self._run(
            cache,
            input_ids=inputs[0],
            attention_mask=None if mask is None else mask.long(),
            position_ids=inputs[1:],
            logits_to_keep=positions.shape[-1],
        )

    def step_in_place(
        self, cache: Any, mask: torch.Tensor, ids: torch.Tensor, positions: torch.Tensor
    ) -> torch.Tensor:
        """Return the logits after one token of each row, fp32 (rows, vocabulary).

        All inputs lie on the device, and nothing is waited for.

        Args:
            cache: the open KV cache, of static layers.
            mask: True for the positions that a row sees, bool (rows, 1, 1, length).
            ids: the tokens, (rows, 1).
            positions: their M-RoPE positions, (4, rows, 1).
        """
        logits = self._run(
            cache, input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1
        )
        return logits[:, -1]

    def _run(self, cache: Any, **inputs: Any) -> torch.Tensor:
        """Run a forward pass; return logits, fp32 (batch, tokens, vocabulary)."""
        shared = read_shared_prefix(cache)
        output = self._model(
            **{**inputs, self._cache_keyword: cache, "use_cache": True},
            **({"shared_prefix": shared} if shared else {}),
        )
        if shared and not shared.is_read:
            raise GenerationError(
                "transformers did not hand the shared prefix of a batch to its attention",
                hint="pip install --upgrade qwenvl-kit, or an earlier transformers",
            )
        logits: torch.Tensor = output.logits.float()
        return logits

    def open(self, prefix: CacheState | None, num_rows: int) -> Any:
        """Open a cache in which all rows begin with the same prefix."""
        if prefix is None or prefix.num_rows == num_rows:
            return self.open_state(prefix)
        if prefix.may_share and self.may_share(prefix.length, num_rows):
            prefix = share_prefix(prefix, prefix.length)
        return self.open_state(repeat_row(prefix, num_rows))

    def open_state(self, state: CacheState | None = None) -> Any:
        """Open a cache with which the model can go on, empty or from a state."""
        return open_cache(self._model, state)

    def read(self, cache: Any) -> CacheState:
        """Read the state of an open cache; later steps do not change what is returned."""
        return read_state(cache)

    def cut(self, cache: Any, length: int) -> None:
        """Cut an open cache down to its first positions; no state may hold the others."""
        cut_cache(cache, length)

    def _reserve(self, cache: Any, length: int) -> None:
        """Make room in an open cache for this many positions."""
        reserve(cache, length)

    def may_share(self, length: int, num_rows: int) -> bool:
        """True if a prefix of this length should be held once for this many rows."""
        return (num_rows - 1) * length >= _MIN_SAVED and has_shared_attention(self._model)


def _encoder_outputs(
    requests: Sequence[EngineRequest],
    start: int,
    stops: Sequence[int],
    features: Sequence[Mapping[int, Features]],
) -> dict[str, Any]:
    """The features of what is computed now, by kind, in the order of placeholders."""
    shown: dict[str, list[Features]] = {"image": [], "video": []}
    for request, stop, known in zip(requests, stops, features):
        for part in request.media_parts(start, stop):
            kind = request.media_kinds[part.number]
            shown[kind].append(known[part.number].part(part.first, part.last))
    return {kind: as_encoder_output(found) for kind, found in shown.items() if found}
