"""Products of large fp32 matrices by oneDNN, on processors where a measurement says that it pays.

torch multiplies fp32 matrices by MKL. On some processors, those of AMD among them, oneDNN, which
torch ships as well, is up to twice as fast where a few rows meet a large matrix: the output layer
of a batch.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import linear

from qwenvl_kit.backends.local.loading.timing import shortest_ms

LARGE_VALUES = 2**19
"""Values of a matrix from which oneDNN is used. Below, a call of it costs more than it gains."""

_MEASURED_SHAPE = (8192, 1024)
"""(rows, columns) of the matrix that is timed: 32 MB in fp32, more than a core has of cache."""
_FEW, _MANY = 1, 32
_NUM_ROUNDS = 10  # other programs may be at work
_LONGEST, _SHORTER = 1.05, 0.9
"""oneDNN may take this share of MKL's time at most, and must take that share or less of it once."""


class OneDnnLinear(torch.nn.Linear):
    """A linear layer that multiplies by oneDNN; gradients go the way of `torch.nn.Linear`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # torch's own name
        """Compute `input @ weight.T + bias`, fp32."""
        weight = self.weight
        if torch.is_grad_enabled() or input.dtype != torch.float32 or not _is_plain(weight):
            return linear(input, weight, self.bias)
        if torch.is_autocast_enabled("cpu") or torch._C._get_tracing_state() is not None:
            return linear(input, weight, self.bias)  # a tracer cannot write oneDNN's down
        return multiply(input, weight, self.bias)


def _is_plain(weight: torch.Tensor) -> bool:
    """True for weights that are still fp32 and on the processor: a user may have moved them."""
    return weight.device.type == "cpu" and weight.dtype == torch.float32


def multiply(inputs: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Compute `inputs @ matrix.T + bias` by the operator that torch's own compiler uses."""
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, matrix, bias, "none", [], "")
    return product


def use_onednn(model: Any, *, is_faster: Callable[[], bool] | None = None) -> str | None:
    """Have the large fp32 layers of a model on a processor multiply by oneDNN, where it pays.

    Args:
        model: the model of transformers; its weights stay what and where they are.
        is_faster: a function that says if it pays; None measures it here, once a process.

    Returns:
        The sentence for the report; None if nothing was changed.
    """
    layers = [each for each in model.modules() if type(each) is torch.nn.Linear and _is_large(each)]
    if not layers or not (is_faster or is_faster_here)():
        return None
    for layer in layers:
        layer.__class__ = OneDnnLinear
    return f"large fp32 products by oneDNN ({len(layers)} layers), measured to be faster than MKL"


def _is_large(layer: torch.nn.Linear) -> bool:
    return layer.weight.numel() >= LARGE_VALUES and _is_plain(layer.weight)


@functools.cache
def is_faster_here() -> bool:
    """True if oneDNN multiplies one row and 32 rows faster than MKL, with the threads of torch."""
    with torch.inference_mode(), torch.random.fork_rng(devices=()):
        matrix = torch.rand(_MEASURED_SHAPE, device="cpu", dtype=torch.float32)
        inputs = torch.rand(_MANY, _MEASURED_SHAPE[1], device="cpu", dtype=torch.float32)
        try:
            multiply(inputs, matrix, None)
        except (AttributeError, NotImplementedError, RuntimeError):
            return False  # this build of torch has no oneDNN
        shares = []
        for rows in (_FEW, _MANY):
            by_onednn, by_mkl = shortest_ms(
                [
                    functools.partial(product, inputs[:rows], matrix, None)
                    for product in (multiply, linear)
                ],
                num_rounds=_NUM_ROUNDS,
            )
            shares.append(by_onednn / by_mkl)
    return max(shares) <= _LONGEST and min(shares) <= _SHORTER
