"""Finite values: tests for logits and features that are NaN or infinite, and their errors."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from qwenvl_kit.errors import GenerationError

LANGUAGE_MODEL = "language model"
VISION_ENCODER = "vision encoder"


def are_all_finite(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """True if all values of some tensors are finite, as a boolean tensor on their device."""
    return torch.stack([tensor.isfinite().all() for tensor in tensors]).all()


def are_usable(logits: torch.Tensor) -> bool:
    """True if a token can be chosen for each row; it waits for the device.

    False if a row has a logit that is not a number, or minus infinity alone.

    Args:
        logits: fp32 (batch, vocabulary).
    """
    return bool(logits.amax(dim=-1).isfinite().all())


def not_numbers(part: str, dtype: torch.dtype) -> GenerationError:
    """The error for a part of the model whose output is not made of numbers.

    The range of fp16 is too small for sound weights. In any other dtype a weight itself is likely
    NaN or infinite.

    Args:
        part: LANGUAGE_MODEL or VISION_ENCODER.
        dtype: the dtype in which the model computes.
    """
    made = "logits" if part == LANGUAGE_MODEL else "features"
    if dtype == torch.float16:
        hint = "dtype='bfloat16' or 'float32'; fp16 has too small a range"
    else:
        hint = (
            f"download the checkpoint again: one of the weights of its {part} may be no number "
            "(NaN) or infinite, as after a training run that diverged; torch.isfinite tells which"
        )
    name = str(dtype).removeprefix("torch.")
    return GenerationError(
        f"the {made} of the model's {part} are not numbers (it computes in {name})", hint=hint
    )
