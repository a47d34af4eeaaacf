"""The report of a training: answers to validation examples before it and after it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from qwenvl_kit.safe_text import escaped
from qwenvl_kit.training.outcome.files import RUN_FILES
from qwenvl_kit.whole_files import STRICT

REPORT_FILE = "report.json"
"""The name of the report in the folder of a run."""

_MOST_BYTES = 2**24
_MOST_CHARACTERS = 300
"""The most characters of a text that is printed; the fields of a report have more."""

_MOST_PROBLEMS = 10


@dataclass(frozen=True, kw_only=True)
class ComparedExample:
    """An example with the answers of the model before the training and after it.

    A text of more than 2,000 characters, or an answer that was cut off, ends with " ...".

    Attributes:
        where: the place of the example, such as `val.jsonl:3`.
        question: the text of the last message before the answer.
        expected: the expected answer.
        before, after: the answers of the model before the training and after it; None if there is
            none, as `problem` says.
        is_exact_before, is_exact_after: True if that answer is the expected one.
        nll_before, nll_after: the negative log-likelihood of the expected answer, in nats per
            token, the token that ends it included; None where it has no score.
        thumbnails: its first pictures, small, as JPEG; of a film the middle frame.
        num_pictures: its pictures and films, if it is shown.
        problem: the error that the example met; empty if it met none.
    """

    __pydantic_config__: ClassVar[Any] = {
        **STRICT,
        "ser_json_bytes": "base64",
        "val_json_bytes": "base64",
    }

    where: str
    question: str
    expected: str
    before: str | None = None
    after: str | None = None
    is_exact_before: bool = False
    is_exact_after: bool = False
    nll_before: float | None = None
    nll_after: float | None = None
    thumbnails: tuple[bytes, ...] = field(default=(), repr=False)
    num_pictures: int = 0
    problem: str = ""

    @property
    def is_compared(self) -> bool:
        """True if the model answered both times."""
        return self.before is not None and self.after is not None

    def __str__(self) -> str:
        return "\n".join([self._heading(), *(f"  {name:9} {text}" for name, text in self._lines())])

    def _repr_html_(self) -> str:
        from html import escape

        pictures = "".join(
            f'<img src="data:image/jpeg;base64,{base64.b64encode(picture).decode()}"/> '
            for picture in self.thumbnails
        )
        rows = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(text)}</td></tr>'
            for name, text in self._lines()
        )
        return f"<p>{escape(self._heading())}</p><p>{pictures}</p><table>{rows}</table>"

    def _heading(self) -> str:
        pictures = {0: "", 1: " (1 picture)"}
        shown = pictures.get(self.num_pictures, f" ({self.num_pictures:,} pictures)")
        return f"{escaped(self.where)}: {_shown(self.question)}{shown}"

    def _lines(self) -> Iterator[tuple[str, str]]:
        """The answers, each in one line, with the score of the expected one."""
        yield "expected", _shown(self.expected)
        answers = (("before", self.before, self.nll_before), ("after", self.after, self.nll_after))
        for name, answer, nll in answers:
            if answer is not None:
                yield name, _shown(answer) + ("" if nll is None else f"  [{nll:.3f}]")
        if self.problem:
            yield "problem", _shown(self.problem)


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """Answers to validation examples before a training and after it; `print` it.

    In a notebook it has the pictures.

    Attributes:
        version: the version of the form of the file.
        examples: the examples that are shown.
        num_examples: the examples that were asked.
        num_compared: those that were answered both times.
        num_exact_before, num_exact_after: the answers to these that are the expected ones.
        num_scored: those whose expected answer has a score both times. Thoughts, calls of tools and
            special tokens, other than marks of places, have none.
        nll_before, nll_after: the mean negative log-likelihood of these expected answers, in nats
            per token; None if none has a score.
        problems: the first errors that examples met, with their places.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    version: Literal[1] = 1
    examples: tuple[ComparedExample, ...] = ()
    num_examples: int = 0
    num_compared: int = 0
    num_exact_before: int = 0
    num_exact_after: int = 0
    num_scored: int = 0
    nll_before: float | None = None
    nll_after: float | None = None
    problems: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, compared: Sequence[ComparedExample], *, shown: Iterable[ComparedExample]
    ) -> TrainingReport:
        """The report of examples.

        Args:
            compared: all examples.
            shown: those that are shown.
        """
        whole = [each for each in compared if each.is_compared]
        problems = [f"{each.where}: {each.problem}" for each in compared if each.problem]
        scores = [
            (each.nll_before, each.nll_after)
            for each in whole
            if each.nll_before is not None and each.nll_after is not None
        ]
        return cls(
            examples=tuple(shown),
            num_examples=len(compared),
            num_compared=len(whole),
            num_exact_before=sum(each.is_exact_before for each in whole),
            num_exact_after=sum(each.is_exact_after for each in whole),
            num_scored=len(scores),
            nll_before=sum(nll for nll, _ in scores) / len(scores) if scores else None,
            nll_after=sum(nll for _, nll in scores) / len(scores) if scores else None,
            problems=tuple(problems[:_MOST_PROBLEMS]),
        )

    def __str__(self) -> str:
        return "\n\n".join(["\n".join(self._lines()), *map(str, self.examples)])

    def _repr_html_(self) -> str:
        from html import escape

        lines = "".join(f"<p>{escape(line)}</p>" for line in self._lines())
        return lines + "".join(each._repr_html_() for each in self.examples)

    def _lines(self) -> list[str]:
        if not self.num_examples:
            return ["no examples were compared"]
        compared = self.num_compared
        lines = [f"{self.num_examples:,} examples, {compared:,} answered before and after"]
        if compared:
            lines.append(
                f"exact answers: {_share(self.num_exact_before, compared)} before, "
                f"{_share(self.num_exact_after, compared)} after"
            )
        if self.nll_before is not None and self.nll_after is not None:
            lines.append(
                f"expected answers, [nats per token] of {self.num_scored:,}: "
                f"{self.nll_before:.3f} before, {self.nll_after:.3f} after"
            )
            if self.nll_before == self.nll_after:
                lines.append("note: the training changed no probability of these answers")
        return lines + [f"problem: {_shown(problem)}" for problem in self.problems]


def write_report(folder: str | os.PathLike[str], report: TrainingReport) -> None:
    """Write the report of a training into its folder, in one step.

    Raises:
        TrainingError: the disk is full, or the folder cannot be written to.
    """
    RUN_FILES.write_value(Path(folder) / REPORT_FILE, report)


def read_report(folder: str | os.PathLike[str]) -> TrainingReport:
    """Read the report of a training from its folder; an empty one if there is none yet.

    Raises:
        TrainingError: the file cannot be used; the error says where.
    """
    path = Path(folder) / REPORT_FILE
    return (
        RUN_FILES.read_value(path, TrainingReport, _MOST_BYTES)
        if path.exists()
        else TrainingReport()
    )


def _share(number: int, of: int) -> str:
    return f"{number:,} ({number / of:.1%})"


def _shown(text: str) -> str:
    """A text in one line, safe to print, and shortened."""
    kept = text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} ..."
    return escaped(kept)
