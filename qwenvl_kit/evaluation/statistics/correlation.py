"""Rank correlation: agreement of two orders, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy
from numpy.typing import NDArray

from qwenvl_kit.errors import EvaluationError


@dataclass(frozen=True)
class Correlation:
    """A correlation coefficient with its 95% interval.

    Attributes:
        value: the coefficient, in [-1, 1].
        low: the lower end of the interval.
        high: the upper end of the interval.
        num_pairs: the number of pairs.
    """

    value: float
    low: float
    high: float
    num_pairs: int

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> Correlation:
    """Return Spearman's rank correlation of two lists of numbers, ties at their mean rank.

    The interval is Fisher's with the variance (1 + r^2 / 2) / (n - 3) of Bonett and Wright (2000),
    "Sample size requirements for estimating Pearson, Kendall and Spearman correlations".

    Args:
        first: numbers.
        second: as many numbers.

    Raises:
        EvaluationError: there are fewer than four pairs, or all numbers of a list are the same.
    """
    if len(first) != len(second) or len(first) < 4:
        raise EvaluationError(
            f"{len(first)} and {len(second)} numbers were given",
            expected="two lists of one length, four numbers or more",
        )
    x, y = (_ranks(numpy.asarray(values, numpy.float64)) for values in (first, second))
    if not (numpy.ptp(x) and numpy.ptp(y)):
        raise EvaluationError(
            "all numbers of a list are the same", expected="numbers that differ, to be ordered"
        )
    value = float(numpy.clip(numpy.corrcoef(x, y)[0, 1], -1.0, 1.0))
    if abs(value) == 1.0:
        return Correlation(value, value, value, len(first))
    spread = math.sqrt((1 + value**2 / 2) / (len(first) - 3)) * NormalDist().inv_cdf(0.975)
    middle = math.atanh(value)
    low, high = math.tanh(middle - spread), math.tanh(middle + spread)
    return Correlation(value, low, high, len(first))


def _ranks(values: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    """The rank of each value, from 1; equal values have the mean of their ranks."""
    _, places, counts = numpy.unique(values, return_inverse=True, return_counts=True)
    ends = numpy.cumsum(counts)
    means: NDArray[numpy.float64] = (ends - (counts - 1) / 2.0)[places.reshape(-1)]
    return means
