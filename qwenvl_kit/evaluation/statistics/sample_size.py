"""The number of items that a difference needs to be seen."""

from __future__ import annotations

import math

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.statistics.quantiles import normal_quantile


@explains_wrong_arguments
def items_needed(
    difference: float,
    *,
    score: float = 0.5,
    agreement: float = 0.8,
    power: float = 0.8,
    level: float = 0.95,
    paired: bool = True,
    mean_cluster_size: float = 1.0,
    icc: float = 0.0,
) -> int:
    """Return the number of items that a comparison needs to see a difference of two scores.

        items_needed(0.02)                   # 2 points, both models on the same items: 3,923
        items_needed(0.02, agreement=0.95)   # a quantised model, which answers most alike: 979
        items_needed(0.02, paired=False)     # each model on items of its own: 9,806

    With fewer items a real difference of this size will often be inside the interval, so that the
    comparison says nothing. The formulas are for answers that are right or wrong:

        paired:    n = (z1 * sqrt(d) + z2 * sqrt(d - difference**2))**2 / difference**2
        unpaired:  n = (z1 * sqrt(2 * p * (1 - p)) + z2 * sqrt(p1 * (1 - p1) + p2 * (1 - p2)))**2
                       / difference**2

    with d = 1 - agreement, p1 and p2 the two scores, p their mean, and z1 and z2 the quantiles of
    the normal distribution for level and power. The first is from Connor, "Sample size for testing
    differences in proportions for the paired-sample design", Biometrics 43, 1987; the second from
    Fleiss, Levin and Paik, "Statistical Methods for Rates and Proportions", 3rd edition, 2003,
    section 4.2. For clusters both are multiplied by 1 + (mean_cluster_size - 1) * icc (Kish,
    "Survey Sampling", 1965).

    Args:
        difference: the difference to see, as a share: 0.02 is 2 points of 100. Its sign does not
            matter.
        score: the score of one of the models, in [0, 1]; the other's is higher by the difference,
            or lower if there is no room. The number is largest at 0.5. It matters only if
            `paired=False`.
        agreement: the share of items which both models answer rightly, or both wrongly. Two runs on
            some items tell it (`RunComparison.agreement`): two models of different families agree
            on .7 to .8 of items, a model and its quantised form on .9 and more. It matters only
            if `paired=True`.
        power: the probability of seeing the difference if it is there: with 0.8, one real
            difference of five is missed.
        level: the level of the interval which is not to hold 0: with 0.95, a difference is seen in
            one of twenty comparisons of models that are equally good.
        paired: True if both models answer the same items, which needs far fewer: most of what
            makes scores vary is items that are hard or easy for both.
        mean_cluster_size: the mean number of items that share a picture, document or film.
        icc: the intraclass correlation: how far items of one cluster are right or wrong together,
            from 0 (like any others) to 1 (all alike). If they are paired, that of the changes,
            which is smaller than that of the scores.

    Raises:
        EvaluationError: an argument is out of its range, or the models agree on so many items that
            their scores cannot differ so much.
    """
    size = abs(difference)
    _check_share("difference", size)
    for name, value in (("power", power), ("level", level)):
        _check_share(name, value)
    for name, value in (("score", score), ("agreement", agreement), ("icc", icc)):
        _check_closed(name, value)
    if not mean_cluster_size >= 1.0 or math.isinf(mean_cluster_size):
        raise EvaluationError(
            f"mean_cluster_size={mean_cluster_size!r} was given", expected="1 or more items"
        )
    quantiles = normal_quantile((1 + level) / 2), normal_quantile(power)
    alone = _paired(size, agreement, *quantiles) if paired else _unpaired(size, score, *quantiles)
    return math.ceil(alone * (1 + (mean_cluster_size - 1) * icc) - 1e-9)


def _paired(difference: float, agreement: float, level: float, power: float) -> float:
    changed = 1 - agreement
    if difference > changed + 1e-12:
        raise EvaluationError(
            f"difference={difference:g} and agreement={agreement:g} were given: scores of models "
            f"that agree on {agreement:.0%} of items differ by at most {changed:g}",
            expected="a smaller difference, or a smaller agreement",
        )
    inside = max(0.0, changed - difference**2)
    return (level * math.sqrt(changed) + power * math.sqrt(inside)) ** 2 / difference**2


def _unpaired(difference: float, score: float, level: float, power: float) -> float:
    other = score + difference if score + difference <= 1 else score - difference
    if other < 0:
        raise EvaluationError(
            f"score={score:g} and difference={difference:g} were given: the other score would be "
            "neither below 1 nor above 0",
            expected="a smaller difference",
        )
    mean = (score + other) / 2
    apart = level * math.sqrt(2 * mean * (1 - mean))
    within = power * math.sqrt(score * (1 - score) + other * (1 - other))
    return (apart + within) ** 2 / difference**2


def _check_share(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise EvaluationError(f"{name}={value!r} was given", expected="a share above 0 and below 1")


def _check_closed(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise EvaluationError(f"{name}={value!r} was given", expected="a share from 0 to 1")
