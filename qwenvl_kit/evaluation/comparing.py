"""Comparisons of two runs on the same items."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, Union

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.comparable import check_comparable, differing_conditions, shown
from qwenvl_kit.evaluation.items import ScoredItem
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.reports.figures import units_left_out
from qwenvl_kit.evaluation.result import EvaluationResult, load_result
from qwenvl_kit.evaluation.scored_run import headline_of
from qwenvl_kit.evaluation.statistics.estimates import ROUNDS
from qwenvl_kit.evaluation.statistics.paired import PairedDifference, paired_differences
from qwenvl_kit.evaluation.statistics.significance import holm
from qwenvl_kit.safe_text import escaped
from qwenvl_kit.tables import Table

ResultSource: TypeAlias = Union[EvaluationResult, str, "os.PathLike[str]"]
"""A result, or the path of a saved one."""

_MOST_CHANGED = 5
"""The most changed items of each way that the text of a comparison shows."""


@dataclass(frozen=True)
class ChangedItem:
    """An item whose score differs between two runs.

    Attributes:
        first, second: the item with its answer in the first and in the second run.
    """

    first: ScoredItem
    second: ScoredItem

    @property
    def id(self) -> str:
        """The id of the item."""
        return self.first.id

    @property
    def change(self) -> float:
        """The second score minus the first, in [-1, 1]."""
        return _value(self.second) - _value(self.first)

    def __str__(self) -> str:
        answers = f"{shown(self.first.answer)} -> {shown(self.second.answer)}"
        return f"{escaped(self.id)}: {answers} ({100 * self.change:+.0f})"


@dataclass(frozen=True)
class RunComparison:
    """The comparison of two runs on the same items. `print(comparison)` shows its table.

    Differences are those of the second run from the first.

    Attributes:
        name: the name of the benchmark.
        first, second: the results.
        differences: the difference of each metric, by its name.
        by_group: the difference of the first metric for each value of each group.
        better, worse: the items whose score is higher, and lower, in the second run; the greatest
            changes first.
        num_compared: the number of items that both runs answered.
        num_left_out: the number of items that failed in one of them or in both.
        notes: the conditions that differ between the runs.
    """

    name: str
    first: EvaluationResult
    second: EvaluationResult
    differences: Mapping[str, PairedDifference]
    by_group: Mapping[str, Mapping[str, PairedDifference]]
    better: tuple[ChangedItem, ...]
    worse: tuple[ChangedItem, ...]
    num_compared: int
    num_left_out: int
    notes: tuple[str, ...]

    @property
    def difference(self) -> float:
        """The difference of the first metric, in [-1, 1].

        Raises:
            EvaluationError: none of its units was answered in both runs.
        """
        return self._headline.difference

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of the difference of the first metric."""
        return self._headline.low, self._headline.high

    @property
    def agreement(self) -> float:
        """The share of items that both runs score alike; `items_needed` takes it."""
        return 1 - (len(self.better) + len(self.worse)) / self.num_compared

    @property
    def is_different(self) -> bool:
        """True if the interval of the first metric's difference does not hold 0."""
        low, high = self.interval
        return not low <= 0.0 <= high

    @cached_property
    def corrected_p_values(self) -> Mapping[str, Mapping[str, float]]:
        """The p value of each value of each group, corrected for their number (Holm, 1979).

        Among 20 differences of nothing one is expected below .05; of these values it is not.
        """
        names = [(group, value) for group, values in self.by_group.items() for value in values]
        corrected = holm([self.by_group[group][value].p_value for group, value in names])
        found: dict[str, dict[str, float]] = {group: {} for group in self.by_group}
        for (group, value), p_value in zip(names, corrected, strict=True):
            found[group][value] = p_value
        return found

    def table(self) -> Table:
        """Return the table of metrics, groups and notes; scores are times 100."""
        headings = (self.name, "first", "second", "difference", "p", "better", "worse", "items")
        rows = [_row(name, each, each.p_value) for name, each in self.differences.items()]
        for group, values in self.by_group.items():
            rows += [
                _row(f"  {group}: {value}", each, self.corrected_p_values[group][value])
                for value, each in values.items()
            ]
        return Table(headings, rows, list(self._notes()))

    def __str__(self) -> str:
        return self.table().to_text()

    def _repr_html_(self) -> str:
        return self.table().to_html()

    @property
    def _headline(self) -> PairedDifference:
        return headline_of(self.differences, self.first.metrics)

    def _notes(self) -> Iterator[str]:
        headline = self.first.metrics[0].name
        if headline not in self.differences:
            yield f"no unit of {headline} was answered in both runs: there is no difference of it"
        elif self.is_different:
            yield "the interval of the difference does not hold 0"
        else:
            yield (
                "the interval of the difference holds 0: these items cannot tell the two apart; "
                "items_needed tells how many would"
            )
        if self.num_left_out:
            total = self.num_compared + self.num_left_out
            yield (
                f"{self.num_left_out:,} of {total:,} items failed in one of the runs and are in "
                "no mean"
            )
            failed = [*self.first.failed, *self.second.failed]
            yield from units_left_out(self.first.metrics, self.first.items, failed)
        if num_values := sum(map(len, self.by_group.values())):
            yield f"p of groups is corrected for {num_values:,} of them (Holm)"
        yield from self.notes
        for name, changed in (("better", self.better), ("worse", self.worse)):
            yield from (f"{name}: {each}" for each in changed[:_MOST_CHANGED])
            if len(changed) > _MOST_CHANGED:
                yield f"{name}: {len(changed) - _MOST_CHANGED:,} more"


