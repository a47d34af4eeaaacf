"""The plot of losses, by matplotlib."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy
from numpy.typing import NDArray

from qwenvl_kit.display.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Numbers: TypeAlias = NDArray[numpy.float64]

_RAW, _SMOOTH, _VALIDATION, _BEST = "#b9c4e8", "#4363d8", "#e6194b", "#800020"

_LOGARITHMIC_FALL = 20.0
"""The axis is logarithmic if the loss falls to less than one part in so many of the highest."""

_WINDOWS = 25
"""The smoothed line is a mean over a window; so many of them make the whole training."""

_MOST_POINTS = 2000
"""The most points of the raw line; of more steps the extremes of each bucket are drawn."""

_FEW_POINTS = 60
"""Up to so many steps are marked by points: a line through one step would not be seen."""


@dataclass(frozen=True)
class LossCurves:
    """The points of a plot, each a step and its loss.

    Attributes:
        training: those of the training.
        validation: those of the validation.
        best: the best of the validation; None if there is none.
        unusable_step: the first step whose loss or gradient is no number; None if there is none.
    """

    training: Sequence[tuple[int, float]]
    validation: Sequence[tuple[int, float]]
    best: tuple[int, float] | None
    unusable_step: int | None


def plot_losses(curves: LossCurves, ax: Axes | None, path: str | os.PathLike[str] | None) -> Figure:
    """Plot losses; see `Losses.plot`."""
    axes: Axes = new_figure(8, 4.5, extra="training").subplots() if ax is None else ax
    steps, values = numpy.array(curves.training, numpy.float64).reshape(-1, 2).T
    usable = numpy.isfinite(values)
    finite = values[usable]
    smooth = smoothed(finite, len(finite) // _WINDOWS)
    _plot_training(axes, steps[usable], finite, smooth)
    _plot_validation(axes, curves)
    if (step := curves.unusable_step) is not None:
        axes.axvline(step, color="#555555", linestyle=":", label=f"no number from step {step:,}")
    axes.set(xlabel="step", ylabel="loss, nats per trained token")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    _scale(axes, smooth, finite)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    else:
        axes.text(0.5, 0.5, "no step was logged", ha="center", transform=axes.transAxes)
    figure: Figure = axes.figure.figure  # that of axes in a subfigure is the subfigure
    if path is not None:
        figure.savefig(os.fsdecode(path), dpi=120)
    return figure


def smoothed(values: _Numbers, window: int) -> _Numbers:
    """The mean of the values around each one; at the ends of those that there are.

    Args:
        values: numbers, each of them finite.
        window: the number of values that a mean is of, in the middle; below 2 nothing is smoothed.
    """
    if window < 2:
        return values
    total = numpy.concatenate([[0.0], numpy.cumsum(values)])
    at = numpy.arange(len(values))
    first = numpy.maximum(at - window // 2, 0)
    end = numpy.minimum(at + (window - 1) // 2 + 1, len(values))
    means: _Numbers = (total[end] - total[first]) / (end - first)
    return means


def thinned(steps: _Numbers, values: _Numbers, most: int) -> tuple[_Numbers, _Numbers]:
    """The lowest and the highest value of each of some buckets, in their order.

    Args:
        steps: the step of each value.
        values: the values.
        most: the most values to return; fewer are returned as they are.
    """
    if len(values) <= most:
        return steps, values
    buckets = numpy.array_split(numpy.arange(len(values)), most // 2)
    extremes = [(b[values[b].argmin()], b[values[b].argmax()]) for b in buckets]
    kept = numpy.unique(extremes)
    return steps[kept], values[kept]


def _plot_training(axes: Axes, steps: _Numbers, values: _Numbers, smooth: _Numbers) -> None:
    """The loss of each step, and the line through them."""
    if not len(steps):
        return
    marker = "." if len(steps) <= _FEW_POINTS else ""
    is_smoothed = smooth is not values
    color, label = (_RAW, "each step") if is_smoothed else (_SMOOTH, "training")
    raw = thinned(steps, values, _MOST_POINTS)
    axes.plot(*raw, color=color, linewidth=0.8, marker=marker, label=label)
    if is_smoothed:
        line = thinned(steps, smooth, _MOST_POINTS)
        axes.plot(*line, color=_SMOOTH, linewidth=1.8, label="training, smoothed")


def _plot_validation(axes: Axes, curves: LossCurves) -> None:
    """The losses on the validation, and a mark on the best one."""
    if not curves.validation:
        return
    axes.plot(
        *zip(*curves.validation),
        color=_VALIDATION,
        linewidth=1.0,
        marker="o",
        markersize=4,
        label="validation",
    )
    if curves.best is not None:
        step, loss = curves.best
        label = f"best: {loss:.4g} after step {step:,}"
        axes.scatter([step], [loss], s=90, facecolors="none", edgecolors=_BEST, label=label)


def _scale(axes: Axes, smooth: _Numbers, values: _Numbers) -> None:
    """A logarithmic axis where the loss falls far, and one that shows all else otherwise."""
    if len(values) and values.min() > 0 and values.max() > _LOGARITHMIC_FALL * smooth.min():
        axes.set_yscale("log")
    elif len(values) and values.min() >= 0:
        axes.set_ylim(bottom=0)
