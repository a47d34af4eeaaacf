"""Static layers: layers of the KV cache whose tensors never change their address or shape.

A CUDA graph repeats operations on the tensors of its capture, so keys and values are written into
buffers of a fixed length, at a place that the device itself knows. The buffers of all buckets
(numbers of rows and positions) lie in one storage, as only one bucket is in use at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer

from qwenvl_kit.backends.local.cache.kv_cache import CacheState, LayerState
from qwenvl_kit.backends.local.cache.layers import KeysAndValues


class StaticLayer(DynamicLayer):
    """A layer of full attention with a fixed number of rows and positions.

    Args:
        keys: the buffer of keys, (rows, heads, length, head size).
        values: the buffer of values, likewise.
        place: the position that the next token is written to, (1,), on the device of the buffers.

    Attributes:
        num_known: the number of positions that are known, for the host.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, place: torch.Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = self._buffers = (keys, values)
        self.num_known = 0
        self._place = place

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the position of one new token.

        Returns:
            The whole buffers, (rows, heads, length, head size); a mask hides what is not known.
        """
        for buffer, states in zip(self._buffers, (key_states, value_states)):
            buffer.index_copy_(2, self._place, states)
        return self._buffers

    def get_seq_length(self) -> int:
        """The number of positions that are known."""
        return self.num_known

    def fill(self, state: LayerState) -> None:
        """Take known positions for the first rows, and zeros for all others.

        What is hidden is zero, because NaN of earlier requests would spread through the mask.
        """
        known = _known(state)
        for buffer, kept in zip(self._buffers, known):
            buffer.zero_()
            buffer[: len(kept), :, : kept.shape[2]] = kept
        self.num_known = known[0].shape[2]

    def read(self, num_rows: int, length: int) -> LayerState:
        """The first rows and positions, copied: the buffers are written over."""
        keys, values = (part[:num_rows, :, :length].clone() for part in self._buffers)
        return LayerState(keys, values, {}, {}, {})


class StaticStorage:
    """The memory in which the buffers of one bucket after the other lie, layer by layer."""

    def __init__(self) -> None:
        self._layers: list[KeysAndValues] = []

    @property
    def num_bytes(self) -> int:
        """The size of the storage in bytes."""
        return sum(part.numel() * part.element_size() for pair in self._layers for part in pair)

    def holds(self, state: CacheState, rows: int, length: int) -> bool:
        """True if buffers for a state fit without new memory."""
        needed = _shapes(state, rows, length)
        return len(self._layers) == len(needed) and all(
            math.prod(shape) <= part.numel()
            for pair, shapes in zip(self._layers, needed)
            for part, shape in zip(pair, shapes)
        )

    def allocate(self, state: CacheState, rows: int, length: int) -> None:
        """Give back what there is, and take memory for the buffers of a bucket."""
        self.clear()
        for layer, (keys, values) in zip(state.layers, _shapes(state, rows, length)):
            like = _known(layer)
            self._layers.append(
                (like[0].new_empty(math.prod(keys)), like[1].new_empty(math.prod(values)))
            )

    def clear(self) -> None:
        """Give the memory back."""
        self._layers = []

    def open(
        self, state: CacheState, rows: int, length: int, place: torch.Tensor
    ) -> list[StaticLayer]:
        """The layers of a bucket, whose buffers begin where the storage begins.

        Args:
            state: a state of the model, for the shapes of its layers.
            rows: the number of rows.
            length: the number of positions.
            place: the position that the next token is written to, (1,).
        """
        made = []
        for pair, shapes in zip(self._layers, _shapes(state, rows, length)):
            keys, values = (
                part[: math.prod(shape)].view(shape) for part, shape in zip(pair, shapes)
            )
            made.append(StaticLayer(keys, values, place))
        return made


def bucket_bytes(state: CacheState, rows: int, length: int) -> int:
    """The size in bytes of the buffers that a bucket needs for a state."""
    sizes = [_known(layer)[0].element_size() for layer in state.layers]
    shapes = _shapes(state, rows, length)
    return sum(
        size * (math.prod(keys) + math.prod(values)) for size, (keys, values) in zip(sizes, shapes)
    )


def _shapes(state: CacheState, rows: int, length: int) -> list[tuple[Sequence[int], Sequence[int]]]:
    """The shapes of keys and values of each layer, (rows, heads, length, head size)."""
    found: list[tuple[Sequence[int], Sequence[int]]] = []
    for keys, values in map(_known, state.layers):
        of_keys, of_values = (
            (rows, part.shape[1], length, part.shape[3]) for part in (keys, values)
        )
        found.append((of_keys, of_values))
    return found


def _known(layer: LayerState) -> KeysAndValues:
    """The keys and values of a layer, which those of full attention have."""
    if layer.keys is None or layer.values is None:
        raise TypeError("a layer without keys and values has no place in static storage")
    return layer.keys, layer.values
