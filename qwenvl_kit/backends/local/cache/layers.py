"""A layer of a cache that grows into room it has set aside."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from transformers.cache_utils import DynamicLayer

_MIN_SPARE = 32
_SPARE_SHARE = 16
"""Room for so many more positions, or for that part of those there are: each token then copies at
most as many positions as this says, where concatenation copies all of them."""


Rooms: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Keys and values with room for more, (batch, heads, size, head size)."""


def roomy(length: int) -> int:
    """How many positions to make room for where there are so many."""
    return length + max(_MIN_SPARE, length // _SPARE_SHARE)


class GrowingLayer(DynamicLayer):
    """Keys and values of full attention, which transformers' own layer copies with every token.

    Positions that were written stay as they are, so that a view of them may be kept; only those
    that were cut off by `crop` are written over.

    Attributes:
        shared: keys and values that all rows begin with, held once; None if nothing is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shared: Rooms | None = None
        self._rooms: Rooms | None = None

    @property
    def num_shared(self) -> int:
        """How many positions all rows begin with, which `shared` holds once."""
        return 0 if self.shared is None else self.shared[0].shape[-2]

    def fill(
        self,
        keys: torch.Tensor,
        values: torch.Tensor,
        rooms: Rooms | None = None,
        shared: Rooms | None = None,
    ) -> None:
        """Take over positions that were computed elsewhere.

        Args:
            keys: (batch, heads, length, head size), without what is shared.
            values: likewise.
            rooms: what they are the beginning of, if that has room for more and belongs to nobody.
            shared: what all rows begin with, (1, heads, shared length, head size).
        """
        self.lazy_initialization(keys, values)
        self.keys, self.values, self._rooms, self.shared = keys, values, rooms, shared

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add positions.

        Returns:
            All keys and values there are now, (batch, heads, length, head size); without what is
            shared, which the model's attention is given apart.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = super().get_seq_length()
        if start == 0:
            self.keys, self.values = key_states.contiguous(), value_states.contiguous()
            return self.keys, self.values
        stop = start + key_states.shape[-2]
        keys, values = self._room_for(start, stop)
        keys[..., start:stop, :] = key_states
        values[..., start:stop, :] = value_states
        self.keys, self.values = keys[..., :stop, :], values[..., :stop, :]
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """How many positions there are."""
        return self.num_shared + super().get_seq_length()

    def _room_for(self, start: int, stop: int) -> Rooms:
        """Tensors that hold the first positions, with room for more."""
        rooms = self._rooms
        if rooms is None or rooms[0].shape[-2] < stop or not _begins(rooms[0], self.keys):
            size = roomy(stop)
            rooms = (_enlarged(self.keys, start, size), _enlarged(self.values, start, size))
            self._rooms = rooms
        return rooms


def _begins(room: torch.Tensor, tensor: Any) -> bool:
    """Whether a tensor lies there, and was not put in its place from elsewhere."""
    return bool(tensor.data_ptr() == room.data_ptr() and len(tensor) == len(room))


def _enlarged(tensor: Any, length: int, size: int) -> torch.Tensor:
    room: torch.Tensor = tensor.new_empty((*tensor.shape[:-2], size, tensor.shape[-1]))
    room[..., :length, :] = tensor
    return room
