"""Signals: the raw confidence of a reply, before it is calibrated."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, Union

import numpy

from qwenvl_kit.calibration.measures import Numbers
from qwenvl_kit.errors import CalibrationError
from qwenvl_kit.results import Reply

Signal: TypeAlias = Literal["product", "mean", "minimum"]
"""The number that is made of the probabilities of a reply's tokens, its end token included: their
product, which is the probability of the whole answer; their geometric mean, which is
`Reply.raw_confidence`; or their minimum."""

SIGNALS: tuple[Signal, ...] = ("product", "mean", "minimum")

Scored: TypeAlias = Union[Reply, float]
"""A reply, or a confidence in [0, 1], such as that of a field or a box."""


def signal_of(scored: Scored, signal: Signal) -> float | None:
    """Return the signal of a reply, in [0, 1]; None without scores."""
    if not isinstance(scored, Reply):
        return float(scored)
    logprobs = [score.logprob for score in scored.scores]
    if not logprobs:
        return None
    total = {
        "product": sum(logprobs),
        "mean": sum(logprobs) / len(logprobs),
        "minimum": min(logprobs),
    }[signal]
    return min(1.0, math.exp(total))


def signals_of(scored: Iterable[Scored], signal: Signal) -> Numbers:
    """Return the signals of replies, as an array.

    Raises:
        CalibrationError: one of them has no scores, or is not in [0, 1].
    """
    found = []
    for index, item in enumerate(scored):
        value = signal_of(item, signal) if _is_scored(item) else None
        if value is None or not 0.0 <= value <= 1.0:
            raise CalibrationError(
                f"{_shown(item)} was given",
                expected="a reply with scores, or a confidence in [0, 1]",
                where=f"replies[{index}]",
            )
        found.append(value)
    return numpy.array(found, numpy.float64)


def outcomes_of(correct: Iterable[Any], count: int) -> Numbers:
    """Return the outcomes as an array of 1 (correct) and 0 (wrong).

    Raises:
        CalibrationError: one of them is something else, or their number is not `count`.
    """
    outcomes = list(correct)
    if len(outcomes) != count:
        raise CalibrationError(
            f"{count} replies and {len(outcomes)} outcomes were given",
            expected="one outcome per reply",
        )
    for index, outcome in enumerate(outcomes):
        if not (isinstance(outcome, (bool, numpy.bool_)) or outcome in (0, 1)):
            raise CalibrationError(
                f"{outcome!r} was given", expected="True or False", where=f"correct[{index}]"
            )
    return numpy.array(outcomes, numpy.float64)


def _is_scored(item: object) -> bool:
    is_number = isinstance(item, (int, float, numpy.floating)) and not isinstance(item, bool)
    return isinstance(item, Reply) or is_number


def _shown(item: object) -> str:
    return "a reply without scores" if isinstance(item, Reply) else repr(item)
