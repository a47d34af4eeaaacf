"""Boxes in pixels, and what every cell learns of the one that covers it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas

Edges = NDArray[np.float32]


@dataclass(frozen=True)
class Box:
    """A box in source pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def joined(self, other: Box) -> Box:
        """The smallest box around both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )


def around(boxes: Sequence[Box]) -> Box:
    """The smallest box around all."""
    return reduce(Box.joined, boxes)


def edge_labels(canvas: Canvas, boxes: Sequence[Box]) -> Edges:
    """For every cell how far the edges of its box are from its middle, in cells: (cells, 4).

    Its box is the one that covers most of it; not a number where none does.
    """
    grid = canvas.grid
    width, height = canvas.width / grid.columns, canvas.height / grid.rows
    lefts, tops = np.arange(grid.columns) * width, np.arange(grid.rows) * height
    labels = np.full((grid.rows, grid.columns, 4), np.nan, np.float32)
    covered = np.zeros((grid.rows, grid.columns))
    for box in boxes:
        across = np.minimum(lefts + width, box.right) - np.maximum(lefts, box.left)
        down = np.minimum(tops + height, box.bottom) - np.maximum(tops, box.top)
        share = np.outer(np.maximum(down, 0) / height, np.maximum(across, 0) / width)
        x = (np.array([[box.left], [box.right]]) - lefts - width / 2) / width
        y = (np.array([[box.top], [box.bottom]]) - tops - height / 2) / height
        edges = np.empty_like(labels)
        edges[..., 0], edges[..., 2] = x[0], x[1]
        edges[..., 1], edges[..., 3] = y[0][:, None], y[1][:, None]
        # From 0.4 on, a box within a larger one that came before is what the cell shows.
        better = (share > np.minimum(covered, 0.4)) & (share > 0.03)
        labels[better], covered[better] = edges[better], share[better]
    return labels.reshape(grid.cells, 4)
