"""Requests of all sizes, whose answers are mostly short."""

from __future__ import annotations

import random

from qwenvl_kit import Request
from tests.benchmarks.by_kit import ask_many, cold
from tests.benchmarks.by_transformers import Answers, in_sorted_batches, one_by_one, snippet
from tests.benchmarks.measuring import Case, case_table, timed
from tests.benchmarks.models import Messages, Subject, greedy, question, question_about, subjects

MODELS = ("qwen3_vl:140M",)
NUM_REQUESTS, BATCH_SIZE = 64, 16


def section() -> list[str]:
    """Mixed requests beside static batches and a loop."""
    return [
        f"{NUM_REQUESTS} questions about pictures with sides of 56 to 448 px; four answers in five "
        "have 4 to 16 tokens, the others 96 to 128. The best that one writes by hand sorts them by "
        "the length that their answers may have, which it is told, and asks static batches of "
        f"{BATCH_SIZE} by `generate`; where lengths are not known beforehand it cannot. Random "
        "model, fp32, greedy.",
        "",
        *case_table(map(case, subjects(*MODELS))),
    ]


def case(subject: Subject, num_requests: int = NUM_REQUESTS) -> Case:
    """All of them by `ask_many`."""
    asked, lengths = mixed_requests(subject, num_requests)
    requests = [
        Request(messages, sampling=greedy(length)) for messages, length in zip(asked, lengths)
    ]

    def by_batch() -> Answers:
        answers = snippet(subject, asked, max(lengths))
        return [answer[:length] for answer, length in zip(answers, lengths)]

    batch, loop = "one padded batch", "snippet in a loop"
    return Case(
        f"{subject.name}: {num_requests} mixed requests by `ask_many`",
        lambda: cold(subject, lambda: ask_many(subject.chat, requests)),
        {
            f"sorted, in batches of {BATCH_SIZE}": lambda: timed(
                lambda: in_sorted_batches(subject, asked, lengths, BATCH_SIZE)
            ),
            batch: lambda: timed(by_batch),
            loop: lambda: timed(lambda: one_by_one(subject, asked, lengths)),
        },
        slow={batch: 2, loop: 1},
    )


def mixed_requests(subject: Subject, count: int) -> tuple[list[Messages], list[int]]:
    """Questions about pictures of all sizes, and the most tokens of each answer."""
    chance, largest = random.Random(0), 448 // subject.token_side_px
    asked, lengths = list[Messages](), list[int]()
    for index in range(count):
        columns, rows = chance.randint(2, largest), chance.randint(2, largest)
        path = subject.draw_file(columns, rows, seed=100 + index)
        asked.append(question_about(path, question(chance.randrange(20))))
        lengths.append(chance.randint(96, 128) if index % 5 == 2 else chance.randint(4, 16))
    return asked, lengths
