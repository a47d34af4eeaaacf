"""The cost of a constraint, and the share of answers that keep it.

QWENVL_KIT_BENCH_ROUNDS says how many rounds, QWENVL_KIT_BENCH_FORMS how many answers are checked.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from typing import Literal

from typing_extensions import TypedDict

from qwenvl_kit import Request, Sampling, VisionChat
from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.errors import AnswerError
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.structured_output.target import Target
from tests.benchmarks.reuse import ROUNDS
from tests.benchmarks.reuse_models import Subject, opened

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
    """How many answers are of their type, and milliseconds a token with a form and without."""
    with opened("embedded") as subject:
        valid, tokens = _valid(subject.chat)
        rows = [*_cost(subject)]
    with opened("qwen3_vl:50M") as subject:
        rows += _cost(subject)
    return [
        "Answers constrained to a JSON schema with a number, an enum, a list of objects and a "
        f"text or null. At temperature 1, {valid} of {NUM_ANSWERS} answers of the embedded model "
        f"are values of the type ({tokens:.0f} tokens each).",
        "",
        "Milliseconds that a token of an answer takes, with the form and without, at temperature "
        f"1, one answer at a time, in turn, median of {ROUNDS} rounds. Here the ratio is that with "
        "the form over that without: 1 is a form that costs nothing.",
        "",
        "| model | with a form | free | ratio | spread |",
        "|---|---|---|---|---|",
        *rows,
    ]


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


def _cost(subject: Subject) -> Iterator[str]:
    image = subject.draw_print()

    def milliseconds(form: Constraint | None, seed: int) -> float:
        reply = subject.chat.ask(QUESTION, image, sampling=_sampling(seed), constraint=form)
        return reply.timing.decode / max(1, reply.usage.completion_tokens - 1) * 1000

    milliseconds(FORM, 0), milliseconds(None, 0)
    bound, free = list[float](), list[float]()
    for seed in range(1, ROUNDS + 1):
        bound.append(milliseconds(FORM, seed))
        free.append(milliseconds(None, seed))
    ratios = sorted(with_form / without for with_form, without in zip(bound, free, strict=True))
    yield (
        f"| {subject.name} | {statistics.median(bound):.2f} ms | {statistics.median(free):.2f} ms "
        f"| **{statistics.median(ratios):.2f}** | {ratios[0]:.2f} - {ratios[-1]:.2f} |"
    )
