"""The choice of a dtype for a model's weights and activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from qwenvl_kit.backends.local.devices import supports_bfloat16
from qwenvl_kit.errors import ModelLoadError, QuantizationError

_TYPES = (torch.bfloat16, torch.float32, torch.float16)

_SMALL_RANGE = "its range is small: answers of exclamation marks mean that it ran over"


@dataclass(frozen=True)
class Precision:
    """A dtype of torch, and the reason for it."""

    dtype: torch.dtype
    reason: str

    @property
    def name(self) -> str:
        """The name of the dtype without its prefix: "bfloat16"."""
        return str(self.dtype).removeprefix("torch.")


def choose_precision(
    dtype: str | torch.dtype,
    device: torch.device,
    *,
    is_quantized: bool,
    published: torch.dtype | None = None,
    on_processor: Callable[[], Precision],
) -> Precision:
    """Choose bf16 if the device computes in it, and fp32 elsewhere.

    fp16 is chosen only for checkpoints that are published quantised with the rest in fp16: its
    range is too small for these models, which then answer with exclamation marks. On a processor
    it is bf16 beside quantised weights, where fp32 would cost the memory that quantisation saves;
    `processor_dtype.py` has the rule for other models.

    Args:
        dtype: "auto", or a dtype of torch or its name.
        device: the device of the model.
        is_quantized: True if the weights are quantised while they are loaded.
        published: for a checkpoint that is published quantised, the dtype of its other weights.
            transformers does not convert all of these, and mixed dtypes cannot run.
        on_processor: a function that chooses for a model on a processor that is not quantised.

    Raises:
        ModelLoadError: these models do not run in that dtype.
        QuantizationError: the dtype differs from that of a quantised checkpoint.
    """
    if published is not None:
        _check_published(dtype, published)
        warning = f"; {_SMALL_RANGE}" if published == torch.float16 else ""
        return Precision(
            published, f"the weights that are not quantised are published in it{warning}"
        )
    if dtype != "auto":
        return Precision(_as_dtype(dtype), _asked_reason(_as_dtype(dtype)))
    if is_quantized and (device.type == "cpu" or supports_bfloat16(device)):
        return Precision(torch.bfloat16, "weights that are not quantised are kept small")
    if device.type == "cpu":
        return on_processor()
    if supports_bfloat16(device):
        return Precision(torch.bfloat16, f"{device.type} computes in it")
    return Precision(
        torch.float32, f"this {device.type} device has no bf16, and fp16 has too small a range"
    )


def _as_dtype(dtype: str | torch.dtype) -> torch.dtype:
    chosen = dtype if isinstance(dtype, torch.dtype) else getattr(torch, str(dtype), None)
    if chosen not in _TYPES:
        raise ModelLoadError(
            f"dtype={dtype!r} was given", expected="'auto', 'bfloat16', 'float32' or 'float16'"
        )
    return chosen


def _check_published(dtype: str | torch.dtype, published: torch.dtype) -> None:
    if dtype != "auto" and _as_dtype(dtype) != published:
        raise QuantizationError(
            f"dtype={dtype!r} was given for a checkpoint that is published quantised, with the "
            f"rest in {published}",
            hint="leave dtype out",
        )


def _asked_reason(dtype: torch.dtype) -> str:
    if dtype == torch.float16:
        return f"as asked; {_SMALL_RANGE}"
    return "as asked"
