"""Cascade attention: attention of sequences with a common prefix, over one copy of that prefix.

The keys of the prefix are read once for all rows, and only the rest is read for each row:
Juravsky et al., "Hydragen: High-Throughput LLM Inference with Shared Prefixes", 2024
(arXiv:2402.05099). The result is that of attention over both parts together. Without a shared
prefix torch's own attention runs, without copies that transformers makes for it on a CPU, and
without a mask where a causal one would do: a mask takes torch's fast kernels away, and memory of
four bytes for each token and position.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from qwenvl_kit.backends.local.cache.append_attention import attend_appended
from qwenvl_kit.backends.local.cache.flash_kernel import flash, has_flash_kernel, merge
from qwenvl_kit.backends.local.cache.head_groups import group_heads, group_mask
from qwenvl_kit.backends.local.loading.attention import PLAIN

_NAME = "qwenvl_kit_shared"
_MAX_SCORES = 2**23
"""Most attention scores that are held at a time: 32 MiB in fp32. Up to that size the C library
gives out memory that it has used before, instead of new pages."""

_MOST_PADDING = 1.5
"""Known tokens for each new one up to which zeros for the known ones cost less than a mask, as
measured on a CPU: a mask takes 2.2 times as long for a position as a causal kernel."""


class SharedPrefix(Protocol):
    """The keys and values of a prefix that all rows have, by the number of a layer."""

    def get(self, layer: int, /) -> tuple[torch.Tensor, torch.Tensor] | None:
        """The keys and values of a layer, each (1, key heads, length, head size)."""


def offer_shared_attention(model: Any) -> None:
    """Let a language model with torch's own attention ("sdpa") take a `shared_prefix` as well."""
    if model.config.get_text_config()._attn_implementation == PLAIN:
        AttentionInterface.register(_NAME, _attend)
        AttentionMaskInterface.register(_NAME, _make_mask)
        model.set_attn_implementation({"text_config": _NAME})


def _make_mask(
    *, attention_mask: torch.Tensor | None = None, allow_is_causal_skip: bool = True, **options: Any
) -> torch.Tensor | None:
    """The mask that transformers asks for: None where all positions are real and it is causal.

    The engine gives a mask only where there is padding. Other devices than the processor are not
    asked if there is any: they would be waited for in each step.
    """
    if attention_mask is None and allow_is_causal_skip and options.get("local_size") is None:
        return None
    if attention_mask is not None and attention_mask.device.type != "cpu":
        allow_is_causal_skip = False
    make = AttentionMaskInterface()[PLAIN]
    mask: torch.Tensor | None = make(
        attention_mask=attention_mask, allow_is_causal_skip=allow_is_causal_skip, **options
    )
    return mask


def has_shared_attention(model: Any) -> bool:
    """True if a language model takes a `shared_prefix`."""
    return bool(model.config.get_text_config()._attn_implementation == _NAME)


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    shared_prefix: SharedPrefix | None = None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Compute attention; the signature is the one that transformers calls.

    Args:
        module: the attention layer.
        query: (batch, heads, tokens, head size).
        key: (batch, key heads, length, head size), without the shared prefix.
        value: likewise.
        attention_mask: True for the positions that each token sees, bool (batch, 1, tokens, shared
            length + length); None if it sees the prefix, all earlier tokens and itself.
        shared_prefix: the prefix of all rows, which all of their tokens see.
        scaling: the factor of the scores; None for 1 / sqrt(head size).
        options: for torch's own implementation, which runs without a shared prefix.

    Returns:
        The output, (batch, tokens, heads, head size), and None in place of weights.
    """
    shared = None if shared_prefix is None else shared_prefix.get(module.layer_idx)
    num_tokens, num_known = query.shape[2], key.shape[2] - query.shape[2]
    if shared is None:
        if attention_mask is None and num_tokens > 1 and num_known:
            if has_flash_kernel(query):
                return attend_appended(query, key, value, scaling), None
            if num_known <= _MOST_PADDING * num_tokens:
                return _attend_padded(query, key, value, scaling), None
            attention_mask = _causal_mask(num_tokens, key.shape[2], query.device)
        if attention_mask is not None and query.shape[2] > 1 and query.device.type == "cpu":
            return _attend_in_groups(query, key, value, attention_mask, scaling), None
        plain = AttentionInterface()[PLAIN]
        output: tuple[torch.Tensor, None] = plain(
            module, query, key, value, attention_mask, scaling=scaling, **options
        )
        return output
    return attend_with_shared(query, shared, (key, value), attention_mask, scaling), None


def _causal_mask(num_tokens: int, length: int, device: torch.device) -> torch.Tensor:
    """The mask of the last tokens of a sequence, bool (1, 1, tokens, length)."""
    seen = torch.ones((num_tokens, length), dtype=torch.bool, device=device)
    return seen.tril_(length - num_tokens)[None, None]


def _attend_padded(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Causal attention of the last tokens of a sequence, (batch, tokens, heads, head size).

    Torch's causal kernels are for as many queries as keys. Zeros stand for the queries of the known
    tokens; what comes of them is dropped. The rest is what a pass over the whole sequence gives.
    """
    num_known = key.shape[2] - query.shape[2]
    groups = query.shape[1] // key.shape[1]
    if query.device.type != "cpu" and groups > 1:  # other devices have slow kernels for groups
        key, value = (tensor.repeat_interleave(groups, dim=1) for tensor in (key, value))
    padded = torch.cat([query.new_zeros((*query.shape[:2], num_known, query.shape[3])), query], 2)
    output = scaled_dot_product_attention(
        padded, key, value, is_causal=True, scale=scaling, enable_gqa=key.shape[1] < query.shape[1]
    )
    return output[:, :, num_known:].transpose(1, 2).contiguous()


