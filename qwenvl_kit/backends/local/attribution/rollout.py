"""Attention rollout: attention followed through the layers, down to the visual tokens.

Abnar and Zuidema, "Quantifying Attention Flow in Transformers", 2020 (arXiv:2005.00928), section 3:
each layer passes on half of what a token has already, by the residual connection, and half of what
the mean of its heads attends to. `R = (A / 2 + I / 2) R`, from the first layer to the last.

Of R only the columns of visual tokens are kept, fp32 (tokens, visual tokens), and it is updated in
place: a token sees no later ones, so rows are made from the last to the first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from qwenvl_kit.backends.local.attribution.watched_attention import WatchedLayer, rows_at_a_time


class Rollout:
    """Follows attention while the model computes; a `Watcher`.

    Args:
        visual: the numbers of all visual tokens, rising.
        rows: the numbers of the tokens whose attention is followed, rising.
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
        self._rows = rows
        self._layers = tuple(layers)
        self._heads = heads
        self._carried: torch.Tensor | None = None
        self.seen: list[int] = []

    @property
    def relevance(self) -> torch.Tensor:
        """The mean over the rows, fp32 (visual tokens,)."""
        carried = torch.zeros(0, len(self._visual)) if self._carried is None else self._carried
        return carried.mean(0)

    def watch(self, layer: WatchedLayer, output: torch.Tensor) -> torch.Tensor:
        """Count a layer."""
        if layer.number in self._layers:
            self._count(layer)
            self.seen.append(layer.number)
        return output

    def _count(self, layer: WatchedLayer) -> None:
        device = layer.query.device
        self._visual, self._rows = self._visual.to(device), self._rows.to(device)
        if self._carried is not None:
            self._carried = self._carried.to(device)
        heads = torch.tensor(self._heads or range(layer.num_heads), device=device)
        keys = layer.of_heads(layer.key, heads)
        at_a_time = rows_at_a_time(layer, len(heads))
        if layer.number == self._layers[-1]:
            parts = [self._mixed(layer, p, heads, keys) for p in self._rows.split(at_a_time)]
            self._carried = torch.cat(parts)
            return
        # Nothing before the first visual token has seen one.
        rows = torch.arange(int(self._visual[0]), layer.query.shape[2], device=device)
        carried = self._carried
        if carried is None:
            carried = torch.zeros(layer.query.shape[2], len(self._visual), device=device)
        for part in reversed(rows.split(at_a_time)):
            carried[part] = self._mixed(layer, part, heads, keys)
        self._carried = carried

    def _mixed(
        self, layer: WatchedLayer, rows: torch.Tensor, heads: torch.Tensor, keys: torch.Tensor
    ) -> torch.Tensor:
        """The share of each visual token in some rows after a layer, (rows, visual tokens)."""
        weights = layer.weights(rows, heads, keys).mean(0)
        if self._carried is None:  # each visual token has itself
            attended = self._of_visual(weights)
            own = (rows[:, None] == self._visual).to(attended.dtype)
        else:
            attended, own = weights @ self._carried[: weights.shape[1]], self._carried[rows]
        return (attended + own) / 2

    def _of_visual(self, weights: torch.Tensor) -> torch.Tensor:
        """The columns of visual tokens; those behind the last row are not seen."""
        columns = weights.new_zeros(len(weights), len(self._visual))
        num_seen = int((self._visual < weights.shape[1]).sum())
        columns[:, :num_seen] = weights[:, self._visual[:num_seen]]
        return columns
