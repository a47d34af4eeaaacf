"""Grouped-query attention without copies of keys: heads with the same keys are more tokens of one.

A key head serves several heads. Where no token has to see another in an order of its own, their
queries can stand beside each other, as if one head had that many more tokens.
"""

from __future__ import annotations

import torch


def group_heads(query: torch.Tensor, key_heads: int) -> torch.Tensor:
    """The queries of each key head, (batch, key heads, heads per key head * tokens, head size).

    Args:
        query: (batch, heads, tokens, head size).
        key_heads: the number of key heads, by which that of heads can be divided.
    """
    batch, heads, num_tokens, size = query.shape
    return query.reshape(batch, key_heads, heads // key_heads * num_tokens, size)


def group_mask(seen: torch.Tensor, query: torch.Tensor, key_heads: int) -> torch.Tensor:
    """The mask of the queries of `group_heads`, bool (batch, 1, grouped queries, length).

    Args:
        seen: True for the positions that each token sees, bool (batch or 1, 1, tokens, length).
        query: the queries before they are grouped.
        key_heads: the number of key heads.
    """
    batch, heads, num_tokens, _ = query.shape
    groups = heads // key_heads
    return seen.expand(batch, groups, -1, -1).reshape(batch, 1, groups * num_tokens, -1)
