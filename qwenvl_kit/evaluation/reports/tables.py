"""The table of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qwenvl_kit.evaluation.reports.figures import (
    Line,
    interval_text,
    items_text,
    lines_of,
    notes_of,
    percent,
    shortened,
)
from qwenvl_kit.tables import Table

if TYPE_CHECKING:
    from qwenvl_kit.evaluation.scored_run import ScoredRun

_MOST_CHARACTERS = 60
"""The most characters of a name."""


def result_table(result: ScoredRun) -> Table:
    """Return the table of a result: metrics, groups, and what was not counted.

    Scores are times 100, each with its 95% interval. If a metric counts units of several items,
    their number stands beside that of the items.
    """
    return Table(
        (result.name, "score", "95% interval", "items"),
        [_row(line) for line in lines_of(result)],
        list(notes_of(result)),
    )


def _row(line: Line) -> tuple[str, ...]:
    estimate = line.estimate
    name = f"  {line.group}: {line.name}" if line.group else line.name
    return (
        shortened(name, _MOST_CHARACTERS),
        percent(estimate.value),
        interval_text(estimate),
        items_text(estimate),
    )
