"""The keys and values that OpenVINO keeps for a language model: reading and writing them.

An exported language model is stateful: each of its `InferRequest`s keeps the keys and values of
what it was given, and `beam_idx` chooses the rows with which it goes on. The engine goes on with
other rows when requests come and go. So a state can be read out of one infer request, as a
`CacheState` of the engine, and written into another.
"""

from __future__ import annotations

import re
import weakref
from collections import deque
from typing import Any

import numpy as np
import torch

from qwenvl_kit.backends.local.cache.kv_cache import CacheState, LayerState, each_growing
from qwenvl_kit.errors import WeightsError

_VARIABLE = re.compile(r"past_key_values\.(\d+)\.(key|value)")
"""The beginning of a variable's name, as optimum-intel gives it."""


class StatePool:
    """The infer requests of a language model; those that nobody uses any more are used again.

    Args:
        language: the compiled language model.
        dtype: the type in which states are held between passes: that of the model, in which they
            are held within OpenVINO, too.

    Raises:
        WeightsError: its variables are not keys and values by layers.
    """

    def __init__(self, language: Any, dtype: torch.dtype) -> None:
        self._language = language
        self._dtype = dtype
        first = language.create_infer_request()
        self.num_layers = _count_layers([each.name for each in first.query_state()])
        self._free = deque([first])

    def open(self, state: CacheState | None = None) -> OpenState:
        """Open a state with which the model can go on, empty or from one that was read."""
        return OpenState(self, state, self._dtype)

    def take(self) -> Any:
        """Take an infer request whose state is empty."""
        try:
            return self._free.pop()
        except IndexError:
            return self._language.create_infer_request()

    def give_back(self, request: Any) -> None:
        """Give an infer request back; its state is dropped."""
        request.reset_state()
        self._free.append(request)


class OpenState:
    """The keys and values of some sequences, with which the language model goes on.

    They are written into an infer request before the first pass, and stay there.

    Args:
        pool: gives infer requests.
        state: the state with which it begins; None for an empty one.
        dtype: the type in which states are held between passes.
    """

    def __init__(self, pool: StatePool, state: CacheState | None, dtype: torch.dtype) -> None:
        self._pool = pool
        self._dtype = dtype
        self._begin = state
        self._request: Any = None
        self._length = 0 if state is None else state.length

    def get_seq_length(self) -> int:
        """The number of positions, padding included."""
        return self._length

    def infer(self, given: dict[str, Any], num_tokens: int) -> np.ndarray[Any, Any]:
        """Run the language model on new tokens, and return their logits.

        Args:
            given: its inputs.
            num_tokens: the number of new tokens of each row.

        Returns:
            fp32 (rows, places that are kept, vocabulary), copied.
        """
        if self._request is None:
            self._request = self._pool.take()
            weakref.finalize(self, self._pool.give_back, self._request).atexit = False
        if self._begin is not None:
            self._write(self._begin)
            self._begin = None
        logits: np.ndarray[Any, Any] = self._request.infer(given)["logits"].copy()
        self._length += num_tokens
        return logits

    def read(self) -> CacheState:
        """Read the state; later passes do not change what is returned."""
        if self._begin is not None:
            return self._begin
        layers: list[dict[str, torch.Tensor]] = [{} for _ in range(self._pool.num_layers)]
        if self._request is not None:
            for variable in self._request.query_state():
                number, kind = _place(variable.name)
                read = torch.from_numpy(variable.state.data.copy())
                layers[number][kind] = read.to(self._dtype)
        states = (LayerState(each.get("key"), each.get("value"), {}, {}, {}) for each in layers)
        return CacheState(tuple(states), self._length)

    def cut(self, length: int) -> None:
        """Keep the first positions: they are read, and written again before the next pass."""
        if length == self._length:
            return
        state = self.read()
        layers = (
            each_growing(layer, lambda tensor, axis: tensor.narrow(axis, 0, length))
            for layer in state.layers
        )
        self._begin, self._length = CacheState(tuple(layers), length), length
        if self._request is not None:
            self._request.reset_state()

    def _write(self, state: CacheState) -> None:
        import openvino

        for variable in self._request.query_state():
            number, kind = _place(variable.name)
            layer = state.layers[number]
            tensor = layer.keys if kind == "key" else layer.values
            if tensor is not None:
                values = tensor.to(torch.float32).contiguous().numpy()
                variable.state = openvino.Tensor(values)


def _place(name: str) -> tuple[int, str]:
    found = _VARIABLE.match(name)
    if found is None:
        raise WeightsError(
            f"the language model keeps {name!r}",
            expected="keys and values of each layer, as past_key_values.0.key",
            hint="export again with optimum-intel 2.2",
        )
    return int(found[1]), found[2]


def _count_layers(names: list[str]) -> int:
    places = {_place(name) for name in names}
    count = len(names) // 2
    if places != {(number, kind) for number in range(count) for kind in ("key", "value")}:
        raise WeightsError(
            f"the language model keeps {len(names)} tensors, which are not the keys and values of "
            "whole layers",
            hint="export again with optimum-intel 2.2",
        )
    return count
