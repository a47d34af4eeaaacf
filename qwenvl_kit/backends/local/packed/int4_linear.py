"""Linear layers in 4 bits: ATen's kernel for processors, with a scale for each 64 values."""

from __future__ import annotations

import torch

from qwenvl_kit.backends.local.packed.base import CHUNK_VALUES, PackedLinear
from qwenvl_kit.checkpoints.packed_memory import GROUP, int4_bytes

_HALF = 8
"""The code that stands for the zero of a group; codes are 0 to 15."""


class Int4Linear(PackedLinear):
    """A linear layer of 4-bit weights, which computes in bf16.

    Args:
        linear: the layer whose weights are packed; its rows are a multiple of 32 and its columns
            of 64.
    """

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__(linear)
        codes, self._scales_and_zeros = _quantize(linear.weight)
        self._packed = codes
        self.packed_bytes = int4_bytes(self.out_features, self.in_features)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Compute `inputs @ weight.T + bias` in bf16, in the dtype of the inputs."""
        rows = inputs.reshape(-1, self.in_features).to(torch.bfloat16)
        outputs: torch.Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            rows, self._packed, GROUP, self._scales_and_zeros
        )
        if self.bias is not None:
            outputs = outputs.add_(self.bias.to(outputs.dtype))
        return outputs.to(inputs.dtype).view(*inputs.shape[:-1], self.out_features)

    def dequantized_weight(self) -> torch.Tensor:
        """The matrix for which the packed values stand, fp32 (out_features, in_features)."""
        # The kernel itself unpacks, as the layout of codes differs by processor; it rounds to bf16,
        # from which codes are told again.
        whole = torch.eye(self.in_features, dtype=torch.bfloat16)
        rounded: torch.Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            whole, self._packed, GROUP, self._scales_and_zeros
        )
        groups = rounded.T.float().unflatten(1, (-1, GROUP))
        scales, zeros = self._scales_and_zeros.float().transpose(0, 1).unsqueeze(2).unbind(-1)
        codes: torch.Tensor = ((groups - zeros) / scales).round()
        matrix: torch.Tensor = codes * scales + zeros
        return matrix.flatten(1)


def _quantize(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round a matrix to 4 bits; return packed codes, and bf16 (columns / 64, rows, 2)."""
    rows, columns = weight.shape
    sides = torch.empty(columns // GROUP, rows, 2, dtype=torch.bfloat16)
    packed = list[torch.Tensor]()
    step = max(32, CHUNK_VALUES // columns // 64 * 64)  # the kernel packs 32 or 64 rows together
    for start in range(0, rows, step):
        groups = weight[start : start + step].detach().float().unflatten(1, (-1, GROUP))
        low, high = groups.amin(-1), groups.amax(-1)
        scales = ((high - low) / 15).clamp_min_(1e-30).bfloat16()
        zeros = (low + _HALF * scales.float()).bfloat16()
        codes = (groups - zeros.float()[..., None]) / scales.float()[..., None]
        codes = codes.add_(_HALF).round_().clamp_(0, 15).to(torch.int32).flatten(1)
        sides[:, start : start + step] = torch.stack([scales, zeros], -1).transpose(0, 1)
        packed.append(torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 2))
    return torch.cat(packed), sides
