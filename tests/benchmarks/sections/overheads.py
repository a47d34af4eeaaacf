"""Costs where nothing can be gained."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from qwenvl_kit import Request, VisionChat
from qwenvl_kit.backends.local import LocalBackend
from tests.benchmarks.by_kit import ask, ask_many, cold
from tests.benchmarks.by_transformers import without_utilities
from tests.benchmarks.measuring import Case, Run, case_table, timed, with_note
from tests.benchmarks.models import Subject, greedy, question, question_about, subjects

MODELS = ("embedded", "qwen3_vl:140M")
NUM_TOKENS, NUM_PAIRS = 32, 8


def section() -> list[str]:
    """Single requests, journals, and a cache that is of no use."""
    return [
        f"Single requests about pictures of 448 x 448 that never return, {NUM_PAIRS} of each side "
        f"in turn a round, at most {NUM_TOKENS} tokens; and 16 requests that are written down "
        "while they are made. fp32, greedy.",
        "",
        *case_table(case for subject in subjects(*MODELS) for case in cases(subject)),
    ]


def cases(subject: Subject) -> Iterator[Case]:
    """The cost of the kit, of its cache, and of its journal."""
    forgetful = VisionChat(LocalBackend(subject.backend._loaded, max_cache_bytes=0))
    kit = _Anew(subject, lambda image: _ask(subject.chat, image))
    yield Case(
        f"{subject.name}: one new picture by `ask`",
        kit,
        {
            "processor and `generate`": _Anew(
                subject,
                lambda image: timed(
                    lambda: without_utilities(subject, image, question(0), NUM_TOKENS)
                ),
            ),
            "`ask`, `max_cache_bytes=0`": _Anew(subject, lambda image: _ask(forgetful, image)),
        },
        num_pairs=NUM_PAIRS,
    )
    requests = [
        Request(question_about(_picture(subject, seed), question(seed)), id=str(seed))
        for seed in range(16)
    ]
    numbers = itertools.count()

    def with_journal() -> Run:
        path = subject.folder / f"journal-{next(numbers)}.jsonl"
        return ask_many(subject.chat, requests, greedy(8), journal=path)

    yield Case(
        f"{subject.name}: 16 requests by `ask_many` with a journal",
        lambda: cold(subject, with_journal),
        {"without": lambda: cold(subject, lambda: ask_many(subject.chat, requests, greedy(8)))},
    )


class _Anew:
    """A side that is given a picture of its own each time; the other sides are given the same."""

    def __init__(self, subject: Subject, act: Callable[[Any], Run]) -> None:
        self._subject, self._act, self._seeds = subject, act, itertools.count(1000)

    def __call__(self) -> Run:
        return self._act(_picture(self._subject, next(self._seeds)))


def _ask(chat: VisionChat, image: Any) -> Run:
    asked = question_about(image, question(0))
    return with_note(ask(chat, asked, greedy(NUM_TOKENS)), "")


def _picture(subject: Subject, seed: int) -> Any:
    """448 x 448 px, or what the model takes as it is."""
    side = 448 // subject.token_side_px
    longest = int(subject.processor.image_processor.size["longest_edge"])
    fits = (side * subject.token_side_px) ** 2 <= longest
    return subject.draw(*((side, side) if fits else (8, 7)), seed)
