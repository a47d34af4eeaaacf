"""A stand-in for a CUDA graph: it records operations, and repeats them on the same tensors.

As in a graph, no Python runs again: what a step takes from the host, as a number or a new tensor,
stays what it was when the step was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class RecordedGraph:
    """What a function did to tensors, which can be repeated; made as a `StepGraph` is."""

    def __init__(self, run: Callable[[], object], _device: torch.device, pool: Any = None) -> None:
        self.pool = pool
        run()
        before = [each.clone() for each in _inputs_of(run)]
        with _Recording() as recording:
            run()
        for tensor, value in zip(_inputs_of(run), before):  # a capture does not run
            tensor.copy_(value)
        self._calls = recording.calls

    def replay(self) -> None:
        """Repeat each operation, and put its results where they were."""
        for operation, args, kwargs, results in self._calls:
            for new, old in zip(_tensors(operation(*args, **kwargs)), results):
                if old is not None:
                    old.copy_(new)

    def release(self) -> None:
        """Forget what was recorded."""
        self._calls = []


def _inputs_of(run: Any) -> tuple[torch.Tensor, ...]:
    """The tensors that a step changes, without keys and values."""
    bucket, count = run.args
    return (*bucket.inputs, bucket.found[count])


class _Recording(TorchDispatchMode):
    """Records the operations of a thread, with the results that are no views of their inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, list[torch.Tensor | None]]] = []

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        results = operation(*args, **(kwargs or {}))
        places = {each.untyped_storage().data_ptr() for each in _tensors((args, kwargs))}
        new = [
            None if each.untyped_storage().data_ptr() in places else each
            for each in _tensors(results)
        ]
        self.calls.append((operation, args, kwargs or {}, new))
        return results


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors([*value.values()])
