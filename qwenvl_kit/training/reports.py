"""The report of a check of examples: their lengths, what is in the loss, and their faults."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qwenvl_kit.errors import TrainingDataError
from qwenvl_kit.tables import Table
from qwenvl_kit.training.sequences.marked_text import MarkedSequence

_MOST_SHOWN = 10
"""The most faults, repeats and skipped examples that a report prints; its fields have all."""


@dataclass(frozen=True)
class Quantiles:
    """The spread of a number over all sequences; each value is one that occurs.

    Attributes:
        least: the smallest.
        median: half of the sequences have at most that many.
        most_90: nine in ten have at most that many.
        most_99: 99 in a hundred have at most that many.
        most: the largest.
        total: the sum.
    """

    least: int = 0
    median: int = 0
    most_90: int = 0
    most_99: int = 0
    most: int = 0
    total: int = 0

    @classmethod
    def of(cls, values: Sequence[int]) -> Quantiles:
        """The spread of some numbers; zeros if there are none."""
        if not values:
            return cls()
        ordered = sorted(values)

        def up_to(share: float) -> int:
            return ordered[math.ceil(share * len(ordered)) - 1]

        return cls(ordered[0], up_to(0.5), up_to(0.9), up_to(0.99), ordered[-1], sum(ordered))

    def cells(self) -> tuple[str, ...]:
        """The numbers as cells of a table."""
        numbers = (self.least, self.median, self.most_90, self.most_99, self.most, self.total)
        return tuple(f"{number:,}" for number in numbers)


@dataclass(frozen=True)
class Fault:
    """An example that cannot be trained.

    Attributes:
        where: its place, such as `train.jsonl:3.messages[1]`.
        problem: the error in words, with what was expected and what to try.
        kind: the class of the error.
    """

    where: str
    problem: str
    kind: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" if self.where else self.problem


@dataclass(frozen=True)
class Repeat:
    """An example that is equal to another.

    Attributes:
        where: its place.
        first: the place of the other.
    """

    where: str
    first: str

    def __str__(self) -> str:
        return f"{self.where} repeats {self.first}"


@dataclass(frozen=True)
class ExamplesReport:
    """The report of a check; `print` it, or show it in a notebook.

    Attributes:
        model: the checkpoint.
        num_examples: the examples that can be trained.
        num_sequences: the sequences that they make. Where a chat template rewrites what was said
            before, a conversation makes several.
        num_answers: the answers in the loss.
        tokens: the lengths of the sequences.
        visual_tokens: the tokens of each that stand for pictures and films.
        trained_tokens: the tokens of each that are in the loss.
        forms: the forms that rows have, with their number.
        faults: the examples that cannot be trained.
        skipped: the places of examples that are too long, if they are to be skipped.
        duplicates: examples that occur twice, pictures and answers included.
        overlap: examples of the validation whose question is trained on.
        notes: sentences on likely mistakes.
        shown: the first sequence, with what is in the loss marked; None if there is none.
    """

    model: str
    num_examples: int
    num_sequences: int
    num_answers: int
    tokens: Quantiles
    visual_tokens: Quantiles
    trained_tokens: Quantiles
    forms: Mapping[str, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    skipped: tuple[str, ...] = ()
    duplicates: tuple[Repeat, ...] = ()
    overlap: tuple[Repeat, ...] = ()
    notes: tuple[str, ...] = ()
    shown: MarkedSequence | None = None

    @property
    def is_ok(self) -> bool:
        """True if there is something to train, and no fault."""
        return self.num_examples > 0 and not self.faults

    def raise_faults(self) -> None:
        """Raise an error if an example cannot be trained, or there is none.

        Raises:
            TrainingDataError: it names the first faults, and says how many there are.
        """
        if self.faults:
            more = len(self.faults) - _MOST_SHOWN
            named = "\n".join(map(str, self.faults[:_MOST_SHOWN]))
            raise TrainingDataError(
                f"{len(self.faults)} examples cannot be trained: {named}"
                + (f" and {more} more" if more > 0 else ""),
                expected="examples without a fault",
            )
        if not self.num_examples:
            raise TrainingDataError("there are no examples", expected="at least one")

    def __str__(self) -> str:
        shown = "" if self.shown is None else f"\n\n{self.shown}"
        return f"{self._table().to_text()}{shown}"

    def _repr_html_(self) -> str:
        shown = "" if self.shown is None else self.shown._repr_html_()
        return f"{self._table().to_html()}{shown}"

    def _table(self) -> Table:
        headings = ("of each sequence", "least", "half", "90%", "99%", "most", "in all")
        rows = [
            ("tokens", *self.tokens.cells()),
            ("visual tokens", *self.visual_tokens.cells()),
            ("tokens in the loss", *self.trained_tokens.cells()),
        ]
        return Table(headings, rows, list(self._lines()))

    def _lines(self) -> list[str]:
        forms = ", ".join(f"{name} ({number:,})" for name, number in self.forms.items())
        lines = [
            f"{self.num_examples:,} examples for {self.model}: {self.num_sequences:,} sequences, "
            f"{self.num_answers:,} answers in the loss"
        ]
        lines += [f"forms: {forms}"] if forms else []
        lines += _listed("cannot be trained", [str(fault) for fault in self.faults])
        lines += _listed("skipped, as they are too long", self.skipped)
        lines += _listed("occur twice", [str(repeat) for repeat in self.duplicates])
        lines += _listed(
            "of the validation are trained on", [str(repeat) for repeat in self.overlap]
        )
        return lines + [f"note: {note}" for note in self.notes]


def _listed(what: str, places: Sequence[str]) -> list[str]:
    """A line with a number, and the first places below it; nothing if there are none."""
    if not places:
        return []
    more = len(places) - _MOST_SHOWN
    lines = [f"{len(places):,} {what}:", *(f"- {place}" for place in places[:_MOST_SHOWN])]
    return lines + ([f"- and {more:,} more"] if more > 0 else [])
