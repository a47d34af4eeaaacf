"""The growing layer: a layer of the KV cache that reserves room for the tokens to come."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from transformers.cache_utils import DynamicLayer

_MIN_SPARE = 32
_SPARE_SHARE = 16
"""Room is reserved for this many positions, or for one in this many of those there are. Adding a
token then copies at most `_SPARE_SHARE` positions on average; concatenation copies all of them."""


KeysAndValues: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Keys and values, (batch, heads, length, head size) each."""


def buffer_size(length: int) -> int:
    """The length of a buffer for this many positions and some more."""
    return length + max(_MIN_SPARE, length // _SPARE_SHARE)


class GrowingLayer(DynamicLayer):
    """A layer of full attention that copies nothing for most tokens.

    transformers' own layer copies all keys and values with every token. Here positions that were
    written stay as they are, so that a view of them may be kept; only positions that `crop` cut
    off are written over.

    Attributes:
        shared: the keys and values of a prefix that all rows have, held once; None if there is
            no such prefix.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shared: KeysAndValues | None = None
        self._buffers: KeysAndValues | None = None
        self._reserved = 0

    @property
    def num_shared(self) -> int:
        """The length of the prefix that `shared` holds for all rows."""
        return 0 if self.shared is None else self.shared[0].shape[-2]

    def fill(
        self,
        keys: torch.Tensor,
        values: torch.Tensor,
        buffers: KeysAndValues | None = None,
        shared: KeysAndValues | None = None,
    ) -> None:
        """Take positions that were computed before.

        Args:
            keys: (batch, heads, length, head size), without the shared prefix.
            values: likewise.
            buffers: tensors that begin with `keys` and `values` and have room for more, if no
                other cache uses them.
            shared: the prefix of all rows, (1, heads, shared length, head size).
        """
        self.lazy_initialization(keys, values)
        self.keys, self.values, self._buffers, self.shared = keys, values, buffers, shared

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the positions of new tokens.

        Returns:
            All keys and values, (batch, heads, length, head size), without the shared prefix. The
            model's attention is given that prefix separately.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = super().get_seq_length()
        if start == 0:
            self.keys, self.values = key_states.contiguous(), value_states.contiguous()
            if not self._reserved:
                return self.keys, self.values
        stop = start + key_states.shape[-2]
        keys, values = self._buffers_for(start, stop)
        keys[..., start:stop, :] = key_states
        values[..., start:stop, :] = value_states
        self.keys, self.values = keys[..., :stop, :], values[..., :stop, :]
        return self.keys, self.values

    def reserve(self, length: int) -> None:
        """Make room for this many positions at the next update, the shared prefix included."""
        self._reserved = length - self.num_shared

    def get_seq_length(self) -> int:
        """The number of positions, the shared prefix included."""
        return self.num_shared + super().get_seq_length()

    def _buffers_for(self, start: int, stop: int) -> KeysAndValues:
        """Buffers that hold the first positions and have room up to `stop`."""
        buffers = self._buffers
        if buffers is None or buffers[0].shape[-2] < stop or not _begins(buffers[0], self.keys):
            size = buffer_size(max(stop, self._reserved))
            buffers = (_enlarged(self.keys, start, size), _enlarged(self.values, start, size))
            self._buffers = buffers
        return buffers


def _begins(room: torch.Tensor, tensor: Any) -> bool:
    """True if a tensor is the beginning of a buffer, and was not replaced by another tensor."""
    return bool(tensor.data_ptr() == room.data_ptr() and len(tensor) == len(room))


def _enlarged(tensor: Any, length: int, size: int) -> torch.Tensor:
    room: torch.Tensor = tensor.new_empty((*tensor.shape[:-2], size, tensor.shape[-1]))
    room[..., :length, :] = tensor[..., :length, :]
    return room
