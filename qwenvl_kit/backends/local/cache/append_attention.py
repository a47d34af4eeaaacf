"""Append attention: causal attention of new tokens after known ones, on a processor.

Torch's causal kernels are for as many queries as keys, and a mask costs twice as much for a
position. So the new tokens attend to the known ones without a mask, as all of them see all of
these, then to each other by a causal kernel. The two results are merged. Each position is looked
at once, as in a pass over the whole sequence.
"""

from __future__ import annotations

import torch

from qwenvl_kit.backends.local.cache.flash_kernel import flash, merge
from qwenvl_kit.backends.local.cache.head_groups import group_heads


def attend_appended(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Causal attention of the last tokens of a sequence, (batch, tokens, heads, head size).

    Args:
        query: the queries of the new tokens, (batch, heads, tokens, head size).
        key: the keys of known and new tokens, (batch, key heads, length, head size).
        value: likewise.
        scaling: the factor of the scores; None for 1 / sqrt(head size).
    """
    num_known = key.shape[2] - query.shape[2]
    groups = query.shape[1] // key.shape[1]
    grouped = group_heads(query, key.shape[1])
    known, known_sums = flash(grouped, key[:, :, :num_known], value[:, :, :num_known], scaling)
    own_key, own_value = (
        tensor[:, :, num_known:].repeat_interleave(groups, dim=1) for tensor in (key, value)
    )
    own, own_sums = flash(query, own_key, own_value, scaling, is_causal=True)
    both = merge(known.reshape(query.shape), known_sums.reshape(query.shape[:3]), own, own_sums)
    return both.transpose(1, 2).contiguous()
