"""Keys, values and states of a model's layers: kept, cut, joined and parted.

Positions that are in a cache stay as they were when others follow, so that the tensors of an
earlier moment can be kept without a copy. States of linear attention (Qwen3.5) are overwritten,
and copied here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import DynamicCache
from transformers.cache_utils import (
    DynamicIndexedLayer,
    DynamicLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionLayer,
)

from qwenvl_kit.backends.local.cache.layers import GrowingLayer, KeysAndValues, buffer_size
from qwenvl_kit.errors import CheckpointError


@dataclass(frozen=True)
class LayerState:
    """One layer's part of a cache, of one sequence or several.

    Attributes:
        keys, values: (batch, heads, length, head size); None where a layer has none.
        shared: those of positions that all rows begin with, of a single row; None if there are
            none, or `keys` and `values` hold them for each row.
        convolutions, recurrences: the states of linear attention by their number, (batch, ...).
        kernel_sizes: how many positions each convolution sees.
        indices: what an indexer chooses positions by (Qwen4-Exp), (batch, length, size).
        index_positions: where those stand, (dimensions, batch, length).
        buffers: what keys and values are the beginning of, for the one who opens the state.
    """

    keys: torch.Tensor | None
    values: torch.Tensor | None
    convolutions: dict[int, torch.Tensor]
    recurrences: dict[int, torch.Tensor]
    kernel_sizes: dict[int, int]
    indices: torch.Tensor | None = None
    index_positions: torch.Tensor | None = None
    buffers: KeysAndValues | None = None
    shared: KeysAndValues | None = None

    @property
    def num_shared(self) -> int:
        """How many positions `shared` has."""
        return 0 if self.shared is None else self.shared[0].shape[2]

    @property
    def num_rows(self) -> int:
        """How many sequences it is of; 0 where it holds nothing."""
        tensors = [self.keys, *self.recurrences.values()]
        return max((len(tensor) for tensor in tensors if tensor is not None), default=0)

    @property
    def num_bytes(self) -> int:
        """What its tensors take."""
        parts = [*self.convolutions.values(), *self.recurrences.values(), *(self.shared or ())]
        growing = (self.keys, self.values, self.indices, self.index_positions)
        parts += [part for part in growing if part is not None]
        return sum(part.numel() * part.element_size() for part in parts)


@dataclass(frozen=True)
class CacheState:
    """A model's cache at one moment.

    Attributes:
        layers: its layers.
        length: how many positions it holds, padding included.
    """

    layers: tuple[LayerState, ...]
    length: int

    @property
    def num_bytes(self) -> int:
        """What its tensors take."""
        return sum(layer.num_bytes for layer in self.layers)

    @property
    def num_rows(self) -> int:
        """How many sequences it is of."""
        return max(layer.num_rows for layer in self.layers)

    @property
    def num_shared(self) -> int:
        """How many positions all rows begin with, and are held once."""
        return max(layer.num_shared for layer in self.layers)

    @property
    def may_share(self) -> bool:
        """Whether the beginning of its rows can be held once."""
        return all(layer.indices is None for layer in self.layers)

    @property
    def is_croppable(self) -> bool:
        """Whether what was computed for a shorter sequence is part of it."""
        return not any(
            layer.recurrences or layer.convolutions or layer.indices is not None
            for layer in self.layers
        )


_KINDS = (
    DynamicLayer,
    DynamicIndexedLayer,
    LinearAttentionLayer,
    LinearAttentionAndFullAttentionLayer,
)


def check_layers(model: Any) -> None:
    """Refuse a model whose layers keep what this module does not know.

    Raises:
        CheckpointError: which.
    """
    for layer in DynamicCache(config=model.config).layers:
        if type(layer) not in _KINDS:
            raise CheckpointError(
                f"a layer of the language model keeps its past in a {type(layer).__name__}",
                expected="full or linear attention, as all published Qwen-VL models have",
            )


def is_croppable(model: Any) -> bool:
    """Whether what was computed for a longer prompt serves a shorter one."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def read_state(cache: Any) -> CacheState:
    """What a cache holds now; what the model does to it later changes nothing here."""
    return CacheState(tuple(map(_read_layer, cache.layers)), cache.get_seq_length())


