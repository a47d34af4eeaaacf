"""Judges: a chat that reads the answers that a rule cannot read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qwenvl_kit.errors import release_frames
from qwenvl_kit.evaluation.answering import with_score
from qwenvl_kit.evaluation.benchmark import Benchmark
from qwenvl_kit.evaluation.items import ScoredItem
from qwenvl_kit.options import Sampling
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat

_MAX_NEW_TOKENS = 1024
"""Room for a judge that thinks first."""


def judge_unread(
    judge: VisionChat,
    benchmark: Benchmark,
    found: Sequence[ScoredItem],
    journal: str | os.PathLike[str] | None,
) -> list[ScoredItem]:
    """Return the items, those that could not be read with what a judge reads of them.

    An item for which the judge fails is a failure with the judge's error: it has no score.

    Args:
        judge: the chat that judges.
        benchmark: the benchmark, whose `judge_prompt` is asked.
        found: the items with their scores.
        journal: the journal of the evaluation; that of the judge lies beside it, with `.judge` at
            the end of its name.
    """
    asked: dict[int, Request] = {}
    for at, each in enumerate(found):
        if each.answer is None or each.score is None or each.score.is_read:
            continue
        prompt = benchmark.judge_prompt(each.item, each.answer)
        if prompt is not None:
            asked[at] = Request(prompt, id=each.id)
    results = judge.ask_many(
        asked.values(),
        sampling=Sampling(temperature=0.0, max_new_tokens=_MAX_NEW_TOKENS),
        journal=None if journal is None else f"{os.fsdecode(journal)}.judge",
    )
    judged = list(found)
    for at, result in zip(asked, results, strict=True):
        if isinstance(result, Reply):
            judged[at] = _judged(benchmark, found[at], result.text)
        else:
            release_frames(result.error)
            judged[at] = replace(found[at], score=None, error=result.error)
    return judged


def _judged(benchmark: Benchmark, found: ScoredItem, judged: str) -> ScoredItem:
    told = replace(found, judge_answer=judged)
    return with_score(told, lambda: benchmark.score_judged(found.item, found.answer or "", judged))
