"""The KV cache of a model: reading its state, opening a cache from a state, and changing states.

Positions in a cache stay as they were when others follow, so that the tensors of an earlier moment
can be kept without a copy. States of linear attention (Qwen3.5) are overwritten by the model, so
they are copied here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
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
from qwenvl_kit.backends.local.devices import upload
from qwenvl_kit.errors import CheckpointError


@dataclass(frozen=True)
class LayerState:
    """The state of one layer of a cache, for one sequence or several.

    Attributes:
        keys, values: (batch, heads, length, head size); None for a layer without any.
        shared: the keys and values of a prefix that all rows have, of a single row; None if there
            is no such prefix, or if `keys` and `values` hold it for each row.
        convolutions, recurrences: the states of linear attention by their number, (batch, ...).
        kernel_sizes: the number of positions that each convolution sees.
        indices: the keys by which an indexer chooses positions (Qwen4-Exp), (batch, length, size).
        index_positions: the positions of `indices`, (dimensions, batch, length).
        buffers: longer tensors that begin with `keys` and `values`, for the cache that is opened
            from this state.
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
        """The length of the shared prefix."""
        return 0 if self.shared is None else self.shared[0].shape[2]

    @property
    def num_rows(self) -> int:
        """The number of sequences; 0 for a layer that holds nothing."""
        tensors = [self.keys, *self.recurrences.values()]
        return max((len(tensor) for tensor in tensors if tensor is not None), default=0)

    @property
    def num_bytes(self) -> int:
        """The size of its tensors in bytes."""
        parts = [*self.convolutions.values(), *self.recurrences.values(), *(self.shared or ())]
        growing = (self.keys, self.values, self.indices, self.index_positions)
        parts += [part for part in growing if part is not None]
        return sum(part.numel() * part.element_size() for part in parts)


@dataclass(frozen=True)
class CacheState:
    """The state of a model's cache at one moment.

    Attributes:
        layers: the states of its layers.
        length: the number of positions, padding and a shared prefix included.
    """

    layers: tuple[LayerState, ...]
    length: int

    @property
    def num_bytes(self) -> int:
        """The size of its tensors in bytes."""
        return sum(layer.num_bytes for layer in self.layers)

    @property
    def num_rows(self) -> int:
        """The number of sequences."""
        return max(layer.num_rows for layer in self.layers)

    @property
    def num_shared(self) -> int:
        """The length of the prefix that all rows have and that is held once."""
        return max(layer.num_shared for layer in self.layers)

    @property
    def may_share(self) -> bool:
        """True if a prefix of its rows can be held once."""
        return all(layer.indices is None for layer in self.layers)

    @property
    def is_croppable(self) -> bool:
        """True if the state of a shorter sequence is a part of it."""
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
    """Check that this module knows the kind of each cache layer of a model.

    Raises:
        CheckpointError: it does not know one; the message names it.
    """
    for layer in DynamicCache(config=model.config).layers:
        if type(layer) not in _KINDS:
            raise CheckpointError(
                f"a layer of the language model has an unknown cache: {type(layer).__name__}",
                expected="full or linear attention, as all published Qwen-VL models have",
            )