def open_cache(model: Any, state: CacheState | None = None) -> Any:
    """A cache for a model to go on with."""
    cache = DynamicCache(config=model.config)
    cache.layers = [
        GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    if state is not None:
        for layer, kept in zip(cache.layers, state.layers):
            _fill_layer(layer, kept)
    return cache


def cut_cache(cache: Any, length: int) -> None:
    """Drop all but the first positions of an open cache, of which nobody has kept the others."""
    for layer in cache.layers:
        layer.crop(length - layer.get_seq_length())


class TrackedPrefix(dict[int, KeysAndValues]):
    """Keys and values that all rows of an open cache begin with, by the number of a layer.

    Attributes:
        is_read: whether attention has asked for them: transformers hands them from function to
            function as one of its `**kwargs`, of which each could lose them.
    """

    is_read = False

    def get(self, layer: int, default: Any = None) -> Any:
        """Those of a layer."""
        self.is_read = True
        return super().get(layer, default)


def read_shared_prefix(cache: Any) -> TrackedPrefix:
    """What all rows of an open cache begin with, for attention."""
    layers = enumerate(cache.layers)
    return TrackedPrefix(
        {at: layer.shared for at, layer in layers if getattr(layer, "shared", None) is not None}
    )


def share_prefix(state: CacheState, length: int) -> CacheState:
    """The same sequences with so many first positions held once; 0 holds all of them for each.

    Args:
        state: sequences that begin alike for so long, and without padding; at most as long as what
            they share already, if they do. None of its layers may have indices.
        length: how many positions.
    """
    return CacheState(tuple(_sharing(layer, length) for layer in state.layers), state.length)


def _sharing(layer: LayerState, length: int) -> LayerState:
    keys, values = layer.keys, layer.values
    if keys is None or values is None or length == layer.num_shared:
        return layer
    if layer.shared is not None:
        keys, values = (
            torch.cat([beginning[:, :, length:].expand(len(rest), -1, -1, -1), rest], dim=2)
            for beginning, rest in zip(layer.shared, (keys, values))
        )
        beginnings = tuple(tensor[:, :, :length] for tensor in layer.shared)
    else:
        beginnings = tuple(_first_row(tensor)[:, :, :length] for tensor in (keys, values))
        keys, values = keys[:, :, length:], values[:, :, length:]
    shared = (beginnings[0], beginnings[1]) if length else None
    return replace(layer, keys=keys, values=values, buffers=None, shared=shared)


def _first_row(tensor: torch.Tensor) -> torch.Tensor:
    """The first sequence alone; a view of several would hold on to the memory of all."""
    return tensor if len(tensor) == 1 else tensor[:1].clone()


def join_states(states: Sequence[CacheState]) -> CacheState:
    """Sequences of several caches as one batch; the shorter ones are padded on their left.

    What they share must be the same; the padding then follows it. What comes out is to be opened
    once, as it has room to grow.
    """
    length = max(state.length for state in states)
    layers = []
    for parts in zip(*(state.layers for state in states)):
        num_own = length - parts[0].num_shared
        keys = _joined_buffers([part.keys for part in parts], num_own)
        values = _joined_buffers([part.values for part in parts], num_own)
        layers.append(
            LayerState(
                _part(keys, num_own),
                _part(values, num_own),
                {k: torch.cat([p.convolutions[k] for p in parts]) for k in parts[0].convolutions},
                {k: torch.cat([p.recurrences[k] for p in parts]) for k in parts[0].recurrences},
                parts[0].kernel_sizes,
                _joined([part.indices for part in parts], length, axis=1),
                _joined([part.index_positions for part in parts], length, axis=2),
                None if keys is None or values is None else (keys, values),
                parts[0].shared,
            )
        )
    return CacheState(tuple(layers), length)


def select_rows(state: CacheState, rows: Sequence[int], num_skipped: int = 0) -> CacheState:
    """Some sequences of a batch, without the first positions, which are padding for all of them.

    Those are the first that are not shared.
    """

    def of(tensor: torch.Tensor, batch_axis: int = 0) -> torch.Tensor:
        index = torch.tensor(rows, dtype=torch.long, device=tensor.device)
        return tensor.index_select(batch_axis, index)

    def after(tensor: torch.Tensor, axis: int) -> torch.Tensor:
        rest = tensor.narrow(axis, num_skipped, tensor.shape[axis] - num_skipped)
        return of(rest, _batch_axis(rest, axis))

    return CacheState(_changed(state, after, of), state.length - num_skipped)


def repeat_row(state: CacheState, num_rows: int) -> CacheState:
    """The only sequence of a cache several times; what is not written over is not copied."""

    def view(tensor: torch.Tensor, axis: int) -> torch.Tensor:
        batch_axis = _batch_axis(tensor, axis)
        return tensor.expand(*(num_rows if at == batch_axis else -1 for at in range(tensor.ndim)))

    return CacheState(
        _changed(state, view, lambda tensor: torch.cat([tensor] * num_rows)), state.length
    )


def _changed(
    state: CacheState,
    growing: Callable[[torch.Tensor, int], torch.Tensor],
    whole: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[LayerState, ...]:
    """The layers with each tensor changed.

    Args:
        state: what they are of.
        growing: for those with positions, and which of their axes those are.
        whole: for the states of linear attention, which have none.
    """
    return tuple(
        replace(
            each_growing(layer, growing),
            convolutions={number: whole(tensor) for number, tensor in layer.convolutions.items()},
            recurrences={number: whole(tensor) for number, tensor in layer.recurrences.items()},
        )
        for layer in state.layers
    )


def each_growing(
    layer: LayerState, change: Callable[[torch.Tensor, int], torch.Tensor]
) -> LayerState:
    """A layer with those of its tensors changed that have positions, but for what is shared.

    Args:
        layer: the layer.
        change: is given each tensor, and which of its axes those are.
    """

    def changed(tensor: torch.Tensor | None, axis: int) -> torch.Tensor | None:
        return None if tensor is None else change(tensor, axis)

    return replace(
        layer,
        keys=changed(layer.keys, 2),
        values=changed(layer.values, 2),
        indices=changed(layer.indices, 1),
        index_positions=changed(layer.index_positions, 2),
        buffers=None,
    )


def _read_layer(layer: Any) -> LayerState:
    is_linear = isinstance(layer, LinearAttentionLayer)
    has_keys = isinstance(layer, DynamicLayer) and layer.is_initialized
    return LayerState(
        layer.keys if has_keys else None,
        layer.values if has_keys else None,
        _copied(layer.conv_states) if is_linear else {},
        _copied(layer.recurrent_states) if is_linear else {},
        dict(layer.conv_kernel_size) if is_linear else {},
        getattr(layer, "indexer_keys", None),
        getattr(layer, "indexer_position_ids", None),
        shared=getattr(layer, "shared", None),
    )


def _fill_layer(layer: Any, kept: LayerState) -> None:
    if kept.keys is not None and kept.values is not None:
        if isinstance(layer, GrowingLayer):
            layer.fill(kept.keys, kept.values, kept.buffers, kept.shared)
        else:
            layer.lazy_initialization(kept.keys, kept.values)
            layer.keys, layer.values = kept.keys, kept.values
    if kept.indices is not None:
        layer.lazy_initialization_indexer(kept.indices)
        layer.indexer_keys, layer.indexer_position_ids = kept.indices, kept.index_positions
    for number, state in kept.convolutions.items():
        layer.update_conv_state(state, state_idx=number, conv_kernel_size=kept.kernel_sizes[number])
    for number, state in kept.recurrences.items():
        layer.update_recurrent_state(state, state_idx=number)


def _copied(states: dict[int, torch.Tensor | None]) -> dict[int, torch.Tensor]:
    return {number: state.clone() for number, state in states.items() if state is not None}


def _part(tensor: torch.Tensor | None, length: int) -> torch.Tensor | None:
    return None if tensor is None else tensor[:, :, :length]


def _joined_buffers(tensors: Sequence[torch.Tensor | None], length: int) -> torch.Tensor | None:
    """Keys or values one after another in their batch, padded on the left, with room to grow."""
    given = [tensor for tensor in tensors if tensor is not None]
    if not given:
        return None
    _, heads, _, size = given[0].shape
    room = given[0].new_empty((sum(map(len, given)), heads, buffer_size(length), size))
    row = 0
    for tensor in given:
        num_skipped, rows = length - tensor.shape[2], slice(row, row + len(tensor))
        room[rows, :, :num_skipped] = 0  # nobody looks there, but what is no number would spread
        room[rows, :, num_skipped:length] = tensor
        row += len(tensor)
    return room


def _joined(tensors: Sequence[torch.Tensor | None], length: int, axis: int) -> torch.Tensor | None:
    """Tensors one after another in their batch, padded at the beginning of an axis."""
    given = [tensor for tensor in tensors if tensor is not None]
    if not given:
        return None
    after = (0, 0) * (given[0].ndim - 1 - axis)
    padded = [pad(tensor, (*after, length - tensor.shape[axis], 0)) for tensor in given]
    return torch.cat(padded, dim=_batch_axis(given[0], axis))


def _batch_axis(tensor: torch.Tensor, axis: int) -> int:
    """Which axis is the batch, `axis` being the one of positions."""
    return 1 if tensor.ndim == 3 and axis == 2 else 0
