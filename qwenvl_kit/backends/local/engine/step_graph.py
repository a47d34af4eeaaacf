"""The graph of a decode step: a CUDA graph that repeats one step without its launches.

`torch.cuda.graph` captures what a function does to tensors that stay where they are. Compilation
with mode "reduce-overhead" would do the same, and takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class StepGraph:
    """A function's work on a CUDA device, captured once and repeated.

    Args:
        run: the function. It runs once before it is captured, as libraries make room in their
            first call. It may wait for nothing, and copy nothing to or from the host.
        device: the device.
        pool: the memory pool that this graph shares with others; None for a pool of its own.

    Raises:
        RuntimeError: the function does what no graph can hold.
    """

    def __init__(self, run: Callable[[], object], device: torch.device, pool: Any = None) -> None:
        self._device, self._graph = device, torch.cuda.CUDAGraph()
        with torch.cuda.device(device):
            stream, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                run()
            current.wait_stream(stream)
            # Other threads may allocate meanwhile, as for another model on the same device.
            with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
                run()

    @property
    def pool(self) -> Any:
        """The memory pool of the graph, for further graphs."""
        return self._graph.pool()

    def release(self) -> None:
        """Give its memory back, once the device does not use it any more."""
        torch.cuda.synchronize(self._device)
        self._graph.reset()

    def replay(self) -> None:
        """Launch all that was captured, without waiting for it."""
        self._graph.replay()


class DelayedRead:
    """A copy to the host that is waited for later, while the device goes on.

    Args:
        shape: the shape of what is copied, fp32.
        device: the device from which it comes.
    """

    def __init__(self, shape: tuple[int, int], device: torch.device) -> None:
        is_cuda = device.type == "cuda"
        self._values = torch.empty(shape, pin_memory=is_cuda)
        self._done = torch.cuda.Event() if is_cuda else None

    def begin(self, tensor: torch.Tensor) -> None:
        """Copy a tensor after what the device has been given so far."""
        self._values.copy_(tensor, non_blocking=True)
        if self._done is not None:
            self._done.record()

    def wait(self) -> list[list[float]]:
        """The values, as soon as they are there."""
        if self._done is not None:
            self._done.synchronize()
        return self._values.tolist()
