"""Pretended CUDA graphs and events: a capture refuses waits and traffic, as CUDA does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.pretended_device.traffic import recorded


class PretendedGraph:
    """A graph in the place of a `StepGraph`, which runs the function again to repeat it.

    Args:
        run: the function.
        device: the device.
        pool: the memory pool, which is not pretended.

    Raises:
        RuntimeError: the function waits, or copies something to or from the host.
    """

    def __init__(self, run: Callable[[], object], device: torch.device, pool: Any = None) -> None:
        self._run, self.pool = run, pool
        with recorded() as traffic:
            run()
        if traffic.waits or traffic.uploads:
            raise RuntimeError(
                "operation not permitted when stream is capturing: "
                f"{[*traffic.waits, *traffic.uploads]} on {device}"
            )

    def replay(self) -> None:
        """Run the function."""
        self._run()

    def release(self) -> None:
        """Do nothing: there is no memory of its own."""


class PretendedEvent:
    """An event of a device that does at once what it is told."""

    def record(self) -> None:
        """Do nothing: all is done already."""

    def synchronize(self) -> None:
        """Wait for nothing; the copy before it was counted as the wait."""
