"""Watched attention: torch's own attention, whose queries and keys a watcher is shown.

`output_attentions` of transformers keeps the weights of all layers, heads and rows: 4,096 visual
tokens and 28 layers with 12 heads take 11 GB in bf16. A watcher computes the rows that it needs,
some at a time, and keeps what it makes of them. The model's output is that of torch's kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from qwenvl_kit.backends.local.loading.attention import PLAIN

_NAME = "qwenvl_kit_watched"

_MAX_WEIGHTS = 2**23
"""Most weights that are held at a time, over all heads: 32 MiB in fp32."""


@dataclass(frozen=True, eq=False)
class WatchedLayer:
    """The inputs of attention in one layer, of one sequence.

    Attributes:
        number: the number of the layer, from 0.
        query: (1, heads, tokens, head size), turned by their positions.
        key: (1, key heads, tokens, head size), likewise.
        value: (1, key heads, tokens, head size).
        mask: the places that each token sees, bool or added to scores, (1, 1, tokens, tokens); None
            if it sees all earlier ones and itself.
        scaling: the factor of the scores.
    """

    number: int
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    mask: torch.Tensor | None
    scaling: float

    @property
    def num_heads(self) -> int:
        """The number of heads."""
        return int(self.query.shape[1])

    def of_heads(self, tensor: torch.Tensor, heads: torch.Tensor) -> torch.Tensor:
        """Keys or values of some heads, (heads, tokens, head size); several heads share one."""
        groups = self.num_heads // tensor.shape[1]
        return tensor[0].index_select(0, heads // groups)

    def weights(self, rows: torch.Tensor, heads: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """The attention weights of some rows, fp32 (heads, rows, last row + 1).

        The arithmetic is that of `eager_attention_forward` in transformers.

        Args:
            rows: numbers of tokens, rising.
            heads: numbers of heads.
            keys: the keys of these heads, as `of_heads` gives them.
        """
        length = int(rows[-1]) + 1
        query = self.query[0].index_select(0, heads).index_select(1, rows)
        scores = (query @ keys[:, :length].transpose(1, 2)).float() * self.scaling
        if self.mask is None:
            seen = torch.arange(length, device=rows.device) <= rows[:, None]
            scores.masked_fill_(~seen, -torch.inf)
        else:
            part = self.mask[0, :, rows, :length]
            if part.dtype == torch.bool:
                scores.masked_fill_(~part, -torch.inf)
            else:
                scores += part.float()
        return scores.softmax(-1)


class Watcher(Protocol):
    """Watches the attention of a pass."""

    def watch(self, layer: WatchedLayer, output: torch.Tensor) -> torch.Tensor:
        """Return the output of a layer's attention, which may be wrapped but not changed.

        Args:
            layer: the inputs.
            output: the output, (1, tokens, heads, head size).
        """


def rows_at_a_time(layer: WatchedLayer, num_heads: int) -> int:
    """The number of rows whose weights may be held at a time."""
    return max(1, _MAX_WEIGHTS // (num_heads * layer.query.shape[2]))


@contextmanager
def watched_attention(model: Any) -> Iterator[None]:
    """Let the language model show its attention to a `watcher`, a keyword of its forward pass.

    The implementation that it had comes back at the end. Nobody else may run the model meanwhile.
    """
    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, AttentionMaskInterface()[PLAIN])
    before = model.config.get_text_config()._attn_implementation
    model.set_attn_implementation({"text_config": _NAME})
    try:
        yield
    finally:
        model.set_attn_implementation({"text_config": before})


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    watcher: Watcher | None = None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Compute attention; the signature is the one that transformers calls.

    Keys are copied for the heads that share them: torch's kernel for processors takes no groups
    where a gradient is wanted, and what takes its place holds the weights of all heads and rows.
    """
    groups, is_causal = query.shape[1] // key.shape[1], attention_mask is None
    output = scaled_dot_product_attention(
        query,
        key.repeat_interleave(groups, dim=1),
        value.repeat_interleave(groups, dim=1),
        attn_mask=attention_mask,
        is_causal=is_causal and query.shape[2] > 1,
        scale=scaling,
    )
    output = output.transpose(1, 2).contiguous()
    if watcher is not None:
        factor = query.shape[-1] ** -0.5 if scaling is None else scaling
        seen = WatchedLayer(module.layer_idx, query, key, value, attention_mask, factor)
        output = watcher.watch(seen, output)
    return output, None
