"""The figures of a result in words, for its table and its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from qwenvl_kit.evaluation.statistics.estimates import Estimate, estimate_metrics
from qwenvl_kit.evaluation.statistics.units import num_left_out

if TYPE_CHECKING:
    from qwenvl_kit.evaluation.items import ScoredItem
    from qwenvl_kit.evaluation.metrics import Metric
    from qwenvl_kit.evaluation.scored_run import ScoredRun

_MOST_VALUES = 60
"""The most values of a group that are shown."""


@dataclass(frozen=True)
class Line:
    """A line of a table: a metric, or a value of a group.

    Attributes:
        name: its name.
        estimate: its estimate.
        group: the name of the group; empty for a metric.
    """

    name: str
    estimate: Estimate
    group: str = ""


def lines_of(result: ScoredRun) -> list[Line]:
    """Return the metrics of a result, the strict figure beside the first, then its groups."""
    lines = [Line(name, estimate) for name, estimate in with_strict(result).items()]
    for group, values in result.by_group.items():
        shown = list(values.items())[:_MOST_VALUES]
        lines += [Line(value, estimate, group) for value, estimate in shown]
    return lines


def with_strict(result: ScoredRun) -> dict[str, Estimate]:
    """Return the estimates of a result, with a strict one where some rule of it is odd.

    A benchmark whose items have strict scores that differ from the published ones, but which names
    no strict metric, gets one after its first.
    """
    found = dict(result.estimates)
    has_strict = any(
        score.strict is not None and score.strict != score.value
        for each in result.answered
        if (score := each.score) is not None
    )
    if not has_strict or any(each.is_strict for each in result.metrics):
        return found
    strict = [replace(each, is_strict=True) for each in result.metrics]
    first = result.metrics[0].name
    beside = estimate_metrics(result.items, strict).get(first)
    if beside is None or first not in found:
        return found
    return {first: found.pop(first), f"{first}, strict": beside, **found}


def percent(value: float) -> str:
    """Return a score times 100, with one digit after the point."""
    return f"{100 * value:.1f}"


def interval_text(estimate: Estimate) -> str:
    """Return the interval of an estimate, times 100."""
    return f"[{percent(estimate.low)}, {percent(estimate.high)}]"


def items_text(estimate: Estimate) -> str:
    """Return the number of items of an estimate, with that of its units if it is another."""
    units = estimate.num_units
    return f"{estimate.num_items:,}" + (f" ({units:,})" if units != estimate.num_items else "")


def notes_of(result: ScoredRun) -> Iterator[str]:
    """Yield what a reader of the score must know: what was counted, and what was not."""
    num, answered = len(result.items), len(result.answered)
    record = result.record
    if not answered:
        yield f"none of {num:,} items was answered"
    elif result.num_failed:
        yield f"mean over {answered:,} of {num:,} items: {result.num_failed:,} failed"
    first_metric = result.metrics[0].name
    if answered and first_metric not in result.estimates:
        yield f"no unit of {first_metric} was answered, so that there is no score"
    yield from units_left_out(result.metrics, result.items, result.failed)
    if result.num_failed:
        first = result.failed[0]
        yield f"the first failure, {first.id}: {shortened(str(first.error))}"
    if record.num_all > num:
        yield f"{num:,} of {record.num_all:,} items were asked, drawn by seed {record.seed}"
    if not answered:
        return
    if result.num_unread:
        yield f"{_share(result.num_unread, answered)} could not be read, and count as wrong"
    if result.num_cut:
        yield f"{_share(result.num_cut, answered)} ended at the greatest length"
    if result.num_judged:
        judge = record.judge.get("model", "a chat")
        yield f"{_share(result.num_judged, answered)} went to a judge, {judge}"
    yield from _clusters(result)
    yield from _groups_left_out(result)


def units_left_out(
    metrics: Sequence[Metric], items: Sequence[ScoredItem], failed: Sequence[ScoredItem]
) -> Iterator[str]:
    """Yield the number of units that metrics leave out, as an item of them failed.

    Args:
        metrics: the metrics; those of units of one item are passed over.
        items: all items.
        failed: those of them that failed.
    """
    for metric in metrics if failed else ():
        if not metric.unit or metric.of:
            continue
        number, total = num_left_out(
            [each.item for each in items], [each.item for each in failed], metric
        )
        if number:
            yield (
                f"{metric.name}: {number:,} of {total:,} units are left out, as an item of them "
                "failed"
            )


def conditions_of(result: ScoredRun) -> Iterator[tuple[str, str]]:
    """Yield the conditions of a result by their names."""
    record = result.record
    yield "data", f"{record.data.get('name', '')} (SHA-256 {record.data.get('digest', '')[:12]}...)"
    yield "model", _told(record.model)
    yield "prompt", record.prompt
    yield "own prompt", record.own_prompt
    yield "scorer", record.scorer
    yield "method", record.method
    yield "budget", _told(record.budget)
    if result.mean_visual_tokens is not None:
        yield "visual tokens", f"{result.mean_visual_tokens:,.0f} an item"
    yield "sampling", _told(record.sampling)
    if record.thinking is not None:
        yield "thinking", str(record.thinking)
    yield "fit", record.fit or ""
    yield "judge", _told(record.judge)
    yield "versions", _told(record.versions)
    yield "begun", record.begun
    if record.seconds is not None:
        yield "seconds", f"{record.seconds:,.1f}"


def shortened(text: str, most: int = 200) -> str:
    """Return a text with at most so many characters."""
    return text if len(text) <= most else f"{text[:most]} ..."


def _clusters(result: ScoredRun) -> Iterator[str]:
    estimate = result.estimates.get(result.metrics[0].name)
    if estimate is not None and estimate.num_clusters < estimate.num_items:
        yield (
            f"intervals by {estimate.num_clusters:,} clusters: items of one are right or wrong "
            "together"
        )


def _groups_left_out(result: ScoredRun) -> Iterator[str]:
    for group, values in result.by_group.items():
        if len(values) > _MOST_VALUES:
            yield f"{group}: {len(values) - _MOST_VALUES:,} more are in result.by_group"


def _share(number: int, of: int) -> str:
    answers = "answer" if number == 1 else "answers"
    return f"{number:,} {answers} ({number / of:.1%})"


def _told(values: Mapping[str, Any]) -> str:
    """Settings in one line; those that are not set are left out."""
    return ", ".join(
        f"{name} {value}" for name, value in values.items() if value not in (None, (), [])
    )
