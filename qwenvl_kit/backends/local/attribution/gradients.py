"""Gradient x attention: attention counts where it raises the logits of what is explained.

Chefer, Gur and Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and
Encoder-Decoder Transformers", 2021 (arXiv:2103.15679), equations 5 and 6 for self-attention:
`R = R + mean over heads of max(0, dy/dA * A) R`, from the first layer to the last, where y is the
logit that is explained.

The row of R that is wanted is computed from the last layer to the first, in which order gradients
come: r becomes r + r * max(0, dy/dA * A). So nothing of the size of an attention matrix is kept.
The output of attention is A V, hence dy/dA is the gradient of that output times V transposed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from qwenvl_kit.backends.local.attribution.watched_attention import WatchedLayer, rows_at_a_time
from qwenvl_kit.errors import UnsupportedFeatureError


class GradientRollout:
    """Counts attention while gradients flow back; a `Watcher`.

    Args:
        visual: the numbers of all visual tokens, rising.
        rows: the numbers of the tokens whose logits are explained, rising.
        layers: the layers whose attention counts, rising.
        heads: the heads that count; None for all.

    Attributes:
        seen: the layers that were counted.
    """

    def __init__(
        self,
        visual: torch.Tensor,
        rows: torch.Tensor,
        layers: Sequence[int],
        heads: Sequence[int] | None,
    ) -> None:
        self._visual = visual
        self._layers = tuple(layers)
        self._heads = heads
        self._share = torch.zeros(int(rows[-1]) + 1, device=rows.device)
        self._share[rows] = 1 / len(rows)
        self.seen: list[int] = []

    @property
    def relevance(self) -> torch.Tensor:
        """The relevance of the visual tokens, fp32 (visual tokens,)."""
        return self._share[self._visual.to(self._share.device)]

    def watch(self, layer: WatchedLayer, output: torch.Tensor) -> torch.Tensor:
        """Return the output, whose gradient will count the layer.

        Raises:
            UnsupportedFeatureError: no gradient reaches this layer.
        """
        if not (layer.query.requires_grad and layer.value.requires_grad and output.requires_grad):
            raise UnsupportedFeatureError(
                "no gradient flows through the layers of this model",
                hint="method='attention' or 'occlusion', or load it without quantization",
            )
        if layer.number not in self._layers:
            return output
        inputs = (layer.query, layer.key, layer.value, layer.mask)
        watched: torch.Tensor = _Watched.apply(output, *inputs, self, layer.number, layer.scaling)
        return watched

    def count(self, layer: WatchedLayer, gradient: torch.Tensor) -> None:
        """Count a layer.

        Args:
            layer: the inputs of its attention.
            gradient: the gradient of its output, (1, tokens, heads, head size).
        """
        device = gradient.device
        share = self._share.to(device)
        heads = torch.tensor(self._heads or range(layer.num_heads), device=device)
        keys, values = (layer.of_heads(each, heads) for each in (layer.key, layer.value))
        rows = share.nonzero()[:, 0]
        rows = rows[rows >= int(self._visual[0])]  # nothing before has seen a picture
        added = torch.zeros_like(share)
        for part in rows.split(rows_at_a_time(layer, len(heads))):
            weights = layer.weights(part, heads, keys)
            length = weights.shape[2]
            by_head = gradient[0].index_select(0, part).index_select(1, heads).transpose(0, 1)
            slopes = (by_head @ values[:, :length].transpose(1, 2)).float()
            raised = (slopes * weights).clamp_(min=0).mean(0)
            added[:length] += share[part] @ raised
        self._share = share + added
        self.seen.append(layer.number)


class _Watched(torch.autograd.Function):
    """The identity, which shows its gradient together with the inputs of attention."""

    @staticmethod
    def forward(  # noqa: PLR0917  # torch gives arguments by place alone
        ctx: Any,
        output: torch.Tensor,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        watcher: GradientRollout,
        number: int,
        scaling: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(query, key, value, mask)
        ctx.rest = watcher, number, scaling
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        query, key, value, mask = ctx.saved_tensors
        watcher, number, scaling = ctx.rest
        watcher.count(WatchedLayer(number, query, key, value, mask, scaling), gradient)
        return (gradient, *[None] * 7)
