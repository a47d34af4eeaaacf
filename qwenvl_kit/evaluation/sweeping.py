"""Sweeps: the score of a benchmark against the visual tokens and the time that it costs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmark import Benchmark
from qwenvl_kit.evaluation.budget_order import order_of_budgets
from qwenvl_kit.evaluation.comparing import RunComparison, compare_runs
from qwenvl_kit.evaluation.evaluating import evaluate
from qwenvl_kit.evaluation.record import Method
from qwenvl_kit.evaluation.result import EvaluationResult
from qwenvl_kit.evaluation.statistics.paired import PairedDifference
from qwenvl_kit.evaluation.sweep_journals import journal_of, num_kept, seconds_per_item
from qwenvl_kit.options import BudgetChoice, Fit, Sampling, as_budget
from qwenvl_kit.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qwenvl_kit.chat import VisionChat


@dataclass(frozen=True)
class SweepRun:
    """A run of a sweep.

    Attributes:
        budget: the budget in words, such as "standard" or "max_tokens 512".
        result: the result.
        seconds_per_item: the seconds that an item took, of those that were asked now; None if a
            journal had all of them. Requests that run together share their time.
        against_largest: the comparison with the run of the largest budget that has answers, which
            is its first; None for that run itself, if no item was answered in both, and if nobody
            knows the largest.
    """

    budget: str
    result: EvaluationResult
    seconds_per_item: float | None
    against_largest: RunComparison | None = None


@dataclass(frozen=True)
class SweepResult:
    """The score of a benchmark with several budgets. `print(sweep)` shows its table.

    Attributes:
        name: the name of the benchmark.
        runs: the runs, those of the smallest budgets first; if nobody knows their order, as they
            were given.
    """

    name: str
    runs: tuple[SweepRun, ...]

    @cached_property
    def rows(self) -> tuple[Mapping[str, Any], ...]:
        """A dict for each run, such as `pandas.DataFrame(sweep.rows)` takes.

        The keys are budget, score, low, high, visual_tokens, seconds_per_item, difference,
        difference_low, difference_high, num_answered and num_failed; what is not known is None.
        """
        return tuple(_numbers(run) for run in self.runs)

    def table(self) -> Table:
        """Return the table of budgets; scores are times 100."""
        headings = (
            *(self.name, "score", "95% interval", "visual tokens", "seconds"),
            "against the largest",
        )
        return Table(headings, [_row(run) for run in self.runs], list(self._notes()))

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        against: Literal["visual_tokens", "seconds_per_item"] = "visual_tokens",
        ax: Axes | None = None,
    ) -> Figure:
        """Plot scores with their intervals against the visual tokens, or the seconds, of an item.

        Args:
            path: the file to save the plot to; None saves nothing.
            against: "visual_tokens" or "seconds_per_item".
            ax: axes to draw on; None makes a figure.

        Raises:
            EvaluationError: `against` is neither, or is not known of any run.
            MissingPackageError: matplotlib is not installed.
        """
        from qwenvl_kit.evaluation.reports.sweep_plot import plot_sweep

        return plot_sweep(self.name, self.rows, against=against, ax=ax, path=path)

    def __str__(self) -> str:
        return self.table().to_text()

    def _repr_html_(self) -> str:
        return self.table().to_html()

    def _notes(self) -> Iterator[str]:
        yield "visual tokens and seconds are those of an item, on average"
        if any(_difference(run) is not None for run in self.runs):
            yield (
                "the difference is paired, item by item; if its interval holds 0, it is not certain"
            )
        elif len(self.runs) > 1:
            yield "nothing is compared: no budget is known as the largest, or no items are shared"
        for run in self.runs:
            headline = run.result.metrics[0].name
            if run.result.answered and headline not in run.result.estimates:
                yield f"{run.budget}: no unit of {headline} was answered"
            if failed := run.result.num_failed:
                yield f"{run.budget}: {failed:,} of {len(run.result.items):,} items failed"


@explains_wrong_arguments
def sweep(
    chat: VisionChat,
    benchmark: Benchmark,
    budgets: Sequence[BudgetChoice],
    *,
    journal_folder: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    seed: int = 0,
    method: Method = "text",
    judge: VisionChat | None = None,
    sampling: Sampling | None = None,
    fit: Fit | None = None,
    thinking: bool | None = None,
    max_batch_size: int | None = None,
    progress: bool = True,
) -> SweepResult:
    """Evaluate a chat with several budgets of visual tokens: what does a budget cost in quality?

        found = sweep(chat, benchmark, budgets=["quick", "standard", "fine"], limit=200)
        print(found)
        found.plot("sweep.png")

    Args:
        chat: the model, on any backend.
        benchmark: the questions.
        budgets: the budgets: names such as "quick", or `PixelBudget`s.
        journal_folder: a folder with a journal for each budget, from which a stopped sweep goes
            on; None keeps none.
        limit: as in `evaluate`, as are the arguments after it.
        seed: the seed of the draw.
        method: "text" or "probability".
        judge: a chat that reads answers that the rule cannot read.
        sampling: the settings of generation.
        fit: "refuse" or "shrink" for items that are too long.
        thinking: True if the model should think first.
        max_batch_size: the most requests in flight.
        progress: True shows a progress bar for each budget.

    Raises:
        EvaluationError: there are no budgets, or one twice; or an argument cannot be used.
        BudgetError: a budget is unknown.
        JournalError: a journal belongs to another evaluation.
    """
    named = _named(budgets)
    runs = []
    for name, budget in named.items():
        journal = journal_of(journal_folder, benchmark.name, name)
        known = num_kept(journal)
        result = evaluate(
            chat,
            benchmark,
            journal=journal,
            limit=limit,
            seed=seed,
            method=method,
            judge=judge,
            sampling=sampling,
            budget=budget,
            fit=fit,
            thinking=thinking,
            max_batch_size=max_batch_size,
            progress=progress,
        )
        runs.append(SweepRun(name, result, seconds_per_item(result, known, num_kept(journal))))
    return SweepResult(benchmark.name, tuple(_compared(runs, [*named.values()])))


def _named(budgets: Sequence[BudgetChoice]) -> dict[str, BudgetChoice]:
    """The budgets by their names, in words."""
    if isinstance(budgets, str) or not isinstance(budgets, Sequence) or not budgets:
        raise EvaluationError(
            f"budgets={budgets!r} was given",
            expected='a list of budgets, such as ["quick", "standard", "fine"]',
        )
    found: dict[str, BudgetChoice] = {}
    for budget in budgets:
        name = budget if isinstance(budget, str) else _in_words(as_budget(budget))
        as_budget(budget)
        if name in found:
            raise EvaluationError(f"the budget {name!r} is given twice", expected="each once")
        found[name] = budget
    return found


def _in_words(budget: Any) -> str:
    values = ((each.name, getattr(budget, each.name)) for each in fields(budget))
    return ", ".join(f"{name} {value}" for name, value in values if value is not None) or "native"


def _compared(runs: Sequence[SweepRun], budgets: Sequence[BudgetChoice]) -> Iterator[SweepRun]:
    """The runs in the order of their budgets, each compared with the largest that has answers."""
    tokens = [run.result.mean_visual_tokens for run in runs]
    has_answers = [bool(run.result.answered) for run in runs]
    places = order_of_budgets(budgets, tokens, has_answers)
    ordered = list(runs) if places is None else [runs[at] for at in places]
    known = () if places is None else reversed(ordered)
    largest = next((run for run in known if run.result.answered), None)
    for run in ordered:
        compared = None
        if largest is not None and run is not largest and _share_answers(largest, run):
            compared = compare_runs(largest.result, run.result)
        yield SweepRun(run.budget, run.result, run.seconds_per_item, compared)


def _share_answers(first: SweepRun, second: SweepRun) -> bool:
    """True if there is an item that both answered."""
    ours, theirs = ({each.id for each in run.result.answered} for run in (first, second))
    return not ours.isdisjoint(theirs)


def _numbers(run: SweepRun) -> dict[str, Any]:
    result = run.result
    estimate = result.estimates.get(result.metrics[0].name)
    difference = _difference(run)
    return {
        "budget": run.budget,
        "score": None if estimate is None else estimate.value,
        "low": None if estimate is None else estimate.low,
        "high": None if estimate is None else estimate.high,
        "visual_tokens": result.mean_visual_tokens,
        "seconds_per_item": run.seconds_per_item,
        "difference": None if difference is None else difference.difference,
        "difference_low": None if difference is None else difference.low,
        "difference_high": None if difference is None else difference.high,
        "num_answered": len(result.answered),
        "num_failed": result.num_failed,
    }


def _row(run: SweepRun) -> tuple[str, ...]:
    result, difference = run.result, _difference(run)
    estimate = result.estimates.get(result.metrics[0].name)
    tokens, seconds = result.mean_visual_tokens, run.seconds_per_item
    return (
        run.budget,
        "-" if estimate is None else f"{100 * estimate.value:.1f}",
        "-" if estimate is None else f"[{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]",
        "-" if tokens is None else f"{tokens:,.0f}",
        "-" if seconds is None else f"{seconds:,.3g}",
        "-" if difference is None else str(difference),
    )


def _difference(run: SweepRun) -> PairedDifference | None:
    """The difference of the first metric, and of no other; None if there is none."""
    compared = run.against_largest
    return None if compared is None else compared.differences.get(run.result.metrics[0].name)
