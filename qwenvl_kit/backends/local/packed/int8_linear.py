"""Linear layers in 8 bits, by FBGEMM: int8 weights, one scale per row of the matrix.

FBGEMM multiplies integers, so activations are made integers too. A single int8 would lose the small
values beside the outliers that language models have. So each activation is written in two digits
of base 127, and each digit is one row of the product: 16,003 steps in place of 127. The second row
is nearly free where a few rows are computed, as the time goes into reading the weights.

Two digits also keep FBGEMM exact: on processors without VNNI it adds two products of 8 bits in 16
bits, which run over if activations use all 8 (torch's `reduce_range` is for that). A digit takes
7 bits, sums are integers, and each row has its own scale: a row gives the same numbers in every
batch, on every processor.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from qwenvl_kit.backends.local.packed.base import CHUNK_VALUES, PackedLinear
from qwenvl_kit.checkpoints.packed_memory import int8_bytes

_BASE = 127
"""The base of the digits, which are between -64 and 64."""

_LARGEST = 63 * _BASE
"""The integer that stands for the largest activation of a row."""

_ZERO_POINT = 64
"""The byte that stands for the digit 0."""

_MOST_SHARED_ROWS = 64
"""Rows of an input whose digits are kept for the next layer; more would hold memory."""


class LastInput:
    """The digits of the last input, for layers that read the same one: queries, keys and values.

    An input is known by its identity, and by torch's count of changes where torch keeps one.
    """

    def __init__(self) -> None:
        self._held: tuple[torch.Tensor, int, torch.Tensor, torch.Tensor] | None = None

    def digits_of(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the digits of an input, fp32 (2 * rows, features), and scales, fp32 (rows, 1).

        The first half of the rows are the high digits, the second the low ones.
        """
        held, version = self._held, _version_of(inputs)
        if held is not None and held[0] is inputs and held[1] == version:
            return held[2], held[3]
        digits, scales = split_digits(inputs.reshape(-1, inputs.shape[-1]))
        self._held = None
        if len(scales) <= _MOST_SHARED_ROWS:
            self._held = (inputs, version, digits, scales)
        return digits, scales


def _version_of(tensor: torch.Tensor) -> int:
    return -1 if tensor.is_inference() else tensor._version


def split_digits(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Write each value of a matrix as `scale * (127 * high + low)`; see the module.

    Args:
        rows: floats (rows, features).

    Returns:
        The high digits and, below them, the low ones, fp32 (2 * rows, features); the latter are
        rounded by FBGEMM. And the scale of each row, fp32 (rows, 1); NaN or infinite if a value of
        the row is.
    """
    values = rows.float()
    scales = values.abs().amax(-1, keepdim=True).div_(_LARGEST).clamp_min_(1e-38)
    values = values / scales
    high = (values * (1 / _BASE)).round_()
    return torch.cat([high, values.sub_(high, alpha=_BASE)]), scales


class Int8Linear(PackedLinear):
    """A linear layer of int8 weights, with a scale for each output feature.

    Args:
        linear: the layer whose weights are packed.
        last_input: the digits that it shares with other layers of the model.
    """

    def __init__(self, linear: torch.nn.Linear, last_input: LastInput | None = None) -> None:
        super().__init__(linear)
        self._last_input = last_input or LastInput()
        self._packed = _pack(linear.weight)
        self.packed_bytes = int8_bytes(self.out_features, self.in_features)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Compute `inputs @ weight.T + bias`, in the dtype of the inputs."""
        digits, scales = self._last_input.digits_of(inputs)
        both: torch.Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            digits, 1.0, _ZERO_POINT, self._packed
        )
        high, low = both[: len(scales)], both[len(scales) :]
        outputs = low.add_(high, alpha=_BASE).mul_(scales)
        if self.bias is not None:
            outputs = outputs.add_(self.bias)
        return outputs.to(inputs.dtype).view(*inputs.shape[:-1], self.out_features)

    def dequantized_weight(self) -> torch.Tensor:
        """The matrix for which the packed values stand, fp32 (out_features, in_features)."""
        weight: torch.Tensor = torch.ops.quantized.linear_unpack(self._packed)[0]
        return weight.dequantize()


def _pack(weight: torch.Tensor) -> Any:
    """Round a matrix to int8, row by row, and have FBGEMM pack it."""
    rows, columns = weight.shape
    scales = torch.empty(rows)
    values = torch.empty(rows, columns, dtype=torch.int8)
    step = max(1, CHUNK_VALUES // columns)
    for start in range(0, rows, step):
        chunk = weight[start : start + step].detach().float()
        sizes = chunk.abs().amax(1).div_(127).clamp_min_(1e-30)
        scales[start : start + step] = sizes
        values[start : start + step] = (chunk / sizes[:, None]).round_()
    quantized = _empty_quantized(rows, columns, scales)
    # Written through a view of bytes: torch's own ways make a third copy of a large matrix.
    torch.empty(0, dtype=torch.int8).set_(quantized.untyped_storage()).copy_(values.view(-1))
    del values
    with _fbgemm():
        return torch.ops.quantized.linear_prepack(quantized, None)


def _empty_quantized(rows: int, columns: int, scales: torch.Tensor) -> torch.Tensor:
    """A matrix of the dtype that FBGEMM packs.

    Torch warns that this dtype will go, and has no other way to FBGEMM. Where it has gone,
    `runs_here` in `packing.py` finds out, and weights are left to bitsandbytes.
    """
    zeros = torch.zeros(rows, dtype=torch.long)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)
        return torch._empty_per_channel_affine_quantized(
            (rows, columns), scales=scales, zero_points=zeros, axis=0, dtype=torch.qint8
        )


@contextmanager
def _fbgemm() -> Iterator[None]:
    """Have torch pack for FBGEMM within the block; its choice is one for the whole process."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm"
    try:
        yield
    finally:
        torch.backends.quantized.engine = before
