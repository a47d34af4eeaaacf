"""Source sizes and grids: training sees what the processor will make of a user's picture."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

CELL = 28
IMAGE_CELLS = (40, 80)
FRAME_CELLS = (16, 25)


@dataclass(frozen=True)
class Grid:
    """Rows and columns of 28-pixel cells, one visual token each."""

    rows: int
    columns: int

    @property
    def cells(self) -> int:
        """Visual tokens of a picture."""
        return self.rows * self.columns

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.columns * CELL

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.rows * CELL


@dataclass(frozen=True)
class Canvas:
    """A drawing surface of its own size that will be resized to `grid`."""

    width: int
    height: int
    grid: Grid

    @property
    def scale(self) -> float:
        """Source pixels per pixel the model sees (geometric mean of both directions)."""
        seen = self.grid.width * self.grid.height
        return math.sqrt(self.width * self.height / seen)

    def cell_of(self, x: float, y: float) -> int:
        """Index of the cell that holds a source point; points outside go to the border."""
        row = int(y * self.grid.rows / self.height)
        column = int(x * self.grid.columns / self.width)
        row = min(max(row, 0), self.grid.rows - 1)
        return row * self.grid.columns + min(max(column, 0), self.grid.columns - 1)


def smart_resize(height: int, width: int, cells: tuple[int, int]) -> Grid:
    """The grid that Qwen2-VL's processor gives a picture under a budget of `cells`."""
    low, high = (count * CELL * CELL for count in cells)
    rows, columns = round(height / CELL), round(width / CELL)
    if rows * columns * CELL * CELL > high:
        beta = math.sqrt(height * width / high)
        rows = max(1, math.floor(height / beta / CELL))
        columns = max(1, math.floor(width / beta / CELL))
    elif rows * columns * CELL * CELL < low:
        beta = math.sqrt(low / (height * width))
        rows, columns = math.ceil(height * beta / CELL), math.ceil(width * beta / CELL)
    return Grid(rows, columns)


def draw_grid(rng: random.Random, cells: tuple[int, int], wide: float = 0.0) -> Grid:
    """The grid of a picture of random size: most are larger than the budget, some smaller.

    `wide` is the mean of the logarithm of width over height; a tail is long and thin.
    """
    spread = 0.9 if rng.random() < 0.15 else 0.35
    aspect = math.exp(min(max(rng.gauss(wide, spread), -1.8), 1.8))
    area = cells[1] * CELL * CELL * math.exp(rng.uniform(-1.2, 1.5))
    height, width = math.sqrt(area / aspect), math.sqrt(area * aspect)
    return smart_resize(max(8, round(height)), max(8, round(width)), cells)


def canvas_for(rng: random.Random, grid: Grid, most: float = 2.2) -> Canvas:
    """A source size that the processor would resize to about `grid`.

    Downsizing floors, so the source may hold up to a cell more than the grid in each direction.
    Sources larger than `most` times the grid are left out: they look the same, and cost time.
    """
    scale = 1.0 if rng.random() < 0.25 else math.exp(rng.uniform(math.log(0.6), math.log(most)))
    width, height = (
        (count + rng.uniform(-0.25, 0.6) * min(1.0, count / 7)) * CELL * scale
        for count in (grid.columns, grid.rows)
    )
    if rng.random() < 0.15:
        return Canvas(grid.width, grid.height, grid)
    return Canvas(round(width), round(height), grid)


def to_grid(picture: Image.Image, grid: Grid) -> Pixels:
    """The picture as the processor would resize it."""
    if picture.size != (grid.width, grid.height):
        picture = picture.resize((grid.width, grid.height), Image.Resampling.BICUBIC)
    return np.asarray(picture)
