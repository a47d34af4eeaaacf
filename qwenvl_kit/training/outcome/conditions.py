"""The record beside trained weights, from which a chat takes budget, model and chat template."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwenvl_kit.checkpoints.trained_with import TrainedWith
from qwenvl_kit.options import PixelBudget

if TYPE_CHECKING:
    from qwenvl_kit.budget.limits import PixelLimits
    from qwenvl_kit.processing.processor_config import Published


def trained_with(
    published: Published,
    budget: PixelBudget,
    *,
    method: str,
    data: str,
    dtype: str,
    quantization: str | None = None,
    thinking: bool | None = None,
) -> TrainedWith:
    """Return the record of a training; `TrainedWith.write` puts it beside the weights.

    Args:
        published: the parts of the checkpoint that examples were encoded with.
        budget: the budget of pictures whose example had none of its own.
        method: the method in a few words, such as "lora" or "full".
        data: the digest of the training data; empty if it is not known.
        dtype: the dtype of the base model's weights, such as "bfloat16".
        quantization: the quantisation of the base model; None if it had none.
        thinking: the setting by which prompts were rendered; None for the template's own.
    """
    return TrainedWith(
        base=published.identity,
        budget=budget,
        image_pixels=_areas(published.rules.image_limits),
        video_pixels=_areas(published.rules.video_limits),
        thinking=thinking,
        data=data,
        method=method,
        dtype=dtype,
        quantization=quantization,
        kit=_kit_version(),
    )


def _areas(limits: PixelLimits) -> tuple[int, int]:
    return limits.min_pixels, limits.max_pixels


def _kit_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("qwenvl-kit")
    except PackageNotFoundError:  # the package lies on the path without being installed
        return "unknown"
