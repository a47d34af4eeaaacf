"""Quantiles of the normal distribution and of Student's t, and the score interval."""

from __future__ import annotations

import math
from statistics import NormalDist

_FEW_DEGREES = 2
"""Up to so many degrees of freedom Student's quantile has a closed form."""


def normal_quantile(probability: float) -> float:
    """Return the quantile of the standard normal distribution."""
    return NormalDist().inv_cdf(probability)


def student_quantile(probability: float, degrees: int) -> float:
    """Return the quantile of Student's t distribution, right to two parts in a thousand at 95%.

    For one and two degrees of freedom it is exact. Otherwise it is the series of Abramowitz and
    Stegun, "Handbook of Mathematical Functions", 1964, formula 26.7.5.

    Args:
        probability: the probability below the quantile, in (0, 1).
        degrees: the degrees of freedom, at least 1.
    """
    if degrees == 1:
        return math.tan(math.pi * (probability - 0.5))
    if degrees == _FEW_DEGREES:
        share = 2 * probability - 1
        return share * math.sqrt(2 / (1 - share * share))
    x = normal_quantile(probability)
    terms: tuple[float, ...] = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + sum(float(term / degrees**power) for power, term in enumerate(terms, start=1))


def score_interval(value: float, size: float, quantile: float) -> tuple[float, float]:
    """Return the score interval of a share, which Wilson gave in 1927.

    It does not leave [0, 1], and it is not empty where all answers are right or all are wrong.
    Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22, 1927.

    Args:
        value: the share, in [0, 1].
        size: the number of independent answers that it is a mean of.
        quantile: the quantile of the interval's level, such as 1.96.
    """
    value = min(max(value, 0.0), 1.0)
    square = quantile * quantile
    middle = (value * size + square / 2) / (size + square)
    half = quantile / (size + square) * math.sqrt(value * (1 - value) * size + square / 4)
    low = 0.0 if value == 0.0 else max(0.0, middle - half)
    return low, 1.0 if value == 1.0 else min(1.0, middle + half)
