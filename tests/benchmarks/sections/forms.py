"""The cost of a constraint, and the share of answers that keep it.

QWENVL_KIT_BENCH_FORMS says how many answers are checked.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Literal

from typing_extensions import TypedDict

from qwenvl_kit import Request, Sampling, VisionChat
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.errors import AnswerError
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.structured_output.target import Target
from tests.benchmarks.measuring import Case, Run, case_table
from tests.benchmarks.models import Subject, opened, subjects

MODELS = ("embedded", "qwen3_vl:140M")
NUM_ANSWERS = int(os.environ.get("QWENVL_KIT_BENCH_FORMS", "1000"))
QUESTION = "Extract these fields from the image as JSON."
RECEIPT = MODEL_FOLDER.parents[2] / "examples" / "pictures" / "receipt.png"


class Item(TypedDict):
    name: str
    price: float


class Receipt(TypedDict):
    total: float
    kind: Literal["invoice", "receipt"]
    items: list[Item]
    date: str | None


TARGET = Target(Receipt)
FORM = Constraint.from_schema(TARGET.answer_schema)


def section() -> list[str]:
    """The share of answers that are of their type, and the time of a token with a form."""
    with opened("embedded") as subject:
        valid, tokens = _valid(subject.chat)
    return [
        "Answers constrained to a JSON schema with a number, an enum, a list of objects and a "
        f"text or null. At temperature 1, {valid} of {NUM_ANSWERS} answers of the embedded model "
        f"are values of the type ({tokens:.0f} tokens each).",
        "",
        "The time that a token of an answer takes, with the form and free, at temperature 1, one "
        "answer at a time: below 1 is what the form costs.",
        "",
        *case_table(_cases()),
    ]


def _cases() -> Iterator[Case]:
    for subject in subjects(*MODELS):
        yield Case(
            f"{subject.name}: a token with a form",
            _Drawing(subject, FORM),
            {"free": _Drawing(subject, None)},
        )


class _Drawing:
    """The time of a token of an answer; each answer has a seed of its own."""

    def __init__(self, subject: Subject, form: Constraint | None) -> None:
        self._subject, self._form, self._seeds = subject, form, itertools.count()
        self._image = subject.draw_print()

    def __call__(self) -> Run:
        reply = self._subject.chat.ask(
            QUESTION, self._image, sampling=_sampling(next(self._seeds)), constraint=self._form
        )
        return Run(reply.timing.decode / max(1, reply.usage.completion_tokens - 1))


def _sampling(seed: int) -> Sampling:
    return Sampling(max_new_tokens=160, temperature=1.0, seed=seed, max_cycle_tokens=None)


def _valid(chat: VisionChat) -> tuple[int, float]:
    """How many answers are values of the type, and how many tokens one has."""
    requests = (
        Request.about(QUESTION, RECEIPT, constraint=FORM, sampling=_sampling(seed))
        for seed in range(NUM_ANSWERS)
    )
    valid = tokens = 0
    for reply in chat.ask_many(requests, on_error="raise"):
        tokens += reply.usage.completion_tokens
        try:
            TARGET.value_of(reply.text)
        except AnswerError:
            continue
        valid += 1
    return valid, tokens / NUM_ANSWERS