@explains_wrong_arguments
def compare_runs(
    a: ResultSource,
    b: ResultSource,
    *,
    level: float = 0.95,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> RunComparison:
    """Compare two runs on the same items, item by item.

        before, after = evaluate(chat, benchmark), evaluate(quantised, benchmark)
        print(compare_runs(before, after))
        print(compare_runs("before/result.json", "after/result.json"))

    Most of what makes scores vary is items that are hard or easy for both, which a comparison item
    by item leaves out: it sees differences that two intervals do not. Items that failed in one of
    the runs are left out and counted, and so are units of several items of which one failed.

    Args:
        a: the first run, or the path of a saved one.
        b: the second run, or the path of a saved one.
        level: the level of the intervals, in (0, 1).
        rounds: the number of samples of the bootstrap, at least 100.
        seed: the seed of the draws.

    Raises:
        EvaluationError: the runs are of other data, prompts, items, scorers or metrics, or no
            item was answered in both; the error says what differs.
    """
    first, second = _result(a, "a"), _result(b, "b")
    check_comparable(first, second)
    settings = {"level": level, "rounds": rounds, "seed": seed}
    ours, theirs = _both_answered(first, second)
    differences = paired_differences(first.items, second.items, first.metrics, **settings)  # type: ignore[arg-type]
    changed = [
        ChangedItem(one, other)
        for one, other in zip(ours, theirs, strict=True)
        if _value(one) != _value(other)
    ]
    return RunComparison(
        name=first.name,
        first=first,
        second=second,
        differences=differences,
        by_group=_by_group(first.items, second.items, first.metrics, settings),
        better=tuple(sorted((c for c in changed if c.change > 0), key=lambda c: -c.change)),
        worse=tuple(sorted((c for c in changed if c.change < 0), key=lambda c: c.change)),
        num_compared=len(ours),
        num_left_out=len(first.items) - len(ours),
        notes=tuple(differing_conditions(first, second)),
    )


def _result(source: object, name: str) -> EvaluationResult:
    if isinstance(source, EvaluationResult):
        return source
    if isinstance(source, (str, os.PathLike)):
        return load_result(source)
    raise EvaluationError(
        f"{name} is of type {type(source).__name__}",
        expected="an EvaluationResult, or the path of a saved one",
    )


def _both_answered(
    first: EvaluationResult, second: EvaluationResult
) -> tuple[list[ScoredItem], list[ScoredItem]]:
    """The items that both runs answered, in the order of the data."""
    pairs = [
        (one, other)
        for one, other in zip(first.items, second.items, strict=True)
        if not one.is_failed and not other.is_failed
    ]
    if not pairs:
        raise EvaluationError(
            f"none of {len(first.items):,} items was answered in both runs",
            expected="at least one",
            hint="result.failed has the errors",
        )
    ours, theirs = zip(*pairs)
    return list(ours), list(theirs)


def _by_group(
    ours: Sequence[ScoredItem],
    theirs: Sequence[ScoredItem],
    metrics: Sequence[Metric],
    settings: Mapping[str, Any],
) -> dict[str, dict[str, PairedDifference]]:
    """The difference of the first metric for each value of each group."""
    found: dict[str, dict[str, PairedDifference]] = {}
    values = {
        (name, value)
        for each in ours
        for name in each.item.group_names
        for value in each.item.values_of(name)
    }
    for name, value in sorted(values):
        kept = [at for at, each in enumerate(ours) if value in each.item.values_of(name)]
        part = paired_differences(
            [ours[at] for at in kept], [theirs[at] for at in kept], metrics, **settings
        )
        if metrics[0].name in part:
            found.setdefault(name, {})[value] = part[metrics[0].name]
    return found


def _row(name: str, found: PairedDifference, p_value: float) -> tuple[str, ...]:
    return (
        shown(name) if name.strip() == name else f"  {shown(name.strip())}",
        f"{100 * found.first:.1f}",
        f"{100 * found.second:.1f}",
        str(found),
        f"{p_value:.3f}" if p_value >= 0.001 else "<.001",
        f"{found.num_better:,}",
        f"{found.num_worse:,}",
        f"{found.num_units:,}",
    )


def _value(found: ScoredItem) -> float:
    return 0.0 if found.score is None else found.score.value
