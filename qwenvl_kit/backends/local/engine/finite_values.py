"""Soundness of what a model computes: numbers, or not (NaN, infinite)."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from qwenvl_kit.errors import GenerationError

LANGUAGE_MODEL = "language model"
VISION_ENCODER = "vision encoder"


def highest_logits(logits: torch.Tensor) -> tuple[list[int], list[float]]:
    """The likeliest token of each row, and its logit.

    That logit tells whether a row is sound: NaN anywhere in it makes it NaN, an infinite one makes
    it infinite, and where nothing may come at all it is minus infinity. Both are read together,
    for each reading waits for the device.

    Args:
        logits: fp32 (batch, vocabulary).
    """
    likeliest = logits.argmax(dim=-1)
    highest = logits.gather(1, likeliest[:, None])[:, 0]
    ids, values = torch.stack([likeliest.float(), highest]).tolist()  # exact below 2**24
    return [int(token_id) for token_id in ids], values


def are_all_finite(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    """Whether all numbers of some tensors are finite, as a boolean on their device."""
    return torch.stack([tensor.isfinite().all() for tensor in tensors]).all()


def check_logits(logits: torch.Tensor, dtype: torch.dtype) -> None:
    """Refuse rows of which no token can be chosen.

    Args:
        logits: fp32 (batch, vocabulary).
        dtype: what the model computes in, for messages.

    Raises:
        GenerationError: one of them has a logit that is no number, or nothing but minus infinity.
    """
    if not bool(logits.amax(dim=-1).isfinite().all()):
        raise not_numbers(LANGUAGE_MODEL, dtype)


def not_numbers(part: str, dtype: torch.dtype) -> GenerationError:
    """The error of a part of the model that gives what is no number.

    Only fp16 is too small for sound weights; elsewhere one of them is likely no number.
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