def _attend_in_groups(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scaling: float | None,
) -> torch.Tensor:
    """Grouped-query attention without copies of the keys, (batch, tokens, heads, head size).

    With a mask, transformers first copies the keys for each head: for 8 heads, 2 key heads and
    4,000 positions that takes longer than the rest. A CPU can do without the copies; on a GPU
    torch would fall back to a slow kernel.
    """
    output = scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scaling, enable_gqa=key.shape[1] < query.shape[1]
    )
    return output.transpose(1, 2).contiguous()


def attend_with_shared(
    query: torch.Tensor,
    shared: tuple[torch.Tensor, torch.Tensor],
    own: tuple[torch.Tensor, torch.Tensor],
    mask: torch.Tensor | None,
    scaling: float | None,
) -> torch.Tensor:
    """Attention to a shared prefix and to a row's own keys, (batch, tokens, heads, head size).

    Args:
        query: (batch, heads, tokens, head size).
        shared: the keys and values of the prefix, each (1, key heads, shared length, head size).
        own: the keys and values of the rows, each (batch, key heads, length, head size).
        mask: True for what each token sees, bool (batch, 1, tokens, shared length + length); None
            if it sees all that is before it.
        scaling: the factor of the scores; None for 1 / sqrt(head size).
    """
    batch, heads, num_tokens, size = query.shape
    num_shared = shared[0].shape[2]
    seen = None if mask is None else mask[..., num_shared:]
    if seen is None and num_tokens > 1:
        seen = _causal_mask(num_tokens, own[0].shape[2], query.device)
    if has_flash_kernel(query):
        return _attend_to_both_by_kernel(query, shared, own, seen, scaling)
    # Some tokens at a time, to bound the memory of their scores.
    at_a_time = max(1, _MAX_SCORES // (batch * heads * num_shared))
    parts = [
        _attend_to_both(
            query[:, :, part],
            shared,
            own,
            None if seen is None else seen[:, :, part],
            size**-0.5 if scaling is None else scaling,
        )
        for part in (slice(at, at + at_a_time) for at in range(0, num_tokens, at_a_time))
    ]
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous()


def _attend_to_both_by_kernel(
    query: torch.Tensor,
    shared: tuple[torch.Tensor, torch.Tensor],
    own: tuple[torch.Tensor, torch.Tensor],
    seen: torch.Tensor | None,
    scaling: float | None,
) -> torch.Tensor:
    """Attention to both parts by torch's kernel, (batch, tokens, heads, head size)."""
    batch, key_heads = own[0].shape[:2]
    grouped = group_heads(query, key_heads)
    to_shared, shared_sums = flash(_of_heads(grouped)[None], *shared, scaling)
    if seen is not None:
        seen = group_mask(seen, query, key_heads)
    to_own, own_sums = flash(grouped, *own, scaling, seen=seen)
    both = merge(_of_rows(to_shared[0], batch), _of_rows(shared_sums[0], batch), to_own, own_sums)
    return both.reshape(query.shape).transpose(1, 2).contiguous()


def _attend_to_both(
    query: torch.Tensor,
    shared: tuple[torch.Tensor, torch.Tensor],
    own: tuple[torch.Tensor, torch.Tensor],
    mask: torch.Tensor | None,
    scaling: float,
) -> torch.Tensor:
    """One softmax over both parts, (batch, heads, tokens, head size)."""
    batch, key_heads = own[0].shape[:2]
    grouped = group_heads(query, key_heads)
    shared_scores = _scores(_of_heads(grouped), shared[0][0], scaling)
    own_scores = _scores(grouped.flatten(0, 1), own[0].flatten(0, 1), scaling).unflatten(
        0, (batch, key_heads)
    )
    if mask is not None:
        own_scores = own_scores.masked_fill(~group_mask(mask, query, key_heads), -torch.inf)
    highest = torch.maximum(
        _of_rows(shared_scores.amax(-1, keepdim=True), batch), own_scores.amax(-1, keepdim=True)
    )
    own_weights = (own_scores - highest).exp_()
    shared_weights = shared_scores.sub_(_of_heads(highest)).exp_()
    total = own_weights.sum(-1, keepdim=True) + _of_rows(
        shared_weights.sum(-1, keepdim=True), batch
    )
    dtype = query.dtype
    output: torch.Tensor = (own_weights.to(dtype) @ own[1]).float()
    output += _of_rows(shared_weights.to(dtype) @ shared[1][0], batch)
    output /= total
    return output.to(dtype).view(query.shape)


def _scores(query: torch.Tensor, key: torch.Tensor, scaling: float) -> torch.Tensor:
    nothing = query.new_empty(1, 1, 1)
    scores = torch.baddbmm(nothing, query, key.transpose(1, 2), beta=0, alpha=scaling)
    return scores.float()


def _of_rows(tensor: torch.Tensor, batch: int) -> torch.Tensor:
    """Turn (key heads, batch * queries, ...) into (batch, key heads, queries, ...)."""
    rows: torch.Tensor = tensor.unflatten(1, (batch, -1))
    return rows.transpose(0, 1)


def _of_heads(tensor: torch.Tensor) -> torch.Tensor:
    """Turn (batch, key heads, queries, size) into (key heads, batch * queries, size)."""
    return tensor.transpose(0, 1).flatten(1, 2)
