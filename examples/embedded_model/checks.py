"""Proof that the fast forward is the real model: its logits against transformers' own, in fp32.

python -m examples.embedded_model.checks
"""

from __future__ import annotations

import random

import torch

from .batches import Batch, Batcher
from .checkpoint import new_network
from .drawing.canvas import Grid
from .network import TEMPORAL_PATCH, Network, Size, branch_bias
from .samples import KINDS, Options, make_sample
from .tokenizer import build_tokenizer


def fast_logits(network: Network, batch: Batch) -> torch.Tensor:
    """Logits of the whole batch by the training forward."""
    visual = network.see(batch.patches, batch.grid.rows, batch.grid.columns)
    tokens = visual.reshape(batch.ids.shape[0], -1, visual.shape[-1])
    bias = branch_bias(batch.segments, network.dtype)
    hidden = network.hidden(batch.ids, tokens, batch.where, batch.positions, bias)
    return network.logits(hidden)


def reference_logits(network: Network, batch: Batch) -> torch.Tensor:
    """Logits of the first row by transformers, which computes positions and grids itself."""
    model = network.model
    length = int((batch.segments[0] >= 0).sum())
    ids = batch.ids[:1, :length]
    video = batch.kind == "video"
    pads = (ids == model.config.image_token_id).long() + 2 * (ids == model.config.video_token_id)
    pieces = batch.patches.shape[0] // batch.ids.shape[0]
    patches = batch.patches[:pieces]
    if not video:
        patches = _repeat_in_time(patches)
    flat = patches.reshape(-1, patches.shape[-1])
    sides = [batch.grid.rows * 2, batch.grid.columns * 2]
    grid = torch.tensor([[pieces, *sides]] if video else [[1, *sides]] * pieces)
    named = (
        {"pixel_values_videos": flat, "video_grid_thw": grid}
        if video
        else {"pixel_values": flat, "image_grid_thw": grid}
    )
    output = model(input_ids=ids, mm_token_type_ids=pads, **named)
    logits: torch.Tensor = output.logits
    return logits


def _repeat_in_time(patches: torch.Tensor) -> torch.Tensor:
    """Still patches as the processor gives them: every channel twice."""
    count, length, _ = patches.shape
    split = patches.reshape(count, length, 3, 1, -1)
    return split.expand(-1, -1, -1, TEMPORAL_PATCH, -1).reshape(count, length, -1)


@torch.no_grad()
def logit_difference(kind: str, seed: int = 0, network: Network | None = None) -> float:
    """Largest difference between both forwards on one sample of `kind`, in fp32."""
    network = network or new_network(Size(), dtype=torch.float32)
    rng = random.Random(seed)
    options = Options(small_fonts=True, frames=6 if kind == "video" else 1)
    samples = [make_sample(rng, kind, Grid(4, 6), options) for _ in range(2)]
    batch = Batcher(build_tokenizer(), most_questions=1).build(rng, samples)
    batch.patches = batch.patches.float()
    reference = reference_logits(network, batch)
    fast = fast_logits(network, batch)[:1, : reference.shape[1]]
    return float((fast - reference).abs().max())


if __name__ == "__main__":
    for name in KINDS:
        print(f"{name}: largest difference {logit_difference(name):.1e}")
