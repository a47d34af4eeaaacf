"""Measures of confidences, as pure arithmetic: calibration error, Brier score, AUROC, risk.

In all functions, `confidences` are in [0, 1], `correct` is 1 for each correct answer and 0 for each
wrong one, and both have the same length, at least 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy

Numbers: TypeAlias = "numpy.ndarray[Any, numpy.dtype[numpy.float64]]"

NUM_BINS = 15
"""The number of bins in the paper that `expected_calibration_error` follows."""


@dataclass(frozen=True)
class ReliabilityBin:
    """A bin of answers with about the same confidence.

    Attributes:
        low, high: limits of the confidence.
        count: number of answers.
        confidence: their mean confidence.
        accuracy: the share of correct answers among them.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability_bins(
    confidences: Numbers, correct: Numbers, num_bins: int = NUM_BINS
) -> tuple[ReliabilityBin, ...]:
    """Group the answers by confidence in bins of equal width; empty bins are left out."""
    places = numpy.minimum((confidences * num_bins).astype(int), num_bins - 1)
    bins = []
    for place in numpy.unique(places):
        inside = places == place
        bins.append(
            ReliabilityBin(
                low=float(place) / num_bins,
                high=float(place + 1) / num_bins,
                count=int(inside.sum()),
                confidence=float(confidences[inside].mean()),
                accuracy=float(correct[inside].mean()),
            )
        )
    return tuple(bins)


def expected_calibration_error(
    confidences: Numbers, correct: Numbers, num_bins: int = NUM_BINS
) -> float:
    """Return the mean difference of accuracy and confidence over bins, weighted by their answers.

    Guo et al., "On Calibration of Modern Neural Networks", 2017 (arXiv:1706.04599), equation 3.
    """
    bins = reliability_bins(confidences, correct, num_bins)
    apart = sum(found.count * abs(found.accuracy - found.confidence) for found in bins)
    return apart / len(confidences)


def brier_score(confidences: Numbers, correct: Numbers) -> float:
    """Return the mean squared difference of confidence and outcome (Brier, 1950)."""
    return float(((confidences - correct) ** 2).mean())


def auroc(confidences: Numbers, correct: Numbers) -> float | None:
    """Return the share of pairs in which the correct answer has more confidence than the wrong one.

    Ties count half. None if all answers are correct or all are wrong. Computed by ranks (Mann and
    Whitney, 1947).
    """
    num_right = int(correct.sum())
    num_wrong = len(correct) - num_right
    if not num_right or not num_wrong:
        return None
    _, places, counts = numpy.unique(confidences, return_inverse=True, return_counts=True)
    ranks = (numpy.cumsum(counts) - (counts - 1) / 2)[places.reshape(-1)]
    rank_sum = float(ranks[correct > 0].sum())
    return (rank_sum - num_right * (num_right + 1) / 2) / (num_right * num_wrong)


def risk_coverage(confidences: Numbers, correct: Numbers) -> tuple[Numbers, Numbers]:
    """Return the risk at each coverage: the share of wrong answers among the most confident ones.

    The coverage is the share of answers that are given; the others are withheld. Answers of the
    same confidence are given or withheld together. Geifman and El-Yaniv, "Selective Classification
    for Deep Neural Networks", 2017 (arXiv:1705.08500).

    Returns:
        Coverages, rising up to 1, and the risk at each.
    """
    order = numpy.argsort(-confidences, kind="stable")
    wrong = numpy.cumsum(1 - correct[order])
    counts = numpy.arange(1, len(order) + 1)
    sorted_confidences = confidences[order]
    is_last = numpy.append(sorted_confidences[:-1] != sorted_confidences[1:], True)
    return counts[is_last] / len(order), wrong[is_last] / counts[is_last]


def precision_at(coverage: float, confidences: Numbers, correct: Numbers) -> float:
    """Return the share of correct answers among the most confident ones.

    At least the share `coverage` of all answers is given.
    """
    coverages, risks = risk_coverage(confidences, correct)
    return 1.0 - float(risks[numpy.searchsorted(coverages, coverage - 1e-9)])


def area_under_risk(confidences: Numbers, correct: Numbers) -> float:
    """Return the mean risk over all coverages (AURC); lower is better."""
    coverages, risks = risk_coverage(confidences, correct)
    return float((numpy.diff(coverages, prepend=0.0) * risks).sum())
