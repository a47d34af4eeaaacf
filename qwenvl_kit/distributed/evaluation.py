"""`evaluate_on_ray`: a benchmark, answered by the actors of a cluster."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import qwenvl_kit.errors
from qwenvl_kit.chat import VisionChat
from qwenvl_kit.distributed.datasets import ask_dataset
from qwenvl_kit.errors import GenerationError, QwenVLKitError
from qwenvl_kit.evaluation.answering import with_score
from qwenvl_kit.evaluation.benchmark import Benchmark
from qwenvl_kit.evaluation.evaluating import chosen_items, greedy
from qwenvl_kit.evaluation.items import EvaluationItem, ScoredItem
from qwenvl_kit.evaluation.record import new_record
from qwenvl_kit.evaluation.result import EvaluationResult
from qwenvl_kit.evaluation.scored_run import metrics_of
from qwenvl_kit.options import BudgetChoice, Fit, Sampling
from qwenvl_kit.requests import Request

_REPORT_FILE = "_model.json"
"""The file of the output folder with the report of a chat that answered."""


def evaluate_on_ray(
    chat_factory: Callable[[], VisionChat],
    benchmark: Benchmark,
    output: str | os.PathLike[str],
    *,
    limit: int | None = None,
    seed: int = 0,
    num_actors: int = 1,
    batch_size: int = 32,
    num_cpus: float | None = None,
    num_gpus: float = 0.0,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
    fit: Fit = "refuse",
) -> EvaluationResult:
    """Ask the questions of a benchmark on a cluster of Ray, and score the answers.

    The answers go through `ask_dataset`: they are in the output folder batch by batch, and a run
    that was stopped goes on when it is called again. Each machine must see the files of the
    benchmark under the same path. The scores are those of `evaluate`; the replies themselves stay
    on the machines that made them, so that `result.items` have answers and confidences alone.

    Args:
        chat_factory: function that makes the chat of an actor, in the process of the actor.
        benchmark: the questions.
        output: the folder of the answers, which all machines can see.
        limit: see `evaluate`.
        seed: see `evaluate`.
        num_actors: see `ask_dataset`.
        batch_size: see `ask_dataset`.
        num_cpus: see `ask_dataset`.
        num_gpus: see `ask_dataset`.
        sampling: see `evaluate`.
        budget: see `evaluate`.
        fit: see `evaluate`.

    Raises:
        MissingPackageError: Ray Data is not installed.
        EvaluationError: answers cannot be scored by their texts alone, as boxes in pixels of what
            a model saw.
        JournalError: the folder has answers to other questions.
        QwenVLKitError: no actor could be started; it is the error of `chat_factory`.
    """
    from qwenvl_kit.distributed.validation import check_ray

    check_ray()
    import ray.data

    items = chosen_items(benchmark, limit, seed)
    benchmark.check_without_reply()
    benchmark.request(items[0])  # what fails here would fail each item
    places = {item.id: at for at, item in enumerate(benchmark)}
    settings = Request(
        "", sampling=sampling or greedy(benchmark.max_new_tokens), budget=budget, fit=fit
    )
    answered = ask_dataset(
        ray.data.from_items([{"id": item.id, "place": places[item.id]} for item in items]),
        _Reporting(chat_factory, Path(output).absolute()),
        partial(_request, benchmark),
        output=output,
        num_actors=num_actors,
        batch_size=batch_size,
        num_cpus=num_cpus,
        num_gpus=num_gpus,
        sampling=settings.sampling,
        budget=budget,
        fit=fit,
    )
    rows = {row["id"]: row for row in answered.iter_rows()}
    found = [_scored(benchmark, item, rows.get(item.id)) for item in items]
    record = new_record(None, benchmark, items, settings)
    drawn = None if len(items) == len(benchmark) else seed
    record = replace(record, model=_report_in(Path(output)), seed=drawn)
    return EvaluationResult(record, tuple(found), metrics_of(benchmark))


@dataclass(frozen=True)
class _Reporting:
    """A factory of chats that leaves the report of its chat in the output folder."""

    chat_factory: Callable[[], VisionChat]
    folder: Path

    def __call__(self) -> VisionChat:
        chat = self.chat_factory()
        if isinstance(chat, VisionChat):
            path = self.folder / _REPORT_FILE
            partial_path = path.with_name(f".{path.name}.{os.getpid()}")
            partial_path.write_text(json.dumps(dict(chat.report())), encoding="utf-8")
            os.replace(partial_path, path)
        return chat


def _report_in(folder: Path) -> dict[str, str]:
    """The report of the chat that answered; empty if a folder has none."""
    path = folder / _REPORT_FILE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _request(benchmark: Benchmark, row: Mapping[str, Any]) -> Request:
    """The request of a row, in the process of an actor."""
    return benchmark.request(benchmark[int(row["place"])])


def _scored(
    benchmark: Benchmark, item: EvaluationItem, row: Mapping[str, Any] | None
) -> ScoredItem:
    """An item with the answer that its row has, or with its error."""
    if row is None:
        return ScoredItem(item=item, error=GenerationError("the cluster gave no answer"))
    if row["error"] is not None:
        return ScoredItem(item=item, error=_error(row["error"], row["error_message"]))
    answer = str(row["reply_text"])
    found = ScoredItem(item=item, answer=answer, confidence=row["reply_confidence"])
    return with_score(found, lambda: benchmark.score(item, answer))


def _error(name: str, message: str) -> QwenVLKitError:
    """The error of an actor, of its own kind where it is one of the kit's."""
    kind: Any = getattr(qwenvl_kit.errors, name, QwenVLKitError)
    is_of_kit = isinstance(kind, type) and issubclass(kind, QwenVLKitError)
    made: QwenVLKitError = (kind if is_of_kit else QwenVLKitError)(message)
    return made
