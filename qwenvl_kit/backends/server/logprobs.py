"""The log-probabilities in a server's answers, which may be unusable."""

from __future__ import annotations

import math

_ROUNDING = 1e-3
"""Most that a log-probability may lie above 0, by rounding in 16-bit numbers."""

UNUSABLE = "the server gave log-probabilities that are no numbers below 0: the answer has no scores"
"""The warning of an answer that has lost its scores for this reason."""


class UnusableLogprobError(Exception):
    """The value that a server gave is no log-probability."""


def as_logprob(value: object) -> float:
    """Return a log-probability: a finite number that is not above 0.

    Raises:
        UnusableLogprobError: the value is none. To replace it by the nearest log-probability would
            make an answer look more certain than the model was.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise UnusableLogprobError
    try:
        number = float(value)
    except OverflowError:  # whole numbers of JSON have any length
        raise UnusableLogprobError from None
    if not math.isfinite(number) or number > _ROUNDING:
        raise UnusableLogprobError
    return min(0.0, number)
