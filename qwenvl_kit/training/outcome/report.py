"""The report of a training: answers to validation examples before it and after it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from qwenvl_kit.training.outcome.files import read_value, write_value

REPORT_FILE = "report.json"
"""The name of the report in the folder of a run."""

_MOST_BYTES = 2**24


@dataclass(frozen=True, kw_only=True)
class ComparedExample:
    """An example with the answers of the model before the training and after it.

    Attributes:
        where: the place of the example, such as `val.jsonl:3`.
        question: the text of what was asked, the last turn of it.
        expected: the expected answer.
        before, after: the answers of the model before the training and after it; None if there is
            none, as an error says.
        nll_before, nll_after: the negative log-likelihood of the expected answer, in nats per
            token, its end token included; None where it cannot be scored.
        thumbnails: its first pictures, small, as JPEG.
        num_pictures: its pictures and films.
        problem: the error that the example met; empty if it met none.
    """

    __pydantic_config__: ClassVar[Any] = {
        "strict": True,
        "extra": "forbid",
        "allow_inf_nan": False,
        "ser_json_bytes": "base64",
        "val_json_bytes": "base64",
    }

    where: str
    question: str
    expected: str
    before: str | None = None
    after: str | None = None
    nll_before: float | None = None
    nll_after: float | None = None
    thumbnails: tuple[bytes, ...] = ()
    num_pictures: int = 0
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """Answers to validation examples before a training and after it; `print` it.

    Attributes:
        version: the version of the form of the file.
        examples: the examples that are shown.
        num_compared: the examples that were asked both times, all shown ones among them.
        exact_before, exact_after: the answers that equal the expected one.
    """

    __pydantic_config__: ClassVar[Any] = {"strict": True, "extra": "forbid"}

    version: Literal[1] = 1
    examples: tuple[ComparedExample, ...] = ()
    num_compared: int = 0
    exact_before: int = 0
    exact_after: int = 0


def write_report(folder: str | os.PathLike[str], report: TrainingReport) -> None:
    """Write the report of a training into its folder, in one step.

    Raises:
        TrainingError: the disk is full, or the folder cannot be written to.
    """
    write_value(Path(folder) / REPORT_FILE, report)


def read_report(folder: str | os.PathLike[str]) -> TrainingReport:
    """Read the report of a training from its folder; an empty one if there is none yet.

    Raises:
        TrainingError: the file cannot be used; the error says where.
    """
    path = Path(folder) / REPORT_FILE
    return read_value(path, TrainingReport, _MOST_BYTES) if path.exists() else TrainingReport()
