"""How many CPU threads a model runs on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL_MODEL_BYTES = 64 * 2**20
"""Below this a step takes about a millisecond, and handing work to other threads takes longer
than the work: on a busy machine of two cores, ten tokens of a 0.9 MB model took 0.9 s on two
threads and 0.02 s on one."""


@contextmanager
def threads_for(weight_bytes: int | None, device: torch.device) -> Iterator[None]:
    """Run a small model on one thread of a CPU, and others on as many as torch is set to.

    The setting is put back afterwards. torch keeps it for the whole process, though: a thread that
    uses torch for the first time in the meantime starts out with one.
    """
    before = torch.get_num_threads()
    is_small = weight_bytes is not None and weight_bytes < SMALL_MODEL_BYTES
    if device.type != "cpu" or not is_small or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
