"""What the log shows: moving averages, and a quick look at held-out seeds."""

from __future__ import annotations

import math
import random

import torch

from .batches import Batcher
from .drawing.canvas import FRAME_CELLS, IMAGE_CELLS, draw_grid
from .network import Network
from .objective import Score, answer_loss
from .samples import Options, make_sample


class Averages:
    """Moving averages of losses and of the share of right answers of each task."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def add(self, name: str, value: float, keep: float = 0.97) -> None:
        """Takes a value into its average; not-a-number means nothing was measured."""
        if not math.isnan(value):
            old = self.values.get(name, value)
            self.values[name] = keep * old + (1 - keep) * value

    def line(self) -> str:
        """All averages for the log."""
        return " ".join(f"{name} {value:.3f}" for name, value in sorted(self.values.items()))


def quick_scores(
    network: Network,
    batcher: Batcher,
    rng: random.Random,
    kind: str,
    *,
    small_fonts: bool,
    batches: int = 3,
) -> list[Score]:
    """Exact matches on a few batches of full-size pictures, in the fonts of the run."""
    scores: list[Score] = []
    for _ in range(batches):
        video = kind == "video"
        grid = draw_grid(rng, FRAME_CELLS if video else IMAGE_CELLS, 0.2)
        frames = rng.randint(2, 16) if video else 1
        options = Options(outliers=0.0, small_fonts=small_fonts, frames=frames)
        samples = [make_sample(rng, kind, grid, options) for _ in range(16)]
        with torch.device("cpu"):
            batch = batcher.build(rng, samples, plain=True)
        batch = batch.to(network.axes.device.type)
        visual = network.see(batch.patches, grid.rows, grid.columns)
        scores += answer_loss(network, batch, visual)[1]
    return scores
