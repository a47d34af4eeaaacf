"""Curves from a signal to the share of correct answers: their fit."""

from __future__ import annotations

import math

import numpy

from qwenvl_kit.calibration.measures import Numbers
from qwenvl_kit.errors import MissingPackageError

_LEAST = 1e-6
"""The least probability, so that its logarithm is finite."""


def rising(signals: Numbers, outcomes: Numbers) -> tuple[tuple[float, float], ...]:
    """Return the points of the curve that never falls and fits best (Zadrozny and Elkan, 2002).

    Raises:
        MissingPackageError: scikit-learn is not installed.
    """
    try:
        from sklearn.isotonic import IsotonicRegression
    except ImportError as error:
        raise MissingPackageError(
            "scikit-learn, which fits the curve, is not installed",
            hint="pip install 'qwenvl-kit[calibration]', or method='temperature'",
        ) from error
    curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(signals, outcomes)
    return tuple(zip(curve.X_thresholds_.tolist(), curve.y_thresholds_.tolist()))


def best_temperature(signals: Numbers, outcomes: Numbers) -> float:
    """Return the temperature that makes the outcomes most likely: a search with halved steps."""
    logits = logits_of(signals)

    def loss(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        return float(numpy.logaddexp(0.0, numpy.where(outcomes > 0, -scaled, scaled)).mean())

    best, step = 0.0, 1.0
    while step > 1e-4:
        near = min((best - step, best + step), key=loss)
        if loss(near) < loss(best) and abs(near) < 6:
            best = near
        else:
            step /= 2
    return math.exp(best)


def logits_of(probabilities: Numbers) -> Numbers:
    """Return the logits of probabilities; of 0 and 1 they are finite."""
    inside = numpy.clip(probabilities, _LEAST, 1 - _LEAST)
    return numpy.asarray(numpy.log(inside) - numpy.log1p(-inside), numpy.float64)


def sigmoid(values: Numbers) -> Numbers:
    """Return the probabilities of logits."""
    return numpy.asarray(1 / (1 + numpy.exp(-values)), numpy.float64)
