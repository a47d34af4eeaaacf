"""What torch and transformers raise, in the kit's own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from qwenvl_kit.errors import (
    GenerationError,
    ModelLoadError,
    OutOfMemoryError,
    PlacementError,
    QwenVLKitError,
)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn any failure inside into an error of the kit, its cause attached."""
    try:
        yield
    except QwenVLKitError:
        raise
    except Exception as error:  # a model may fail in any way; it must cost its batch alone
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"the device ran out of memory ({error})",
                hint="a smaller budget, fewer requests at a time, or a shorter answer",
            ) from error
        raise GenerationError(f"the model failed ({type(error).__name__}: {error})") from error


@contextmanager
def translated_load_errors() -> Iterator[None]:
    """The same for whatever fails while a checkpoint is loaded, that nobody within names."""
    try:
        yield
    except QwenVLKitError:
        raise
    except Exception as error:
        kind = PlacementError if is_out_of_memory(error) else ModelLoadError
        raise kind(
            f"the checkpoint could not be loaded ({type(error).__name__}: {error})",
            hint="python -m qwenvl_kit doctor",
        ) from error


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device or the machine had too little memory; torch says so in many ways."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    signs = ("DefaultCPUAllocator", "out of memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
