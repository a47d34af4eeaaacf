"""Pages that are asked again in two halves, and the blocks of both halves as one page.

The halves overlap by a tenth of the page. What stands in both is kept once: a block near the end of
the upper half that has nearly the words of one near the beginning of the lower half joins the two,
and of this block the longer text counts. Without such a block, the middle of the overlap decides:
blocks with a box above it are taken from the upper half, those below it from the lower one.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.geometry import Region, Size

_UPPER, _LOWER = 0.55, 0.45
"""The end of the upper half and the beginning of the lower one, as shares of the height."""

_NEAR = 6
"""The blocks on each side of the border that are compared."""

_LIKE = 0.8
_COMPARED = 300
"""The characters of a text that are compared."""

_LEAST_CHARACTERS = 4
_LEAST_OF_PART = 20
"""The least characters of a text that is taken for the beginning or the end of another."""


def half_regions(size: Size, crop: Region | None) -> tuple[Region, Region] | None:
    """Return the upper and the lower half of a page; None if it is too low to be halved."""
    whole = Region(0, 0, size.width_px, size.height_px) if crop is None else crop
    height = whole.y2_px - whole.y1_px
    if height < 20:
        return None
    end, begin = whole.y1_px + int(height * _UPPER), whole.y1_px + int(height * _LOWER)
    return (
        Region(whole.x1_px, whole.y1_px, whole.x2_px, end),
        Region(whole.x1_px, begin, whole.x2_px, whole.y2_px),
    )


def merged_halves(upper: Sequence[Block], lower: Sequence[Block], middle: float) -> list[Block]:
    """Return the blocks of both halves in reading order, without what stands in both.

    Args:
        upper: the blocks of the upper half.
        lower: the blocks of the lower half.
        middle: the middle of the overlap, in pixels from the top of the page.
    """
    pair = _same(upper, lower)
    if pair is None:
        above = [block for block in upper if not _is_below(block, middle)]
        below = [block for block in lower if not _is_above(block, middle)]
        return [*above, *below]
    at, to = pair
    longer = max(upper[at], lower[to], key=lambda block: len(block.text))
    return [*upper[:at], longer, *lower[to + 1 :]]


def _same(upper: Sequence[Block], lower: Sequence[Block]) -> tuple[int, int] | None:
    """The indices of the last pair of blocks that are the same in both halves."""
    first = max(0, len(upper) - _NEAR)
    for at in range(len(upper) - 1, first - 1, -1):
        for to in range(min(_NEAR, len(lower)) - 1, -1, -1):
            if _is_same(upper[at], lower[to]):
                return at, to
    return None


def _is_same(one: Block, other: Block) -> bool:
    if one.kind != other.kind:
        return False
    if one.box is not None and other.box is not None and one.box.overlap(other.box) > _LIKE:
        return True
    a, b = (" ".join(block.text.split()) for block in (one, other))
    if min(len(a), len(b)) < _LEAST_CHARACTERS or _are_apart(one, other):
        return False
    if a.startswith(b) or b.endswith(a) or a == b:
        return True
    is_cut_short = min(len(a), len(b)) >= _LEAST_OF_PART and (a.endswith(b) or b.startswith(a))
    if is_cut_short:  # by the end of the upper half, or the beginning of the lower one
        return True
    matcher = SequenceMatcher(None, a[:_COMPARED], b[:_COMPARED], autojunk=False)
    return matcher.quick_ratio() >= _LIKE and matcher.ratio() >= _LIKE


def _are_apart(one: Block, other: Block) -> bool:
    """True if two blocks stand at different heights of the page: forms repeat their words."""
    if one.box is None or other.box is None:
        return False
    gap = max(one.box.y1_px, other.box.y1_px) - min(one.box.y2_px, other.box.y2_px)
    heights = (box.y2_px - box.y1_px for box in (one.box, other.box))
    return gap > min(heights)


def _is_below(block: Block, middle: float) -> bool:
    return block.box is not None and block.box.centre.y_px > middle


def _is_above(block: Block, middle: float) -> bool:
    return block.box is not None and block.box.centre.y_px <= middle
