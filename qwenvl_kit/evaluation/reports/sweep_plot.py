"""The plot of a sweep, by matplotlib."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qwenvl_kit.display.figures import new_figure
from qwenvl_kit.errors import EvaluationError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE, _INTERVAL = "#4363d8", "#b9c4e8"
_LABELS = {
    "visual_tokens": "visual tokens of an item, on average",
    "seconds_per_item": "seconds of an item, on average",
}
_WIDE = 10.0
"""The axis is logarithmic if its largest value is more than so many times the smallest."""


def plot_sweep(
    name: str,
    rows: Sequence[Mapping[str, Any]],
    *,
    against: str,
    ax: Axes | None,
    path: str | os.PathLike[str] | None,
) -> Figure:
    """Plot the rows of a sweep; see `SweepResult.plot`."""
    if against not in _LABELS:
        raise EvaluationError(
            f"against={against!r} was given", expected=f"one of {', '.join(map(repr, _LABELS))}"
        )
    known = [row for row in rows if row[against] is not None and row["score"] is not None]
    if not known:
        raise EvaluationError(
            f"no run tells its {against}",
            expected="a run with answers, asked by a chat in this sweep",
        )
    known.sort(key=lambda row: row[against])
    axes: Axes = new_figure(8, 4.5, extra="evaluation").subplots() if ax is None else ax
    at = [row[against] for row in known]
    scores = [100 * row["score"] for row in known]
    below = [100 * (row["score"] - row["low"]) for row in known]
    above = [100 * (row["high"] - row["score"]) for row in known]
    axes.errorbar(at, scores, yerr=(below, above), fmt="none", ecolor=_INTERVAL, capsize=4)
    axes.plot(at, scores, color=_LINE, marker="o", linewidth=1.8)
    for place, score, row in zip(at, scores, known, strict=True):
        is_left = row is known[0] and len(known) > 1
        axes.annotate(
            row["budget"],
            (place, score),
            xytext=(6, 6) if is_left else (-6, 6),
            textcoords="offset points",
            ha="left" if is_left else "right",
            fontsize=9,
        )
    axes.margins(x=0.06, y=0.12)
    axes.set(xlabel=_LABELS[against], ylabel=f"{name}, with 95% intervals")
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    if at[0] > 0 and at[-1] > _WIDE * at[0]:
        axes.set_xscale("log")
    figure: Figure = axes.figure.figure  # that of axes in a subfigure is the subfigure
    if path is not None:
        figure.savefig(os.fsdecode(path), dpi=120)
    return figure
