"""The mapping of errors of torch and transformers to errors of the kit."""

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
    """Turn any error within the block into an error of the kit, with its cause."""
    try:
        yield
    except QwenVLKitError:
        raise
    except Exception as error:  # a model may fail in any way; that must cost only its batch
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"the device ran out of memory ({error})",
                hint="a smaller budget, fewer requests at a time, or a shorter answer",
            ) from error
        raise GenerationError(f"the model failed ({type(error).__name__}: {error})") from error


@contextmanager
def translated_load_errors() -> Iterator[None]:
    """Turn any other error while a checkpoint is loaded into an error of the kit."""
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
    """True if an error means that memory ran out; torch raises several kinds for that."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    signs = ("DefaultCPUAllocator", "out of memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
