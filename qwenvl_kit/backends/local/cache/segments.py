"""Segments of a KV cache: keys and values of some positions, cut out and joined again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from qwenvl_kit.backends.local.cache.kv_cache import CacheState, LayerState, each_growing
from qwenvl_kit.backends.local.cache.layers import buffer_size


@dataclass(frozen=True)
class Segment:
    """The keys and values of some positions of one sequence, and the indices of an indexer.

    Attributes:
        layers: their part of each layer, without states of linear attention.
        num_tokens: the number of positions.
    """

    layers: tuple[LayerState, ...]
    num_tokens: int

    @property
    def num_bytes(self) -> int:
        """The size of its tensors in bytes."""
        return sum(layer.num_bytes for layer in self.layers)

    @classmethod
    def of(cls, state: CacheState, start: int) -> Segment:
        """The positions of a cache from `start` on: a copy, or a view if `start` is 0."""
        whole = cls(tuple(_only_positions(layer) for layer in state.layers), state.length)
        return whole.part(start, state.length) if start else whole

    def part(self, start: int, stop: int) -> Segment:
        """Some of its positions, copied: a view would keep the memory of all."""

        def cut(tensor: torch.Tensor, axis: int) -> torch.Tensor:
            return tensor.narrow(axis, start, stop - start).clone()

        return Segment(tuple(each_growing(layer, cut) for layer in self.layers), stop - start)


@dataclass(frozen=True)
class EndState:
    """The states of linear attention after the last position of a sequence, if a model has any.

    Attributes:
        layers: the states of each layer.
    """

    layers: tuple[LayerState, ...]

    @property
    def num_bytes(self) -> int:
        """The size of its tensors in bytes."""
        return sum(layer.num_bytes for layer in self.layers)

    @classmethod
    def of(cls, state: CacheState) -> EndState:
        """The states of a cache."""
        states = (
            replace(layer, **_NO_POSITIONS)  # type: ignore[arg-type]
            for layer in state.layers
        )
        return cls(tuple(states))


_NO_POSITIONS = dict.fromkeys(
    ("keys", "values", "indices", "index_positions", "buffers", "shared"), None
)


def joined(segments: Sequence[Segment], length: int, end: EndState | None) -> CacheState:
    """Join segments that follow each other into the state of a cache.

    The result may be opened only once, as it has buffers to grow into.

    Args:
        segments: at least one segment.
        length: the number of positions to take; at most as many as the segments have.
        end: the states after the last of these positions, if the model has any.
    """
    spare = buffer_size(length) - length
    layers = []
    for at, parts in enumerate(zip(*(segment.layers for segment in segments))):
        keys, values = (
            _concatenated([getattr(part, name) for part in parts], 2, length, spare)
            for name in ("keys", "values")
        )
        layers.append(
            LayerState(
                None if keys is None else keys[:, :, :length],
                None if values is None else values[:, :, :length],
                {} if end is None else end.layers[at].convolutions,
                {} if end is None else end.layers[at].recurrences,
                {} if end is None else end.layers[at].kernel_sizes,
                _concatenated([part.indices for part in parts], 1, length),
                _concatenated([part.index_positions for part in parts], 2, length),
                None if keys is None or values is None else (keys, values),
            )
        )
    return CacheState(tuple(layers), length)


def _only_positions(layer: LayerState) -> LayerState:
    return replace(layer, convolutions={}, recurrences={}, kernel_sizes={}, buffers=None)


def _concatenated(
    tensors: Sequence[torch.Tensor | None], axis: int, length: int, spare: int = 0
) -> torch.Tensor | None:
    """The first positions of tensors that follow each other, with room for `spare` more."""
    given, left = list[torch.Tensor](), length
    for tensor in tensors:
        if tensor is not None and left:
            given.append(tensor.narrow(axis, 0, min(left, tensor.shape[axis])))
            left -= given[-1].shape[axis]
    if not given:
        return None
    if spare:
        sides = list(given[0].shape)
        sides[axis] = spare
        given.append(given[0].new_empty(sides))
    return torch.cat(given, dim=axis)
