"""Pages that stand on their side or their head: pictures turned, and boxes turned back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.geometry import Size
from qwenvl_kit.grounding.boxes import Box

if TYPE_CHECKING:
    import PIL.Image

_LEAST_BOXES = 4
_SHARE_UPWARDS = 0.8

UPSIDE_DOWN = (
    "its blocks go from the bottom to the top: the page may be upside down; "
    'orientation="auto" turns it'
)


def turned(picture: PIL.Image.Image, degrees: int) -> PIL.Image.Image:
    """Return a picture turned clockwise by 0, 90, 180 or 270 degrees."""
    from PIL.Image import Transpose

    steps = {90: Transpose.ROTATE_270, 180: Transpose.ROTATE_180, 270: Transpose.ROTATE_90}
    return picture.transpose(steps[degrees]) if degrees else picture


def turned_back(block: Block, degrees: int, original: Size) -> Block:
    """Return a block with its box in pixels of the picture before it was turned clockwise."""
    if block.box is None or not degrees:
        return block
    return replace(block, box=_box_before(block.box, degrees, original))


def _box_before(box: Box, degrees: int, original: Size) -> Box:
    width, height = original.width_px, original.height_px
    corners = [(box.x1_px, box.y1_px), (box.x2_px, box.y2_px)]
    if degrees == 180:
        corners = [(width - x, height - y) for x, y in corners]
    elif degrees == 90:
        corners = [(y, height - x) for x, y in corners]
    else:
        corners = [(width - y, x) for x, y in corners]
    (x1, y1), (x2, y2) = corners
    return replace(box, x1_px=min(x1, x2), y1_px=min(y1, y2), x2_px=max(x1, x2), y2_px=max(y1, y2))


def goes_upwards(blocks: Sequence[Block]) -> bool:
    """True if the blocks of a page follow each other from its bottom to its top."""
    middles = [block.box.centre.y_px for block in blocks if block.box is not None]
    steps = [*pairwise(middles)]
    if len(middles) < _LEAST_BOXES:
        return False
    return sum(after < before for before, after in steps) >= _SHARE_UPWARDS * len(steps)
