"""Pages of a weights file that are mapped into memory, given back once nothing reads them."""

from __future__ import annotations

import ctypes
import functools
import mmap
import sys
from collections.abc import Callable
from contextlib import suppress

import torch

_PAGEOUT = 21
"""`MADV_PAGEOUT` of Linux 5.4: the pages may be dropped now. What was changed is kept, so nothing
is lost whatever the memory is; pages of a file are read again if they are asked for."""


def give_back_pages(tensor: torch.Tensor) -> None:
    """Let the system drop the whole pages within a tensor that nothing reads any more.

    Pages of a file count as memory of the process until the system wants them. Where this is not
    Linux, or the system refuses, nothing happens.

    Args:
        tensor: a tensor of the processor, contiguous.
    """
    advise = _madvise()
    if advise is None or not tensor.is_contiguous():
        return
    begin = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if end > begin:
        advise(begin, end - begin, _PAGEOUT)  # an error is no harm


@functools.cache
def _madvise() -> Callable[[int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    with suppress(OSError, AttributeError):
        function = ctypes.CDLL(None).madvise
        function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        return function
    return None
