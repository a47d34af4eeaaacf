"""Tests of significance: McNemar's exact test, Student's, and Holm's correction for many."""

from __future__ import annotations

import math
from collections.abc import Sequence


def mcnemar(num_better: int, num_worse: int) -> float:
    """Return the p value of McNemar's exact test.

    If two models are equally good, an item that only one of them answers rightly is as likely to
    be of the one as of the other. The value is the probability of a split that is at least as
    uneven. McNemar, "Note on the sampling error of the difference between correlated proportions
    or percentages", Psychometrika 12, 1947; exact by the binomial distribution.

    Args:
        num_better: the number of items that became right.
        num_worse: the number of items that became wrong.
    """
    total, fewer = num_better + num_worse, min(num_better, num_worse)
    ways = term = 1
    for at in range(1, fewer + 1):
        term = term * (total - at + 1) // at
        ways += term
    return 1.0 if 2 * fewer == total else min(1.0, 2 * ways / 2**total)


def student_p_value(statistic: float, degrees: int) -> float:
    """Return the two-sided p value of Student's t.

    Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, formulas 26.7.3 and 26.7.4,
    which are exact for whole degrees of freedom.

    Args:
        statistic: the difference divided by its standard error.
        degrees: the degrees of freedom, at least 1.
    """
    angle = math.atan(abs(statistic) / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    is_odd = degrees % 2 == 1
    term = cosine if is_odd else 1.0
    total = 0.0 if degrees == 1 else term
    for at in range(3 if is_odd else 2, degrees - 1, 2):
        term *= (at - 1) / at * cosine * cosine
        total += term
    inside = 2 / math.pi * (angle + sine * total) if is_odd else sine * total
    return min(1.0, max(0.0, 1.0 - inside))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values of several tests, corrected for their number.

    Among 20 differences of nothing one is expected below .05. Of the corrected values that is so
    for any of them in at most 5% of cases. Holm, "A simple sequentially rejective multiple test
    procedure", Scandinavian Journal of Statistics 6, 1979.

    Args:
        p_values: the p values.

    Returns:
        The corrected values, in the order of the given ones.
    """
    corrected = [1.0] * len(p_values)
    highest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[at]))
        corrected[at] = highest
    return corrected
