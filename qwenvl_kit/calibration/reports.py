"""Calibration reports: measures of confidences as numbers, as a table and as a plot."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy

from qwenvl_kit.calibration.measures import (
    Numbers,
    ReliabilityBin,
    area_under_risk,
    auroc,
    brier_score,
    expected_calibration_error,
    precision_at,
    reliability_bins,
    risk_coverage,
)
from qwenvl_kit.calibration.signals import outcomes_of, signals_of
from qwenvl_kit.display.figures import new_figure
from qwenvl_kit.errors import CalibrationError
from qwenvl_kit.tables import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from typing_extensions import Self

_SHOWN_COVERAGES = (1.0, 0.9, 0.75, 0.5)


@dataclass(frozen=True)
class CalibrationReport:
    """The quality of confidences on known answers. `print(report)` shows a table.

    Attributes:
        confidences: confidence of each answer, in [0, 1].
        correct: True for each correct answer, False for each wrong one.
        ece: expected calibration error over 15 bins (Guo et al., 2017); 0 is perfect.
        brier: mean squared difference of confidence and outcome; 0 is perfect.
        auroc: share of pairs in which the correct answer has more confidence than the wrong one; 1
            is perfect, 0.5 is chance. None if all answers are correct or all are wrong.
        aurc: mean share of wrong answers over all coverages; lower is better.
        accuracy: share of correct answers.
    """

    confidences: tuple[float, ...]
    correct: tuple[bool, ...]
    ece: float
    brier: float
    auroc: float | None
    aurc: float
    accuracy: float

    @classmethod
    def of(cls, confidences: Iterable[float], correct: Iterable[bool | float]) -> Self:
        """Build the report of confidences and outcomes.

        Raises:
            CalibrationError: there are none, their numbers differ, or one is out of range.
        """
        values = signals_of((float(value) for value in confidences), "mean")
        outcomes = outcomes_of(correct, len(values))
        if not len(values):
            raise CalibrationError("no answers were given", expected="at least one")
        return cls(
            confidences=tuple(values.tolist()),
            correct=tuple(bool(outcome) for outcome in outcomes),
            ece=expected_calibration_error(values, outcomes),
            brier=brier_score(values, outcomes),
            auroc=auroc(values, outcomes),
            aurc=area_under_risk(values, outcomes),
            accuracy=float(outcomes.mean()),
        )

    @property
    def bins(self) -> tuple[ReliabilityBin, ...]:
        """The answers grouped by confidence, in 15 bins."""
        return reliability_bins(*self._arrays())

    @property
    def risk_coverage(self) -> tuple[tuple[float, float], ...]:
        """(coverage, risk) pairs: the share of answers given, and the share of wrong ones in it."""
        coverages, risks = risk_coverage(*self._arrays())
        return tuple(zip(coverages.tolist(), risks.tolist()))

    def precision_at(self, coverage: float) -> float:
        """Return the share of correct answers if only the most confident ones are given.

        Args:
            coverage: the least share of all answers to give, above 0 and up to 1.

        Raises:
            CalibrationError: the coverage is out of range.
        """
        if not 0.0 < coverage <= 1.0:
            raise CalibrationError(f"coverage={coverage!r} was given", expected="above 0, up to 1")
        return precision_at(coverage, *self._arrays())

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Plot reliability and risk by coverage, side by side.

        Args:
            path: file to save the plot to; None saves nothing.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        figure = new_figure(9, 4, extra="calibration")
        left, right = figure.subplots(1, 2)
        bins = self.bins
        width = 1 / 15
        left.bar(
            [(found.low + found.high) / 2 for found in bins],
            [found.accuracy for found in bins],
            width=width * 0.92,
            color="#4363d8",
            label="share of correct answers",
        )
        left.plot([0, 1], [0, 1], color="#555555", linestyle="--", label="perfect calibration")
        left.set(xlabel="confidence", ylabel="correct", xlim=(0, 1), ylim=(0, 1))
        left.set_title(f"ECE {self.ece:.3f}, Brier {self.brier:.3f}")
        left.legend(loc="upper left", frameon=False)
        right.plot(*zip(*self.risk_coverage), color="#e6194b")
        right.set(xlabel="coverage, most confident first", ylabel="share of wrong answers")
        right.set(xlim=(0, 1), ylim=(0, None))
        known = "" if self.auroc is None else f"AUROC {self.auroc:.3f}, "
        right.set_title(f"{known}{len(self.correct):,} answers")
        if path is not None:
            figure.savefig(os.fsdecode(path), dpi=120)
        return figure

    def __str__(self) -> str:
        return self._table().to_text()

    def _repr_html_(self) -> str:
        return self._table().to_html()

    def _table(self) -> Table:
        rows = [
            ("answers", f"{len(self.correct):,}"),
            ("correct", f"{self.accuracy:.3f}"),
            ("ECE", f"{self.ece:.3f}"),
            ("Brier", f"{self.brier:.3f}"),
            ("AUROC", "-" if self.auroc is None else f"{self.auroc:.3f}"),
            ("AURC", f"{self.aurc:.3f}"),
        ]
        rows += [
            (f"correct in the most confident {coverage:.0%}", f"{self.precision_at(coverage):.3f}")
            for coverage in _SHOWN_COVERAGES[1:]
        ]
        return Table(("measure", "value"), rows, [])

    def _arrays(self) -> tuple[Numbers, Numbers]:
        return numpy.array(self.confidences), numpy.array(self.correct, numpy.float64)
