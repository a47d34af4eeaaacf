"""Means of numbers of any range, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.statistics.estimates import Estimate
from qwenvl_kit.evaluation.statistics.quantiles import student_quantile


def estimate_mean(values: Sequence[float], *, level: float = 0.95) -> Estimate:
    """Return the mean of numbers with its interval by Student's t (Student, Biometrika 6, 1908).

    The numbers may have any range, unlike scores; of one number the interval is that number.

    Args:
        values: independent numbers.
        level: the level of the interval, in (0, 1).

    Raises:
        EvaluationError: there are none.
    """
    if not values:
        raise EvaluationError("no numbers were given", expected="at least one")
    mean, number = fmean(values), len(values)
    spread = 0.0
    if number > 1:
        quantile = student_quantile((1 + level) / 2, number - 1)
        spread = quantile * stdev(values) / math.sqrt(number)
    return Estimate(mean, mean - spread, mean + spread, number, number, number)
