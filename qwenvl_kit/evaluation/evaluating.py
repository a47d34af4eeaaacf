"""`evaluate`: a chat answers the questions of a benchmark, and its answers are scored."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.answering import (
    Asking,
    answer_by_probability,
    answer_by_text,
    with_score,
)
from qwenvl_kit.evaluation.benchmark import Benchmark
from qwenvl_kit.evaluation.data.blanks import is_empty
from qwenvl_kit.evaluation.data.cells import text_cell
from qwenvl_kit.evaluation.items import EvaluationItem, ScoredItem
from qwenvl_kit.evaluation.judging import judge_unread
from qwenvl_kit.evaluation.progress import Progress
from qwenvl_kit.evaluation.record import EvaluationRecord, Method, digest_prompts, new_record
from qwenvl_kit.evaluation.result import EvaluationResult
from qwenvl_kit.evaluation.scored_run import metrics_of
from qwenvl_kit.journal import Journal, model_facts
from qwenvl_kit.options import BudgetChoice, Fit, Sampling, as_budget
from qwenvl_kit.requests import Request, check_sampling

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat

JOURNAL_KIND = "evaluate"
"""The kind of journal that an evaluation writes."""

CONDITIONS_KEY = "\0conditions"
"""The key under which a journal has the record of the evaluation that began it."""


@explains_wrong_arguments
def evaluate(
    chat: VisionChat,
    benchmark: Benchmark,
    *,
    journal: str | os.PathLike[str] | None = None,
    limit: int | None = None,
    seed: int = 0,
    method: Method = "text",
    judge: VisionChat | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
    fit: Fit | None = None,
    thinking: bool | None = None,
    max_batch_size: int | None = None,
    progress: bool = True,
) -> EvaluationResult:
    """Ask a chat the questions of a benchmark, and score its answers by the published rule.

    An item that fails costs itself alone: it has no score and is counted apart. With a journal each
    reply is on the disk at once; a later call with the same file goes on from there, also with a
    higher limit.

        result = evaluate(chat, DocVQA("DocVQA_VAL.tsv"), journal="run.jsonl", limit=200)
        print(result.score, result.interval)

    Args:
        chat: the model, on any backend.
        benchmark: the questions.
        journal: a file that keeps the replies and the conditions of the run.
        limit: the number of items to ask, drawn by the seed; None asks all. A part of 200 is a
            part of that of 400. Items that only count together, such as the rotations of a question
            of MMBench, are drawn together, so that there may be a few more.
        seed: the seed of the draw.
        method: "text" lets the model write an answer, which is read by the benchmark's rule;
            "probability" takes the most probable of the letters of a question's options, so that
            nothing needs to be read.
        judge: a chat that reads the answers that the rule cannot read, where the benchmark has a
            question for a judge. The result tells how many it read.
        sampling: the settings of generation; None decodes greedily, up to the greatest length of
            the benchmark.
        budget: visual tokens that each picture may cost; None takes the chat's.
        fit: "refuse" or "shrink" for items that are too long; see `VisionChat.ask`.
        thinking: True if the model should think first, where its checkpoint can be switched.
        max_batch_size: the most requests in flight; None lets their memory decide.
        progress: True shows a progress bar with the score so far.

    Raises:
        EvaluationError: an argument cannot be used.
        JournalError: the file belongs to another evaluation: it says what differs.
        UnsupportedFeatureError: `method="probability"` on a backend without log-probabilities.
    """
    _check(benchmark, limit, seed, method, max_batch_size)
    check_sampling(sampling)
    if judge is None and benchmark.needs_judge:
        raise EvaluationError(
            f"{benchmark.name} leaves its answers to a judge, and none was given",
            expected="judge=..., a chat",
        )
    benchmark = benchmark.for_chat(chat)
    items = chosen_items(benchmark, limit, seed)
    settings = Request(
        "",
        sampling=sampling or greedy(benchmark.max_new_tokens),
        budget=None if budget is None else as_budget(budget),
        fit=fit,
        thinking=thinking,
    )
    record = new_record(
        chat,
        benchmark,
        items,
        settings,
        seed=None if len(items) == len(benchmark) else seed,
        method=method,
        judge={} if judge is None else dict(judge.report()),
        begun=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    metrics = metrics_of(benchmark)
    started = time.perf_counter()
    answer = answer_by_text if method == "text" else answer_by_probability
    with (
        _opened(journal, chat, benchmark, record) as kept,
        Progress(len(items), is_shown=progress) as shown,
    ):
        asking = Asking(chat, benchmark, settings, kept, shown, max_batch_size)
        found = answer(asking, items)
    if judge is not None:
        found = judge_unread(judge, benchmark, found, journal)
    record = replace(record, seconds=time.perf_counter() - started)
    return EvaluationResult(record, tuple(found), metrics)


def greedy(max_new_tokens: int) -> Sampling:
    """Return the settings by which the published benchmarks are answered: the likeliest token."""
    return Sampling(temperature=0.0, max_new_tokens=max_new_tokens)


def chosen_items(benchmark: Benchmark, limit: int | None, seed: int) -> list[EvaluationItem]:
    """Return the items that are asked, in the order of the data.

    Args:
        benchmark: the benchmark.
        limit: their number; None for all. Items that only count together are drawn together, so
            that there may be a few more.
        seed: the seed of the draw. A smaller number of the same seed is a part of a greater one.
    """
    if limit is None or limit >= len(benchmark):
        return list(benchmark)
    groups: dict[str, list[int]] = {}
    for at, item in enumerate(benchmark):
        groups.setdefault(benchmark.drawn_with(item), []).append(at)
    places: list[int] = []
    for name in sorted(groups, key=partial(_lot, seed)):
        if len(places) >= limit:
            break
        places += groups[name]
    return [benchmark[at] for at in sorted(places)]


def _lot(seed: int, name: str) -> bytes:
    """The lot of a name in a draw, whatever other names there are, and in whatever order."""
    return hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogatepass")).digest()


def _opened(
    path: str | os.PathLike[str] | None,
    chat: VisionChat,
    benchmark: Benchmark,
    record: EvaluationRecord,
) -> Journal:
    """The journal of a run; its header has what decides answers, whatever part is asked."""
    if path is None:
        return Journal()
    settings: Mapping[str, Any] = {
        "benchmark": record.benchmark,
        "data": benchmark.digest,
        "prompt": record.prompt,
        "prompts": digest_prompts(benchmark, benchmark),
        "conditions": record.conditions,
        "method": record.method,
        "model": model_facts(chat.report()),
        "sampling": record.sampling,
        "budget": record.budget,
        "thinking": record.thinking,
    }
    journal = Journal.open(path, kind=JOURNAL_KIND, settings=settings)
    if CONDITIONS_KEY not in journal:
        journal.add(CONDITIONS_KEY, asdict(record))
    return journal


def _check(
    benchmark: object, limit: object, seed: object, method: object, max_batch_size: object
) -> None:
    if not isinstance(benchmark, Benchmark):
        raise EvaluationError(
            f"a benchmark of type {type(benchmark).__name__} was given",
            expected='a benchmark, such as DocVQA("DocVQA_VAL.tsv") or Benchmark("mine.jsonl")',
        )
    numbers = (("limit", limit, 1), ("seed", seed, 0), ("max_batch_size", max_batch_size, 1))
    for name, value, least in numbers:
        is_number = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if not is_number and not (name != "seed" and value is None):
            raise EvaluationError(
                f"{name}={value!r} was given", expected=f"a whole number, {least} or more"
            )
    if method not in ("text", "probability"):
        raise EvaluationError(f"method={method!r} was given", expected="'text' or 'probability'")


def score_answers(
    benchmark: Benchmark, answers: Mapping[Any, Any], *, name: str = "answers from elsewhere"
) -> EvaluationResult:
    """Score answers that something else has given, such as a file of predictions.

        rows = csv.DictReader(open("predictions.csv"))
        result = score_answers(benchmark, {row["index"]: row["prediction"] for row in rows})

    Items without an answer, or with None or NaN for one, are failures, counted apart.

    Args:
        benchmark: the questions.
        answers: the answer of each item, by its id; numbers are taken as texts.
        name: a name for what has answered.

    Raises:
        EvaluationError: an answer has the id of no item, or is no text.
    """
    given = {
        text_cell(key, "answers", "id"): value
        if isinstance(value, str) or not is_empty(value)
        else None
        for key, value in answers.items()
    }
    known = {item.id for item in benchmark}
    if strangers := [key for key in given if key not in known]:
        raise EvaluationError(
            f"{len(strangers):,} answers have the id of no item, such as {strangers[0]!r}",
            expected=f"ids of {benchmark.name}, such as {benchmark[0].id!r}",
        )
    record = replace(new_record(None, benchmark, list(benchmark)), model={"model": name})
    found = [_from_elsewhere(benchmark, item, given.get(item.id)) for item in benchmark]
    return EvaluationResult(record, tuple(found), metrics_of(benchmark))


def _from_elsewhere(benchmark: Benchmark, item: EvaluationItem, answer: Any) -> ScoredItem:
    """An item with an answer and its score; a failure if there is none."""
    if answer is None:
        return ScoredItem(
            item=item,
            error=EvaluationError("no answer was given", expected="an answer for each item"),
        )
    found = ScoredItem(item=item, answer=text_cell(answer, item.where, "answer"))
    return with_score(found, lambda: benchmark.score(item, found.answer or ""))
