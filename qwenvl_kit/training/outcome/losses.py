"""The losses of a training, step by step, as a table, as rows and as a plot."""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from qwenvl_kit.errors import TrainingError
from qwenvl_kit.safe_text import shown_source
from qwenvl_kit.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LogEntry: TypeAlias = Mapping[str, object]
"""An entry of a training's log, as transformers' Trainer has them in `state.log_history`."""

NOT_FINITE = ("NaN", "Infinity", "-Infinity")
"""The numbers that JSON does not have, as texts in the file of a log."""

_MOST_ROWS = 10
"""The most rows of the table; a row of a long training stands for many steps."""


@dataclass(frozen=True)
class StepLoss:
    """The loss of a step of training. A number that was not logged is None.

    Attributes:
        step: the number of the step, counted from 1. If not every step is logged, the entry stands
            for all steps since the one before.
        epoch: the passes over the data at its end.
        loss: the mean loss in nats per trained token; NaN if the model gave no number.
        learning_rate: its learning rate.
        grad_norm: the norm of the gradient, before it was clipped.
        trained_tokens: its tokens in the loss, each with the weight of its example.
        tokens: all its tokens, those of prompts and pictures too.
        seconds: the time that it took.
    """

    step: int
    epoch: float | None
    loss: float
    learning_rate: float | None = None
    grad_norm: float | None = None
    trained_tokens: float | None = None
    tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class ValidationLoss:
    """The loss on the validation examples after a step.

    Attributes:
        step: the number of the step.
        epoch: the passes over the training data until then; None if not logged.
        loss: the mean loss in nats per token in the loss; NaN if the model gave no number.
    """

    step: int
    epoch: float | None
    loss: float


