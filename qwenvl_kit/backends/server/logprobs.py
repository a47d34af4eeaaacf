"""Log-probabilities as servers write them."""

from __future__ import annotations

import math

_ROUNDING = 1e-3
"""How far above 0 one may lie that was computed in numbers of 16 bits."""

UNUSABLE = "the server gave log-probabilities that are no numbers below 0: the answer has no scores"
"""What is told of an answer that has lost its scores by them."""


class UnusableLogprobError(Exception):
    """A server gave something else in place of a log-probability."""


def as_logprob(value: object) -> float:
    """A log-probability: finite, and not above 0.

    Raises:
        UnusableLogprobError: it is none. Set to the nearest that is one, it would make an answer
            look surer than the model was.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UnusableLogprobError
    try:
        number = float(value)
    except OverflowError:  # JSON has whole numbers of any length
        raise UnusableLogprobError from None
    if not math.isfinite(number) or number > _ROUNDING:
        raise UnusableLogprobError
    return min(0.0, number)
