"""Where the model should look while it writes a box: which cells each coordinate is read from.

Left to the loss of the answers alone, the language model takes the place of one shape and the
width of another for long: it has to find the colour and the kind it is asked for in one cell. Here
the cells are known, so two heads of one layer are shown them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .drawing.canvas import Grid
from .questions.places import PARTS

LEAST_SHARE = 0.25
"""Of the cell that a box covers most, for a cell to count as one of its own."""


@dataclass(frozen=True)
class Glances:
    """Positions that write a coordinate, and the cells to look at: `cells` is [N, V] of 0 and 1."""

    rows: Tensor
    positions: Tensor
    cells: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def to(self, device: str) -> Glances:
        """The same on a device."""
        return Glances(self.rows.to(device), self.positions.to(device), self.cells.to(device))


def covered(box: Sequence[int], grid: Grid) -> NDArray[np.bool_]:
    """Which cells of `grid` a box in thousandths of the picture's sides covers, row by row."""
    x1, y1, x2, y2 = box
    across = _shares(x1, x2, grid.columns)
    down = _shares(y1, y2, grid.rows)
    share = np.outer(down, across).reshape(-1)
    covers: NDArray[np.bool_] = share >= LEAST_SHARE * share.max()
    return covers


def _shares(low: int, high: int, count: int) -> NDArray[np.float64]:
    """How much of each of `count` equal parts lies between two thousandths."""
    starts = np.arange(count) * PARTS / count
    inside = np.minimum(starts + PARTS / count, high) - np.maximum(starts, low)
    shares: NDArray[np.float64] = np.maximum(inside, 0) * count / PARTS
    return shares


def glances(boxes: Sequence[tuple[int, int, tuple[int, int, int, int]]], grid: Grid) -> Glances:
    """Of (row, position, box) for each coordinate that is written."""
    cells = [covered(box, grid) for _, _, box in boxes]
    return Glances(
        torch.tensor([row for row, _, _ in boxes], dtype=torch.long),
        torch.tensor([position for _, position, _ in boxes], dtype=torch.long),
        torch.from_numpy(np.stack(cells) if cells else np.zeros((0, grid.cells), np.bool_)),
    )


def glance_loss(seen: Tensor, wanted: Glances) -> Tensor:
    """Minus the logarithm of the share of attention that lies on the right cells.

    Args:
        seen: attention over visual tokens, [N, heads, V]; what a head gives to text is missing.
        wanted: the N positions and their cells.
    """
    share = (seen * wanted.cells.unsqueeze(1)).sum(-1)
    return -share.clamp(min=1e-6).log().mean()