@dataclass(frozen=True, repr=False)
class Losses(Sequence[StepLoss]):
    """The losses of a training: a sequence of `StepLoss`; `print` it, or show it in a notebook.

        print(run.losses)
        run.losses.plot(path="losses.png")
        pandas.DataFrame(run.losses.to_rows())

    Attributes:
        steps: the loss of each step that was logged, by its number.
        validation: the losses on the validation examples, by their step.
    """

    steps: tuple[StepLoss, ...] = ()
    validation: tuple[ValidationLoss, ...] = ()

    @classmethod
    def from_log(cls, entries: Iterable[LogEntry]) -> Losses:
        """Read the entries of a log, such as `trainer.state.log_history`.

        Args:
            entries: for each step "step", "loss", and if known "epoch", "learning_rate",
                "grad_norm", "trained_tokens", "tokens" and "seconds"; for a validation "step" and
                "eval_loss". Entries with neither loss are left out. Of two entries for a step the
                later counts, as a training that was resumed logs some steps again.

        Raises:
            TrainingError: a value is no number, or a loss has no step.
        """
        steps, validation = dict[int, StepLoss](), dict[int, ValidationLoss]()
        for number, entry in enumerate(entries):
            read = _EntryReader(entry, f"log[{number}]")
            if (loss := read.number("loss")) is not None:
                step = read.step()
                steps[step] = StepLoss(
                    step=step,
                    epoch=read.number("epoch"),
                    loss=loss,
                    learning_rate=read.number("learning_rate"),
                    grad_norm=read.number("grad_norm"),
                    trained_tokens=read.number("trained_tokens"),
                    tokens=read.count("tokens"),
                    seconds=read.number("seconds"),
                )
            if (loss := read.number("eval_loss")) is not None:
                step = read.step()
                validation[step] = ValidationLoss(step, read.number("epoch"), loss)
        return cls(
            tuple(steps[step] for step in sorted(steps)),
            tuple(validation[step] for step in sorted(validation)),
        )

    @overload
    def __getitem__(self, index: int) -> StepLoss: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[StepLoss, ...]: ...
    def __getitem__(self, index: int | slice) -> StepLoss | tuple[StepLoss, ...]:
        return self.steps[index]

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[StepLoss]:
        return iter(self.steps)

    @property
    def best(self) -> ValidationLoss | None:
        """The lowest validation loss, the first of several; None if none is a number."""
        numbers = [each for each in self.validation if not math.isnan(each.loss)]
        return min(numbers, key=lambda each: each.loss, default=None)

    @property
    def first_unusable_step(self) -> int | None:
        """The first step whose loss or gradient is NaN or infinite; None if there is none."""
        unusable = (
            each.step
            for each in self.steps
            if not math.isfinite(each.loss) or not math.isfinite(each.grad_norm or 0.0)
        )
        return next(unusable, None)

    def to_log(self) -> list[dict[str, float | int]]:
        """The losses as entries of a log, by their steps; `from_log` reads them again."""
        steps = [
            {
                "step": each.step,
                "epoch": each.epoch,
                "loss": each.loss,
                "learning_rate": each.learning_rate,
                "grad_norm": each.grad_norm,
                "trained_tokens": each.trained_tokens,
                "tokens": each.tokens,
                "seconds": each.seconds,
            }
            for each in self.steps
        ]
        validation = [
            {"step": each.step, "epoch": each.epoch, "eval_loss": each.loss}
            for each in self.validation
        ]
        entries = heapq.merge(steps, validation, key=lambda entry: entry["step"] or 0)
        return [
            {name: value for name, value in entry.items() if value is not None} for entry in entries
        ]

    def until(self, step: int) -> Losses:
        """The losses up to a step, that one included."""
        return Losses(
            tuple(each for each in self.steps if each.step <= step),
            tuple(each for each in self.validation if each.step <= step),
        )

    def to_rows(self) -> list[dict[str, float | int | None]]:
        """The losses as rows, for `pandas.DataFrame` and its like.

        Returns:
            A row for each step, with the fields of `StepLoss` and "validation_loss", in their
            order. What is not known is None.
        """
        steps = {each.step: each for each in self.steps}
        validation = {each.step: each for each in self.validation}
        return [
            _row(steps.get(step), validation.get(step)) for step in sorted({**steps, **validation})
        ]

    def plot(self, ax: Axes | None = None, *, path: str | os.PathLike[str] | None = None) -> Figure:
        """Plot the loss by step: each step, a smoothed line over them, and the validation.

        The axis of the loss is logarithmic if the loss falls to less than a twentieth.

        Args:
            ax: the axes of matplotlib to plot on; None makes a new figure.
            path: file to save the figure to; None saves nothing.

        Returns:
            The figure.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        from qwenvl_kit.training.outcome.plotting import LossCurves, plot_losses

        best = self.best
        curves = LossCurves(
            training=[(each.step, each.loss) for each in self.steps],
            validation=[(each.step, each.loss) for each in self.validation],
            best=None if best is None else (best.step, best.loss),
            unusable_step=self.first_unusable_step,
        )
        return plot_losses(curves, ax, path)

    def __repr__(self) -> str:
        return f"Losses({len(self.steps):,} steps, {len(self.validation):,} validations)"

    def __str__(self) -> str:
        return self._table().to_text()

    def _repr_html_(self) -> str:
        return self._table().to_html()

    def _table(self) -> Table:
        spans = list(_spans(self))
        columns = [
            ("steps", [span.title for span in spans]),
            ("epoch", [_shown(span.epoch, ".2f") for span in spans]),
            ("loss", [_shown(span.loss, ".4f") for span in spans]),
            ("validation", [_shown(span.validation, ".4f") for span in spans]),
            ("learning rate", [_shown(span.learning_rate, ".2e") for span in spans]),
            ("gradient", [_shown(span.grad_norm, ".3g") for span in spans]),
            ("tokens/s", [_shown(span.tokens_per_second, ",.0f") for span in spans]),
        ]
        kept = [(name, cells) for name, cells in columns if name == "steps" or any(cells)]
        headings = [name for name, _ in kept]
        return Table(headings, list(zip(*(cells for _, cells in kept))), self._notes())

    def _notes(self) -> list[str]:
        if not self.steps and not self.validation:
            return ["no step was logged"]
        notes = ["loss: nats per trained token, the mean of the steps in a row"]
        if self.best is not None:
            notes.append(f"best validation: {self.best.loss:.4f} after step {self.best.step:,}")
        if (step := self.first_unusable_step) is not None:
            notes.append(f"the loss or the gradient is no number from step {step:,} on")
        return notes


@dataclass(frozen=True)
class _Span:
    """Steps that follow each other, as a row of the table, with the last validation among them."""

    steps: Sequence[StepLoss]
    validation: float | None

    @property
    def title(self) -> str:
        first, last = self.steps[0].step, self.steps[-1].step
        return f"{first:,}" if first == last else f"{first:,}-{last:,}"

    @property
    def epoch(self) -> float | None:
        return self.steps[-1].epoch

    @property
    def loss(self) -> float:
        """The mean loss of a token, or of a step where tokens were not logged."""
        return weighted_mean(self.steps)

    @property
    def learning_rate(self) -> float | None:
        return self.steps[-1].learning_rate

    @property
    def grad_norm(self) -> float | None:
        """The largest norm."""
        norms = [each.grad_norm for each in self.steps if each.grad_norm is not None]
        return math.nan if any(map(math.isnan, norms)) else max(norms, default=None)

    @property
    def tokens_per_second(self) -> float | None:
        timed = [
            (each.tokens, each.seconds)
            for each in self.steps
            if each.tokens is not None and each.seconds is not None
        ]
        seconds = sum(seconds for _, seconds in timed)
        return sum(tokens for tokens, _ in timed) / seconds if seconds > 0 else None


def weighted_mean(steps: Sequence[StepLoss]) -> float:
    """The mean loss of a token over some steps; of a step if the tokens of one are not known."""
    weights = [each.trained_tokens or 0.0 for each in steps]
    if not all(weights):
        weights = [1.0] * len(steps)
    return sum(each.loss * weight for each, weight in zip(steps, weights)) / sum(weights)


def _spans(losses: Losses) -> Iterator[_Span]:
    """The rows of the table: as many steps in each, the last of the training with the last."""
    num_rows = min(len(losses), _MOST_ROWS)
    after = 0
    for number in range(num_rows):
        first = number * len(losses) // num_rows
        end = (number + 1) * len(losses) // num_rows
        steps = losses.steps[first:end]
        last = math.inf if number == num_rows - 1 else steps[-1].step
        found = [each.loss for each in losses.validation if after < each.step <= last]
        yield _Span(steps, found[-1] if found else None)
        after = steps[-1].step


def _row(step: StepLoss | None, validation: ValidationLoss | None) -> dict[str, float | int | None]:
    """A row for a step that was logged, validated, or both."""
    either = step or validation
    return {
        "step": either.step if either else None,
        "epoch": either.epoch if either else None,
        "loss": step.loss if step else None,
        "learning_rate": step.learning_rate if step else None,
        "grad_norm": step.grad_norm if step else None,
        "trained_tokens": step.trained_tokens if step else None,
        "tokens": step.tokens if step else None,
        "seconds": step.seconds if step else None,
        "validation_loss": validation.loss if validation else None,
    }


def _shown(number: float | None, form: str) -> str:
    return "" if number is None else format(number, form)


class _EntryReader:
    """Reads the numbers of an entry: those of Python, of NumPy and of torch."""

    def __init__(self, entry: LogEntry, where: str) -> None:
        self._entry, self._where = entry, where

    def number(self, key: str) -> float | None:
        """The number under a key; None if there is none."""
        value: Any = self._entry.get(key)
        if value is None:
            return None
        try:
            if isinstance(value, bool) or (isinstance(value, str) and value not in NOT_FINITE):
                raise ValueError
            return float(value)
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:
            raise TrainingError(
                f"{shown_source(value)} was logged", expected="a number", where=self._place(key)
            ) from error

    def count(self, key: str) -> int | None:
        """The whole number under a key; None if there is none."""
        number = self.number(key)
        if number is None:
            return None
        if number < 0 or not number.is_integer():
            raise TrainingError(
                f"{number:g} was logged", expected="a whole number", where=self._place(key)
            )
        return int(number)

    def step(self) -> int:
        """The number of the step."""
        found = self.count("step")
        if found is None:
            raise TrainingError(
                "a loss was logged without its step", expected="step", where=self._where
            )
        return found

    def _place(self, key: str) -> str:
        return f"{self._where}.{key}"
