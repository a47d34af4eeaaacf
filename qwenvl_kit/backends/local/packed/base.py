"""The base of packed layers: a linear layer without a readable weight."""

from __future__ import annotations

import torch

CHUNK_VALUES = 1 << 22
"""Values that are converted at a time: 16 MB in fp32, so that packing needs little memory."""


class PackedLinear(torch.nn.Linear):
    """A linear layer that holds its weights in packed form, outside of parameters.

    It is a `torch.nn.Linear` so that peft puts adapters around it; its `weight`, which tells peft
    the device, is empty: nothing can be read from it, merged into it, or saved.

    Args:
        linear: the layer whose weights are packed: fp32, bf16 or fp16, on the processor. It is
            not changed; its bias is shared.
    """

    packed_bytes: int
    """Bytes of the packed weights, with their scales and without the bias."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        nothing = torch.empty(0, dtype=torch.uint8)
        self.weight = torch.nn.Parameter(nothing, requires_grad=False)
        self.register_parameter("bias", linear.bias)
        self.train(linear.training)

    def dequantized_weight(self) -> torch.Tensor:
        """The matrix for which the packed values stand, fp32 (out_features, in_features)."""
        raise NotImplementedError
