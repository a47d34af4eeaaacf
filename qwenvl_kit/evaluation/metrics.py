"""Metrics: how scores of items make the figure that a benchmark reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A figure of a benchmark.

    A metric is a mean over units. A unit is one item, or several that belong together and count
    only if all of them are right, as HallusionBench and circular MMBench have it.

        Metric(name="accuracy")
        Metric(name="qAcc", unit=("category", "set", "question"))   # facts of the items
        Metric(name="mean", of=("aAcc", "fAcc", "qAcc"))            # a mean of other metrics

    Attributes:
        name: its name, as the publication has it.
        unit: the facts or groups of items whose values together name a unit; its value is the least
            score of its items. An item with None for one of these facts is left out of the metric.
            Empty for a mean over items.
        over: a group: the metric is then the mean of the means of its values, so that each counts
            alike, however many items it has. None for the mean over all units.
        of: the names of other metrics of the benchmark, whose mean it is.
        is_strict: True if it takes the strict score of items that have one.
        source: the publication of the rule.
    """

    name: str
    unit: Sequence[str] = ()
    over: str | None = None
    of: Sequence[str] = ()
    is_strict: bool = False
    source: str = ""


ACCURACY = Metric(name="accuracy")
"""The mean score of all items."""
