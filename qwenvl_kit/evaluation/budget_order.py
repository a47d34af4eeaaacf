"""The order of the budgets of a sweep, by their limits or by the visual tokens that they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from itertools import pairwise

from qwenvl_kit.options import BudgetChoice, as_budget


def order_of_budgets(
    budgets: Sequence[BudgetChoice], tokens: Sequence[float | None], has_answers: Sequence[bool]
) -> list[int] | None:
    """Return the places of budgets, the smallest first; None if their order is not known.

    A budget is smaller if each of its limits is: it then costs fewer visual tokens, or as many, for
    each picture. A limit that is open is the checkpoint's own, which may be below or above another.
    Where limits have no order, that of the visual tokens is taken: these are means over the items
    that were answered, which may be others at each budget.

    Args:
        budgets: the budgets.
        tokens: the visual tokens of an item, on average, at each budget; None where no reply tells.
        has_answers: True for each budget at which an item was answered; the others come first in an
            order by visual tokens.
    """
    limits = [astuple(as_budget(each)) for each in budgets]
    shown = [[-1 if limit is None else limit for limit in each] for each in limits]
    places = sorted(range(len(budgets)), key=shown.__getitem__)
    if all(_is_smaller(limits[one], limits[other]) for one, other in pairwise(places)):
        return places
    if any(each is None for each, is_told in zip(tokens, has_answers, strict=True) if is_told):
        return None
    return sorted(range(len(budgets)), key=lambda at: tokens[at] or 0.0)


def _is_smaller(limits: Sequence[int | None], others: Sequence[int | None]) -> bool:
    """True if no limit is above the other one."""
    return all(
        limit == other if limit is None or other is None else limit <= other
        for limit, other in zip(limits, others, strict=True)
    )
