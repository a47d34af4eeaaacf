"""Torch's flash kernel for processors, with the logarithms of the sums, by which parts are merged.

The kernel holds no scores, and its inner products are fast in bf16 on processors that have no
instructions for bf16, where a batched product of torch takes up to 18 times as long as in fp32.
Attention over two sets of keys is attention over both if the two results are merged by those
logarithms (Dao et al., "Flash-Decoding for long-context inference", 2023).
"""

from __future__ import annotations

from typing import Any

import torch

_DTYPES = (torch.float32, torch.bfloat16)

_flash: Any = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)


def has_flash_kernel(query: torch.Tensor) -> bool:
    """True if the kernel takes these queries here."""
    return _flash is not None and query.device.type == "cpu" and query.dtype in _DTYPES


def flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float | None,
    *,
    is_causal: bool = False,
    seen: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute attention; return (batch, heads, tokens, head size), and the logarithms of its sums.

    Args:
        query: (batch, heads, tokens, head size).
        key: (batch, heads, length, head size).
        value: likewise.
        scaling: the factor of the scores; None for 1 / sqrt(head size).
        is_causal: True if there are as many queries as keys, and each sees no later ones.
        seen: True for the positions that each query sees, bool (batch, 1, tokens, length); None if
            it sees all.

    Returns:
        The output, and fp32 (batch, heads, tokens): the logarithm of the sum of the exponentials of
        the scores of each query. For a query that sees nothing it is so low that `merge` leaves its
        output out.
    """
    mask = None
    if seen is not None:
        # The lowest number in place of infinity, as a query may see nothing of this part.
        nothing = torch.zeros((), dtype=query.dtype).expand(seen.shape)
        mask = nothing.masked_fill(~seen, torch.finfo(query.dtype).min)
    output, sums = _flash(query, key, value, 0.0, is_causal, attn_mask=mask, scale=scaling)
    return output, sums


def merge(
    first: torch.Tensor, first_sums: torch.Tensor, second: torch.Tensor, second_sums: torch.Tensor
) -> torch.Tensor:
    """Merge the attention of the same queries to two sets of keys, by the logarithms of sums."""
    share = torch.sigmoid(first_sums - second_sums)[..., None]
    return torch.lerp(second.float(), first.float(), share).to(first.dtype)
