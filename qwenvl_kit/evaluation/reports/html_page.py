"""The report of a result as one page of HTML, without anything from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.reports.figures import conditions_of, interval_text, notes_of, percent
from qwenvl_kit.evaluation.reports.page_parts import (
    confidence_plot,
    failures_list,
    item_card,
    metrics_table,
    pairs_table,
    safe,
)
from qwenvl_kit.evaluation.reports.page_style import STYLE
from qwenvl_kit.evaluation.reports.result_files import RESULT_FILES

if TYPE_CHECKING:
    from qwenvl_kit.evaluation.scored_run import ScoredRun

_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
"""The rules for browsers: no scripts, and nothing from the network."""


def write_html(result: ScoredRun, path: str | os.PathLike[str], num_hardest: int = 20) -> None:
    """Write the report of a result as one page of HTML, in one step.

    The page has no scripts and needs no network. All that a model or a file wrote is escaped, and
    pictures are drawn anew, small.

    Args:
        result: the result.
        path: the file.
        num_hardest: the most items that it shows: those of the lowest scores, the most confident
            first.

    Raises:
        EvaluationError: `num_hardest` is no whole number from 0, or the file cannot be written.
    """
    if isinstance(num_hardest, bool) or not isinstance(num_hardest, int) or num_hardest < 0:
        raise EvaluationError(
            f"num_hardest={num_hardest!r} was given", expected="a whole number, 0 or more"
        )
    page = "".join(_page(result, num_hardest))
    RESULT_FILES.write(Path(os.fsdecode(path)), page.encode("utf-8", "replace"))


def _page(result: ScoredRun, num_hardest: int) -> Iterator[str]:
    title = safe(result.name, 100)
    yield (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
    )
    yield f"<h1>{title}</h1>{_headline(result)}"
    notes = "".join(f"<li>{safe(note)}</li>" for note in notes_of(result))
    yield f"<ul>{notes}</ul>" if notes else ""
    yield metrics_table(result)
    if plot := confidence_plot(result):
        yield f"<h2>Confidence</h2>{plot}"
    if result.failed:
        yield f"<h2>Failures ({result.num_failed:,})</h2>{failures_list(result.failed)}"
    yield from _hardest(result, num_hardest)
    yield f"<h2>Conditions</h2>{pairs_table(conditions_of(result))}"
    yield "</main></body></html>\n"


def _headline(result: ScoredRun) -> str:
    model = safe(result.record.model.get("model", ""), 200)
    metric = result.metrics[0].name
    estimate = result.estimates.get(metric)
    if estimate is None:
        return f'<p class="headline">no score <small>{model}</small></p>'
    return (
        f'<p class="headline"><b>{percent(estimate.value)}</b> {interval_text(estimate)} '
        f"<small>{safe(metric, 100)}, {model}</small></p>"
    )


def _hardest(result: ScoredRun, number: int) -> Iterator[str]:
    items = result.hardest(number)
    if not items:
        return
    yield (
        f"<h2>The hardest items ({len(items):,} of {len(result.answered):,})</h2>"
        "<p>Those of the lowest scores; among these the ones of which the model was surest.</p>"
        '<section class="items">'
    )
    yield from map(item_card, items)
    yield "</section>"
