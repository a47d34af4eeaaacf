"""Occlusion: the drop of an answer's log-probability when a part of a picture is grey.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", 2013 (arXiv:1311.2901),
section 4.2. Patches overlap by half, and a visual token gets the mean of the four that cover it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy

    from qwenvl_kit.media.types import DecodedMedia

GREY = 128
"""The value of hidden pixels: the middle of their range."""


@dataclass(frozen=True)
class TokenGrid:
    """The visual tokens of a picture or film.

    Attributes:
        groups: groups of frames that share their visual tokens; 1 for a picture.
        rows, columns: visual tokens down and across.
        side_px: the side of the square that one covers, in pixels that the model sees.
        frames_per_group: frames of a film in a group; 0 for a picture.
    """

    groups: int
    rows: int
    columns: int
    side_px: int
    frames_per_group: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Groups, rows and columns."""
        return self.groups, self.rows, self.columns


def occlude(
    media: Sequence[DecodedMedia],
    grids: Sequence[TokenGrid],
    num_patches: int,
    score: Callable[[Sequence[DecodedMedia]], float],
) -> list[numpy.ndarray[Any, Any]]:
    """The drop of the score for each visual token of each picture and film.

    Args:
        media: the pixels that the model saw.
        grids: the visual tokens of each.
        num_patches: about so many patches are hidden in each, and one at least in each group.
        score: the log-probability of what is explained, with other pixels.

    Returns:
        For each picture and film nats, fp32 (groups, rows, columns); negative where the answer is
        more likely without what was hidden.
    """
    import numpy

    whole = score(media)
    drops = []
    for at, (item, grid) in enumerate(zip(media, grids)):
        total, count = numpy.zeros(grid.shape), numpy.zeros(grid.shape)
        for place in patches(grid, num_patches):
            is_hidden = numpy.zeros(grid.shape, bool)
            is_hidden[place] = True
            shown = [*media]
            shown[at] = hidden(item, grid, is_hidden)
            total[place] += whole - score(shown)
            count[place] += 1
        drops.append((total / count).astype(numpy.float32))
    return drops


def patches(grid: TokenGrid, num_patches: int) -> Iterator[tuple[int, slice, slice]]:
    """The patches that are hidden in turn: a group, rows and columns of visual tokens.

    Each is two steps wide and high; those at the edges are cut off there.
    """
    area = grid.groups * grid.rows * grid.columns
    step = max(1, round(math.sqrt(area / num_patches)))
    for group in range(grid.groups):
        for top in range(-step, grid.rows, step):
            for left in range(-step, grid.columns, step):
                rows = slice(max(0, top), min(top + 2 * step, grid.rows))
                columns = slice(max(0, left), min(left + 2 * step, grid.columns))
                yield group, rows, columns


def hidden(
    item: DecodedMedia,
    grid: TokenGrid,
    is_hidden: numpy.ndarray[Any, Any],
    instead: numpy.ndarray[Any, Any] | int = GREY,
) -> DecodedMedia:
    """A picture or film of which some visual tokens are hidden.

    Args:
        item: its pixels.
        grid: its visual tokens.
        is_hidden: True for those that are hidden, bool (groups, rows, columns).
        instead: the pixels in their place: other pixels, or one value for all.
    """
    import numpy
    import PIL.Image

    squares = is_hidden.repeat(grid.side_px, 1).repeat(grid.side_px, 2)
    pixels = numpy.asarray(item)
    if grid.frames_per_group:
        places = squares.repeat(grid.frames_per_group, 0)[: len(pixels), ..., None]
        return numpy.where(places, instead, pixels).astype(numpy.uint8)
    mixed = numpy.where(squares[0, ..., None], instead, pixels).astype(numpy.uint8)
    return PIL.Image.fromarray(mixed)
