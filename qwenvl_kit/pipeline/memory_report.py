"""The memory report of a chat: what takes memory, and what a block of work takes at its peak."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from qwenvl_kit.backends.base import Backend, MemoryUse
from qwenvl_kit.backends.process_memory import process_memory
from qwenvl_kit.tables import Table

if TYPE_CHECKING:
    from typing_extensions import Self

_SAMPLE_SECONDS = 0.005
"""The pause between two looks at the memory of the process: the system tells its peak since its
start alone, and torch's allocator tells that of a block only on a GPU."""


class MemoryReport:
    """The memory of a model. `print` it; after a `with` block it also tells the block's peak.

    Args:
        backend: returns the backend that is measured.

    Attributes:
        before: the memory when the report was made, or when its block began.
        after: the memory at the end of the block; None without a block.
        block_peak_bytes: the most memory that was taken at a time within the block; None without a
            block. On a processor it is looked at every 5 ms, unless the process never took so much.
    """

    def __init__(self, backend: Callable[[], Backend]) -> None:
        self._backend = backend
        self.before: MemoryUse = backend().memory()
        self.after: MemoryUse | None = None
        self.block_peak_bytes: int | None = None
        self._sampler: _Sampler | None = None

    @property
    def now(self) -> MemoryUse:
        """The later one of `before` and `after`."""
        return self.before if self.after is None else self.after

    @property
    def weight_bytes(self) -> int | None:
        """The weights of the model; None if they are not in this process."""
        return self.now.weight_bytes

    @property
    def cache_bytes(self) -> int | None:
        """The KV caches: of computed prompts that are kept, and of requests that run."""
        kept, running = self.now.prompt_bytes, self.now.running_bytes
        return None if kept is None or running is None else kept + running

    @property
    def feature_bytes(self) -> int | None:
        """The features of pictures and films that are kept."""
        return self.now.feature_bytes

    @property
    def activation_bytes(self) -> int | None:
        """The memory that was taken within the block and given back; None without a block."""
        if self.after is None or self.block_peak_bytes is None:
            return None
        return max(0, self.block_peak_bytes - max(self.before.taken_bytes, self.after.taken_bytes))

    @property
    def fragmentation_bytes(self) -> int | None:
        """The memory that torch's allocator holds and does not use; None on a processor."""
        now = self.now
        return None if now.reserved_bytes is None else now.reserved_bytes - now.taken_bytes

    @property
    def peak_bytes(self) -> int | None:
        """The peak of the block; without a block that of the process, or of the GPU."""
        return self.now.peak_bytes if self.block_peak_bytes is None else self.block_peak_bytes

    @property
    def summary(self) -> str:
        """Torch's own memory summary of each GPU; empty on a processor."""
        return self.now.summary

    def __enter__(self) -> Self:
        backend = self._backend()
        backend.reset_peak_memory()
        self.before, self.after = backend.memory(), None
        if self.before.reserved_bytes is None:
            self._sampler = _Sampler()
            self._sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        sampled = 0 if self._sampler is None else self._sampler.stop()
        self._sampler = None
        self.after = self._backend().memory()
        self.block_peak_bytes = self._peak(sampled)

    def _peak(self, sampled: int) -> int | None:
        before, after = self.before, self.now
        if before.reserved_bytes is not None:
            return after.peak_bytes
        if after.peak_bytes is not None and after.peak_bytes > (before.peak_bytes or 0):
            return after.peak_bytes  # the process never took so much before
        return max(sampled, before.taken_bytes, after.taken_bytes)

    def __str__(self) -> str:
        return self._table().to_text()

    def _repr_html_(self) -> str:
        return self._table().to_html()

    def _table(self) -> Table:
        rows = [(name, _megabytes(size)) for name, size in self._sizes()]
        place = "on this process" if self.now.reserved_bytes is None else "on the GPU"
        notes = [f"device: {self.now.device}; taken and peak are measured {place}"]
        return Table(("memory", "MB"), rows, notes)

    def _sizes(self) -> Iterator[tuple[str, int | None]]:
        yield "weights", self.weight_bytes
        yield "KV caches", self.cache_bytes
        yield "features of pictures", self.feature_bytes
        yield "buffers of CUDA graphs", self.now.buffer_bytes
        yield "activations, at their peak", self.activation_bytes
        yield "fragmentation", self.fragmentation_bytes
        yield "taken", self.now.taken_bytes
        yield "peak", self.peak_bytes


class _Sampler(threading.Thread):
    """Looks at the memory of the process again and again."""

    def __init__(self) -> None:
        super().__init__(daemon=True, name="qwenvl_kit memory")
        self._is_over = threading.Event()
        self._most = 0

    def run(self) -> None:
        """Look until the end."""
        while not self._is_over.wait(_SAMPLE_SECONDS):
            self._most = max(self._most, process_memory()[0])

    def stop(self) -> int:
        """End, and return the most bytes that were seen."""
        self._is_over.set()
        self.join()
        return self._most


def _megabytes(size: int | None) -> str:
    return "not known" if size is None else f"{size / 1e6:,.1f}"
