"""How pictures share a total that is too small for all of them at their natural size."""

from __future__ import annotations

from collections.abc import Sequence

from qwenvl_kit.errors import BudgetError


def share_tokens(natural: Sequence[int], minimum: Sequence[int], total: int) -> list[int]:
    """Most tokens that each picture may take so that together they stay within the total.

    Each keeps its minimum. What is left is shared in proportion to how much more than its
    minimum each would take at its natural size, which is in proportion to area and never more
    than the picture has.

    Args:
        natural: tokens of each picture under its own budget.
        minimum: the least that each may be reduced to.
        total: tokens for all of them.

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
