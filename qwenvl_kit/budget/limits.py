"""Pixel limits: the least and most area of one picture, from a budget in tokens or pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from qwenvl_kit.options import PixelBudget


@dataclass(frozen=True)
class PixelLimits:
    """The least and most area of a resized picture, and the most length of its longer side."""

    min_pixels: int
    max_pixels: int
    max_side_px: int | None = None

    def shared_by(self, count: int) -> PixelLimits:
        """Return the limits of one of `count` frames if these are the limits of all together."""
        return replace(
            self,
            min_pixels=math.ceil(self.min_pixels / count),
            max_pixels=max(1, self.max_pixels // count),
        )

    def capped(self, max_pixels: int) -> PixelLimits:
        """Return these limits with a smaller maximum; a minimum above it is lowered."""
        return replace(
            self,
            min_pixels=min(self.min_pixels, max_pixels),
            max_pixels=min(self.max_pixels, max_pixels),
        )

    def within(self, outer: PixelLimits) -> PixelLimits:
        """Return these limits, clipped to others."""
        low, high = outer.min_pixels, outer.max_pixels
        return replace(
            self,
            min_pixels=min(max(self.min_pixels, low), high),
            max_pixels=min(max(self.max_pixels, low), high),
        )


def apply_budget(budget: PixelBudget, native: PixelLimits, token_side_px: int) -> PixelLimits:
    """Return the limits that a budget sets; a limit that it leaves open is the checkpoint's.

    A limit of the user wins over the checkpoint's other limit: a `max_tokens` below the
    checkpoint's minimum lowers that minimum.
    """
    token_area = token_side_px**2
    low = _first(budget.min_pixels, _scaled(budget.min_tokens, token_area))
    high = _first(budget.max_pixels, _scaled(budget.max_tokens, token_area))
    if high is None:
        high = max(native.max_pixels, low or 0)
    if low is None:
        low = min(native.min_pixels, high)
    return PixelLimits(min_pixels=low, max_pixels=high, max_side_px=budget.max_long_edge_px)


def keeps_native_limits(budget: PixelBudget) -> bool:
    """True if a budget leaves all limits of one picture to the checkpoint."""
    sides = (budget.min_tokens, budget.max_tokens, budget.min_pixels, budget.max_pixels)
    return all(side is None for side in (*sides, budget.max_long_edge_px))


def total_tokens(budget: PixelBudget, token_side_px: int) -> int | None:
    """Return the most visual tokens of all pictures and frames together; None for no limit."""
    if budget.total_pixels is not None:
        return max(1, budget.total_pixels // token_side_px**2)
    return budget.total_tokens


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _scaled(tokens: int | None, token_area: int) -> int | None:
    return None if tokens is None else tokens * token_area
