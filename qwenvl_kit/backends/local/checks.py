"""Checks of a loaded model: its weights are numbers that do not learn, and its cache is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from qwenvl_kit.backends.local.error_mapping import translated_errors
from qwenvl_kit.backends.local.loading.trial import check_cached_step
from qwenvl_kit.errors import QwenVLKitError

_VALUES_AT_A_TIME = 2**24
"""Weights that are looked at together, so that the check takes 64 MiB beside the model."""


def check_model(model: Any, *, is_exact: bool) -> Mapping[str, str]:
    """Return the trouble that each check found; empty if there is none.

    Args:
        model: the model of transformers. Nobody may run it meanwhile.
        is_exact: True if it computes in fp32, on weights that are not quantised.
    """
    return {
        "no weight wants a gradient": _named(_learning(model), "would learn"),
        "weights are numbers": _named(_not_finite(model), "hold NaN or infinity"),
        "cached step equals uncached": _cache_trouble(model, is_exact=is_exact),
    }


def _named(names: Iterator[str], trouble: str) -> str:
    """The first few of some tensors, and their trouble; empty if there are none."""
    found = list(names)
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"{', '.join(found[:3])}{more} {trouble}" if found else ""


def _learning(model: Any) -> Iterator[str]:
    return (name for name, parameter in model.named_parameters() if parameter.requires_grad)


def _not_finite(model: Any) -> Iterator[str]:
    """The names of weights that hold something else than numbers.

    Weights that are offloaded to a disk or packed are not read; whole numbers always are numbers.
    """
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point() and parameter.device.type != "meta":
            parts = parameter.detach().flatten().split(_VALUES_AT_A_TIME)
            if not all(bool(part.float().isfinite().all()) for part in parts):
                yield name


def _cache_trouble(model: Any, *, is_exact: bool) -> str:
    try:
        with translated_errors():
            check_cached_step(model, is_exact=is_exact)
    except QwenVLKitError as error:
        return str(error)
    return ""


def are_weights_exact(model: Any) -> bool:
    """True if a model computes in fp32, on weights that are not quantised."""
    weights = [parameter.dtype for parameter in model.parameters()]
    is_packed = any(not dtype.is_floating_point or dtype.itemsize < 2 for dtype in weights)
    is_quantized = getattr(model, "hf_quantizer", None) is not None
    return bool(model.dtype == torch.float32) and not is_packed and not is_quantized