def is_croppable(model: Any) -> bool:
    """True if the cache of a longer prompt serves a shorter one, as for full attention."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


def read_state(cache: Any) -> CacheState:
    """Read the state of an open cache; later steps of the model do not change what is returned."""
    return CacheState(tuple(map(_read_layer, cache.layers)), cache.get_seq_length())


def open_cache(model: Any, state: CacheState | None = None) -> Any:
    """Open a cache with which a model can go on, empty or from a state."""
    cache = DynamicCache(config=model.config)
    cache.layers = [
        GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    if state is not None:
        for layer, kept in zip(cache.layers, state.layers):
            _fill_layer(layer, kept)
    return cache


def reserve(cache: Any, length: int) -> None:
    """Make room in an open cache for this many positions, so that it is copied once at most."""
    for layer in cache.layers:
        if isinstance(layer, GrowingLayer):
            layer.reserve(length)


def cut_cache(cache: Any, length: int) -> None:
    """Cut an open cache down to its first positions; no state may hold the others."""
    for layer in cache.layers:
        layer.crop(length - layer.get_seq_length())


class TrackedPrefix:
    """The keys and values of a shared prefix by the number of a layer, which notes its use.

    It is no mapping: for a model on several devices accelerate copies the tensors of all mappings
    to the device of each layer.

    Args:
        layers: the keys and values of each layer that has them.

    Attributes:
        is_read: True if attention has asked for them. transformers passes them from function to
            function among `**kwargs`, and each of these functions could lose them.
    """

    def __init__(self, layers: Mapping[int, KeysAndValues]) -> None:
        self._layers = layers
        self.is_read = False

    def __len__(self) -> int:
        return len(self._layers)

    @property
    def length(self) -> int:
        """The number of positions."""
        return max((keys.shape[2] for keys, _ in self._layers.values()), default=0)

    def get(self, layer: int) -> KeysAndValues | None:
        """The keys and values of a layer; None if it has none."""
        self.is_read = True
        return self._layers.get(layer)


def read_shared_prefix(cache: Any) -> TrackedPrefix:
    """The shared prefix of an open cache, for attention; empty if there is none."""
    layers = enumerate(cache.layers)
    return TrackedPrefix(
        {at: layer.shared for at, layer in layers if getattr(layer, "shared", None) is not None}
    )


def share_prefix(state: CacheState, length: int) -> CacheState:
    """The same sequences with their first positions held once for all.

    Args:
        state: sequences that are equal in these positions and have no padding there. If they
            share a prefix already, it must be at least this long. No layer may have indices.
        length: the number of positions to hold once; 0 holds all of them for each sequence.
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
    """The first sequence, copied if there are others: a view would keep the memory of all."""
    return tensor if len(tensor) == 1 else tensor[:1].clone()


def join_states(states: Sequence[CacheState]) -> CacheState:
    """Join the sequences of several states into one batch, the shorter ones padded on the left.

    Their shared prefixes must be the same; the padding then follows the prefix. The result may be
    opened only once, as it has buffers to grow into.
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
    """Select some sequences of a batch.

    Args:
        state: the state of the batch.
        rows: the rows to keep.
        num_skipped: the number of positions after the shared prefix that are padding for all of
            these rows, and are left out.
    """

    @functools.cache
    def index_on(device: torch.device) -> torch.Tensor:
        return upload(torch.tensor(rows, dtype=torch.long), device)

    def of(tensor: torch.Tensor, batch_axis: int = 0) -> torch.Tensor:
        return tensor.index_select(batch_axis, index_on(tensor.device))

    def after(tensor: torch.Tensor, axis: int) -> torch.Tensor:
        rest = tensor.narrow(axis, num_skipped, tensor.shape[axis] - num_skipped)
        return of(rest, _batch_axis(rest, axis))

    return CacheState(_changed(state, after, of), state.length - num_skipped)


def repeat_row(state: CacheState, num_rows: int) -> CacheState:
    """Repeat the only sequence of a state; tensors that are not written over are not copied."""

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
    """The layers of a state with each tensor changed.

    Args:
        state: the state.
        growing: changes a tensor with positions; it is given the tensor and the axis of positions.
        whole: changes a state of linear attention, which has no positions.
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
    """A layer with each tensor that has positions changed, except the shared prefix.

    Args:
        layer: the layer.
        change: changes a tensor; it is given the tensor and the axis of positions.
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
    """Keys or values joined along the batch, padded on the left, with room to grow."""
    given = [tensor for tensor in tensors if tensor is not None]
    if not given:
        return None
    _, heads, _, size = given[0].shape
    room = given[0].new_empty((sum(map(len, given)), heads, buffer_size(length), size))
    row = 0
    for tensor in given:
        num_skipped, rows = length - tensor.shape[2], slice(row, row + len(tensor))
        room[rows, :, :num_skipped] = 0  # masked, but NaN would spread through the mask
        room[rows, :, num_skipped:length] = tensor
        row += len(tensor)
    return room


def _joined(tensors: Sequence[torch.Tensor | None], length: int, axis: int) -> torch.Tensor | None:
    """Tensors joined along the batch, padded at the beginning of an axis."""
    given = [tensor for tensor in tensors if tensor is not None]
    if not given:
        return None
    after = (0, 0) * (given[0].ndim - 1 - axis)
    padded = [pad(tensor, (*after, length - tensor.shape[axis], 0)) for tensor in given]
    return torch.cat(padded, dim=_batch_axis(given[0], axis))


def _batch_axis(tensor: torch.Tensor, axis: int) -> int:
    """The batch axis of a tensor whose axis of positions is `axis`."""
    return 1 if tensor.ndim == 3 and axis == 2 else 0
