"""Static decode: decode steps with fixed shapes, which a CUDA graph can repeat.

Sequences lie in a bucket: a power of two of rows and of positions. Ids, positions and mask stay on
the device, and each step makes those of the next, so that greedy rows need nothing from the host:
step k + 1 is launched before the host reads the tokens of step k. The step after an end is thrown
away. Rows that are sampled hand the drawn tokens to the device, in one copy.

It is for sequences whose raw logits decide, as `StaticDecoder.takes` has it; `decode` knows the way
of all others, and gives the cache here and takes it back.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from transformers import DynamicCache

from qwenvl_kit.backends.local.cache.kv_cache import CacheState
from qwenvl_kit.backends.local.cache.static_layers import (
    StaticLayer,
    StaticStorage,
    bucket_bytes,
)
from qwenvl_kit.backends.local.devices import read_free_bytes, upload
from qwenvl_kit.backends.local.engine.finite_values import LANGUAGE_MODEL, not_numbers
from qwenvl_kit.backends.local.engine.model_runner import ModelRunner
from qwenvl_kit.backends.local.engine.request import EngineRequest
from qwenvl_kit.backends.local.engine.sequence import Sequence as Answer
from qwenvl_kit.backends.local.engine.shortlist import add_token
from qwenvl_kit.backends.local.engine.step_graph import DelayedRead, StepGraph
from qwenvl_kit.backends.local.engine.top_logits import TopLogits
from qwenvl_kit.backends.local.error_mapping import is_out_of_memory

_MOST_ROWS = 64
_LEAST_LENGTH = 512

_COUNTS = (1, 48, 272)
"""Numbers of largest logits that a step may give: for greedy rows, for published settings (a top-k
of 20 and some spare), and for the largest top-k that is narrowed on the host."""

_ROOM = 64
"""Positions that a bucket has for new tokens when it is entered, if so many may come."""

_MEMORY_SHARE = 0.5
"""Share of the free memory that buffers may take."""

_ALIKE = 0.05
"""Logits of a captured step may differ by so much, and this share, from those of the same step
before its capture; in bf16 their last digits may."""


class _Bucket:
    """The tensors of one number of rows and positions; a graph knows them by their addresses.

    Args:
        layers: the layers of its KV cache.
        rows: the number of rows.
        length: the number of positions.
        place: the position that the next token is written to, (1,).
    """

    def __init__(
        self, layers: Sequence[StaticLayer], rows: int, length: int, place: torch.Tensor
    ) -> None:
        device = place.device
        self.layers, self.rows, self.length, self.place = layers, rows, length, place
        self.ids = torch.zeros((rows, 1), dtype=torch.long, device=device)
        self.positions = torch.zeros((4, rows, 1), dtype=torch.long, device=device)
        self.mask = torch.zeros((rows, 1, 1, length), dtype=torch.bool, device=device)
        self.found = {count: torch.zeros((rows, 1 + 2 * count), device=device) for count in _COUNTS}
        self.reads: dict[int, DelayedRead] = {}
        self.graphs: dict[int, StepGraph] = {}
        self.tops: dict[int, TopLogits] = {}
        self.cache = DynamicCache()
        self.cache.layers = [*layers]

    def fill(
        self, state: CacheState, mask: torch.Tensor, requests: Sequence[EngineRequest]
    ) -> None:
        """Take the sequences of a batch, each with its last token still to be computed."""
        for layer, kept in zip(self.layers, state.layers):
            layer.fill(kept)
        device, num_rows = self.ids.device, len(requests)
        text, visual = zip(*(request.last_position() for request in requests))
        ids = [request.sequence.last_id for request in requests]
        inputs = upload(torch.tensor([ids, text, visual]), device)
        self.ids[:num_rows, 0] = inputs[0]
        self.positions[0, :num_rows, 0] = inputs[1]
        self.positions[1:, :num_rows, 0] = inputs[2]
        self.mask.zero_()
        self.mask[:num_rows, 0, 0, : state.length] = upload(mask, device)
        self.place.fill_(state.length)

    @property
    def inputs(self) -> tuple[torch.Tensor, ...]:
        """The tensors that a step changes for the next one, besides its keys and values."""
        return (self.ids, self.positions, self.mask, self.place)


class StaticDecoder:
    """Decodes batches with fixed shapes.

    Args:
        model: the model of transformers, all of whose layers have full attention.
        runner: runs its forward passes.

    Attributes:
        has_graphs: True if steps are captured as graphs.
        reason: the reason why it is not used any more, in words; empty while it is.
    """

    def __init__(self, model: Any, runner: ModelRunner) -> None:
        self._model, self._runner = model, runner
        self._device: torch.device = model.device
        self.has_graphs = self._device.type == "cuda"
        self._storage = StaticStorage()
        self._buckets: dict[tuple[int, int], _Bucket] = {}
        self._pool: Any = None
        self._is_stale = False
        self.reason = ""
        self._bucket: _Bucket | None = None
        self._num_rows = self._length = 0
        self._count = _COUNTS[0]
        self._is_launched = self._has_next_ids = False

    @property
    def is_active(self) -> bool:
        """True if the sequences of the batch lie in a bucket."""
        return self._bucket is not None

    @property
    def is_full(self) -> bool:
        """True if the bucket has no position left for the next token."""
        return self._bucket is not None and self._length >= self._bucket.length

    @property
    def num_bytes(self) -> int:
        """The size of the buffers in bytes, which are kept between requests."""
        return self._storage.num_bytes

    def takes(self, requests: Sequence[EngineRequest]) -> bool:
        """True if the next tokens of all requests that have not ended follow from raw logits."""
        return (
            not self.reason
            and len(requests) <= _MOST_ROWS
            and all(
                request.lookup is None and _is_plain(request.sequence)
                for request in requests
                if request.sequence.finish_reason is None
            )
        )

    def enter(
        self, state: CacheState, mask: torch.Tensor, requests: Sequence[EngineRequest]
    ) -> bool:
        """Take over the sequences of a batch; False if there is no room, or no graph can be made.

        Args:
            state: their cache, without a shared prefix.
            mask: True for positions that are not padding, bool (batch, length), on the processor.
            requests: the requests, in the order of their rows.
        """
        if self._is_stale:
            self.release()
        live = [each.sequence for each in requests if each.sequence.finish_reason is None]
        left = max((each.max_new_tokens - len(each.token_ids) for each in live), default=1)
        rows = _power_of_two(len(requests), 1)
        length = _power_of_two(state.length + max(1, min(left, _ROOM)), _LEAST_LENGTH)
        try:
            bucket = self._open(state, rows, length)
            if bucket is None:
                return False
            bucket.fill(state, mask, requests)
            wanted = max((each.num_wanted for each in live), default=1)
            self._count = next(count for count in _COUNTS if count >= wanted)
            self._prepare(bucket)
        except Exception as error:
            self.release()
            if not is_out_of_memory(error):  # a capture may fail in any way; the batch is whole
                self._stop(f"a decode step could not be captured ({error})")
            return False
        self._bucket, self._num_rows, self._length = bucket, len(requests), state.length
        return not self.reason

    def advance(self, requests: Sequence[EngineRequest]) -> None:
        """Add the next token to each sequence that has not ended.

        A sequence for which no token can be chosen ends by an error of its own.
        """
        bucket = self._entered()
        answers = [request.sequence for request in requests]
        if not self._is_launched:
            self._launch(bucket, answers)
        if self._count not in bucket.reads:
            bucket.reads[self._count] = DelayedRead(
                (bucket.rows, 1 + 2 * self._count), self._device
            )
        reading = bucket.reads[self._count]
        reading.begin(bucket.found[self._count])
        self._length += 1
        self._is_launched = False
        if self._length < bucket.length and _go_on_alone(answers):
            self._launch(bucket, answers)
        self._choose(bucket, answers, reading.wait())

    def leave(self) -> CacheState:
        """Give the sequences back; a step that was launched ahead is thrown away."""
        bucket = self._entered()
        layers = tuple(layer.read(self._num_rows, self._length) for layer in bucket.layers)
        length = self._length
        self.clear()
        return CacheState(layers, length)

    def _entered(self) -> _Bucket:
        """The bucket in which the sequences lie."""
        if self._bucket is None:
            raise RuntimeError("no sequences lie in a bucket")
        return self._bucket

    def clear(self) -> None:
        """Forget the sequences; buffers and graphs stay for the next ones."""
        self._bucket, self._is_launched, self._has_next_ids = None, False, False

    def note_change(self) -> None:
        """Have buffers and graphs released before the next use, as the model has changed."""
        self._is_stale = True

    def release(self) -> int:
        """Release buffers and graphs, later if one is in use; return the bytes of the buffers."""
        if self.is_active:
            self._is_stale = True
            return 0
        freed = self.num_bytes
        for bucket in self._buckets.values():
            for graph in bucket.graphs.values():
                graph.release()
        self._buckets, self._pool, self._is_stale = {}, None, False
        self._storage.clear()
        return freed

    def _open(self, state: CacheState, rows: int, length: int) -> _Bucket | None:
        """The bucket of a size, new if need be; None if there is no memory for it."""
        if not self._storage.holds(state, rows, length):
            free = read_free_bytes(self._device) + self.release()
            if bucket_bytes(state, rows, length) > _MEMORY_SHARE * free:
                return None
            self._storage.allocate(state, rows, length)
        if (rows, length) not in self._buckets:
            place = torch.zeros(1, dtype=torch.long, device=self._device)
            layers = self._storage.open(state, rows, length, place)
            self._buckets[rows, length] = _Bucket(layers, rows, length, place)
        return self._buckets[rows, length]

    def _prepare(self, bucket: _Bucket) -> None:
        """Capture the step of a bucket, on a CUDA device, unless it has been; and try it.

        Kernels of other libraries may not be what a graph can repeat, and would be wrong in
        silence.
        """
        if not self.has_graphs or self._count in bucket.graphs:
            return
        before = [tensor.clone() for tensor in bucket.inputs]
        graph = StepGraph(partial(self._run, bucket, self._count), self._device, self._pool)
        found = bucket.found[self._count]
        expected = found.clone()
        _restore(bucket, before)
        graph.replay()
        values = slice(0, 1 + self._count)  # of equal logits, the tokens may change places
        is_alike = torch.allclose(
            found[:, values], expected[:, values], _ALIKE, _ALIKE, equal_nan=True
        )
        _restore(bucket, before)
        if not is_alike:
            self._stop("a captured decode step did not give the logits of the same step before")
            return
        self._pool, bucket.graphs[self._count] = graph.pool, graph

    def _launch(self, bucket: _Bucket, answers: Sequence[Answer]) -> None:
        """Launch the next step, with the tokens that the host chose if it chose any."""
        if self._has_next_ids:
            ids = torch.tensor([[answer.last_id] for answer in answers])
            bucket.ids[: len(answers)] = upload(ids, self._device)
            self._has_next_ids = False
        graph = bucket.graphs.get(self._count)
        if graph is None:
            self._run(bucket, self._count)
        else:
            graph.replay()
        self._is_launched = True

    def _run(self, bucket: _Bucket, count: int) -> None:
        """One step: logits of the next tokens, and the inputs of the step after it."""
        bucket.mask.index_fill_(3, bucket.place, value=True)
        logits = self._runner.step_in_place(bucket.cache, bucket.mask, bucket.ids, bucket.positions)
        top = TopLogits(logits)
        if count > _COUNTS[0]:  # greedy rows ask for nothing else, so a graph need not keep it
            bucket.tops[count] = top
        values, ids = top.top(count)
        normalizers = top.log_normalizers()[:, None]
        bucket.found[count][:, : 1 + 2 * values.shape[1]] = torch.cat(
            [normalizers, values, ids.float()], dim=1
        )
        bucket.ids.copy_(ids[:, :1])
        bucket.positions.add_(1)
        bucket.place.add_(1)

    def _choose(
        self, bucket: _Bucket, answers: Sequence[Answer], found: Sequence[Sequence[float]]
    ) -> None:
        """Choose the next token of each answer, and have the device take those that were drawn."""
        top = bucket.tops.get(self._count)
        count = self._count if top is None else min(self._count, top.logits.shape[1])
        for row, answer in enumerate(answers):
            normalizer, *rest = found[row]
            values, ids = rest[:count], [int(token) for token in rest[count : 2 * count]]
            if answer.finish_reason is not None:
                continue
            if not math.isfinite(values[0]):
                answer.fail(not_numbers(LANGUAGE_MODEL, self._model.dtype))
                continue
            with answer.failing_alone():
                token, logit = ids[0], values[0]
                if top is not None:
                    token = answer.sampler.choose(values, ids, top, row)
                    is_listed = token in ids
                    logit = values[ids.index(token)] if is_listed else float(top.logits[row, token])
                add_token(answer, token, logit, normalizer, zip(ids, values))
            self._has_next_ids |= not answer.is_greedy

    def _stop(self, reason: str) -> None:
        """Use no graphs any more, and say why."""
        self.reason = reason
        warnings.warn(f"{reason}; decoding goes on without CUDA graphs", RuntimeWarning, 2)


def _is_plain(answer: Answer) -> bool:
    """True if the next token is chosen among a few of the largest raw logits."""
    return (
        answer.takes_raw_logits
        and not answer.draws_from_all
        and not answer.removes_invalid_values
        and answer.num_wanted <= _COUNTS[-1]
    )


def _go_on_alone(answers: Sequence[Answer]) -> bool:
    """True if the device knows the next tokens, and an answer may go on after this step."""
    live = [answer for answer in answers if answer.finish_reason is None]
    return all(answer.is_greedy for answer in live) and any(
        len(answer.token_ids) + 1 < answer.max_new_tokens for answer in live
    )


def _restore(bucket: _Bucket, before: Sequence[torch.Tensor]) -> None:
    for tensor, value in zip(bucket.inputs, before):
        tensor.copy_(value)


def _power_of_two(number: int, least: int) -> int:
    """The smallest power of two that is not below two numbers, the second of them one itself."""
    return max(least, 1 << (number - 1).bit_length())
