"""Visual tokens: the number of a picture, and the share of each picture in a total."""

from __future__ import annotations

from collections.abc import Sequence

from qwenvl_kit.errors import BudgetError
from qwenvl_kit.geometry import Size


def count_tokens(size: Size, token_side_px: int) -> int:
    """Count the visual tokens of a picture, or of one group of frames, at its resized size."""
    return (size.height_px // token_side_px) * (size.width_px // token_side_px)


def share_tokens(natural: Sequence[int], minimum: Sequence[int], total: int) -> list[int]:
    """Return the most tokens of each picture, so that all together stay within the total.

    Each picture keeps its minimum. The rest is shared in proportion to the tokens that each would
    take above its minimum at its natural size: this is proportional to area, and no picture gets
    more than its natural size.

    Args:
        natural: tokens of each picture under its own budget.
        minimum: least tokens of each picture.
        total: tokens for all pictures together.

    Raises:
        BudgetError: the minimums alone are more than the total.
    """
    if sum(natural) <= total:
        return list(natural)
    floors = [min(low, high) for low, high in zip(minimum, natural)]
    spare = total - sum(floors)
    if spare < 0:
        raise BudgetError(
            f"total_tokens={total} is less than the {sum(floors)} that the pictures need at least",
            hint="raise total_tokens, lower min_tokens, or send fewer pictures or frames",
        )
    wishes = [high - low for low, high in zip(floors, natural)]
    return [low + spare * wish // sum(wishes) for low, wish in zip(floors, wishes)]
