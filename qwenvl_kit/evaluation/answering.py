"""Answers to the items of a benchmark: texts that a model writes, or its most probable options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TYPE_CHECKING

from qwenvl_kit.errors import EvaluationError, QwenVLKitError, UnsupportedFeatureError
from qwenvl_kit.evaluation.benchmark import Benchmark
from qwenvl_kit.evaluation.items import EvaluationItem, ScoredItem
from qwenvl_kit.evaluation.progress import Progress
from qwenvl_kit.journal import Journal
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Failure, Reply
from qwenvl_kit.tasks.answer_scores import score_requests

if TYPE_CHECKING:
    from qwenvl_kit.chat import VisionChat

_SCORED_AT_A_TIME = 8
"""Items whose options are scored in one batch."""


@dataclass(frozen=True)
class Asking:
    """The chat that is asked, and the conditions.

    Attributes:
        chat: the chat.
        benchmark: the benchmark of the items.
        settings: the settings of the call.
        journal: the journal that keeps the replies.
        progress: the bar.
        max_batch_size: the most requests in flight.
    """

    chat: VisionChat
    benchmark: Benchmark
    settings: Request
    journal: Journal
    progress: Progress
    max_batch_size: int | None = None


def answer_by_text(asking: Asking, items: Sequence[EvaluationItem]) -> list[ScoredItem]:
    """Return the items with the texts that a chat writes, scored."""
    found: dict[int, ScoredItem] = {}
    settings = asking.settings
    askable = _Askable(asking.benchmark, items, found)
    with asking.chat.stream_many(
        askable,
        sampling=settings.sampling,
        budget=settings.budget,
        fit=settings.fit,
        thinking=settings.thinking,
        max_batch_size=asking.max_batch_size,
        journal=asking.journal,
    ) as stream:
        for event in stream:
            if event.result is not None:
                at = askable.places[event.index]
                found[at] = scored_result(asking.benchmark, items[at], event.result)
                asking.progress.add(found[at])
    for at in askable.unreadable:
        asking.progress.add(found[at])
    return [found[at] for at in range(len(items))]


class _Askable:
    """The requests of items, made one by one; those that cannot be made are failures.

    Args:
        benchmark: the benchmark.
        items: the items.
        found: the results by the place of their item, into which failures go.
    """

    def __init__(
        self, benchmark: Benchmark, items: Sequence[EvaluationItem], found: dict[int, ScoredItem]
    ) -> None:
        self._benchmark = benchmark
        self._items = items
        self._found = found
        self.places: list[int] = []
        self.unreadable: list[int] = []

    def __iter__(self) -> Iterator[Request]:
        for at, item in enumerate(self._items):
            try:
                request = self._benchmark.request(item)
            except QwenVLKitError as error:
                self._found[at] = ScoredItem(item=item, error=error)
                self.unreadable.append(at)
                continue
            self.places.append(at)
            yield request


def scored_result(
    benchmark: Benchmark, item: EvaluationItem, result: Reply | Failure
) -> ScoredItem:
    """Return an item with a reply and its score, or with the error of a failure."""
    if isinstance(result, Failure):
        return ScoredItem(item=item, error=result.error)
    return ScoredItem(
        item=item,
        answer=result.text,
        score=benchmark.score_reply(item, result),
        confidence=result.confidence,
        reply=result,
    )


def answer_by_probability(asking: Asking, items: Sequence[EvaluationItem]) -> list[ScoredItem]:
    """Return the items with the most probable letter of their options, scored.

    Raises:
        EvaluationError: no item has options.
        UnsupportedFeatureError: the backend gives no log-probabilities.
    """
    if not any(item.choices for item in items):
        raise EvaluationError(
            f"no item of {asking.benchmark.name} has options",
            expected="questions with options",
            hint="method='text'",
        )
    found: dict[int, ScoredItem] = {}
    by_number: dict[int, list[int]] = {}
    for at, item in enumerate(items):
        by_number.setdefault(len(item.choices), []).append(at)
    size = min(_SCORED_AT_A_TIME, asking.max_batch_size or _SCORED_AT_A_TIME)
    letters = _Letters(asking)
    for places in by_number.values():
        for first in range(0, len(places), size):
            batch = places[first : first + size]
            for at, each in zip(batch, letters.scored([items[at] for at in batch]), strict=True):
                found[at] = each
                asking.progress.add(each)
    return [found[at] for at in range(len(items))]


@dataclass(frozen=True)
class _Letters:
    """Takes the most probable letter of the options of items that have equally many."""

    asking: Asking

    def scored(self, items: Sequence[EvaluationItem]) -> list[ScoredItem]:
        """The items with their letters; those in the journal are not asked again."""
        known = {at: self._recalled(item) for at, item in enumerate(items)}
        new = [at for at, each in known.items() if each is None]
        answers = dict(zip(new, self._asked([items[at] for at in new]), strict=True))
        return [known[at] or answers[at] for at in range(len(items))]

    def _asked(self, items: Sequence[EvaluationItem]) -> list[ScoredItem]:
        """The items, asked together; one by one if one of them fails."""
        if not items:
            return []
        try:
            if not items[0].choices:
                raise EvaluationError("the question has no options", expected="options")
            letters = ascii_uppercase[: len(items[0].choices)]
            requests = [self.asking.benchmark.request(item) for item in items]
            budget = self.asking.settings.budget
            scored = score_requests(self.asking.chat, requests, tuple(letters), budget=budget)
        except UnsupportedFeatureError:
            raise
        except QwenVLKitError as error:
            if len(items) == 1:
                return [ScoredItem(item=items[0], error=error)]
            return [found for item in items for found in self._asked([item])]
        shares = [dict(zip(letters, each.probabilities)) for each in scored]
        self.asking.journal.add_all(
            {item.id: {"probabilities": each} for item, each in zip(items, shares, strict=True)}
        )
        return [self._chosen(item, each) for item, each in zip(items, shares, strict=True)]

    def _recalled(self, item: EvaluationItem) -> ScoredItem | None:
        record = self.asking.journal.get(item.id)
        return None if record is None else self._chosen(item, record["probabilities"])

    def _chosen(self, item: EvaluationItem, shares: Mapping[str, float]) -> ScoredItem:
        letter = max(shares, key=shares.__getitem__)
        score = self.asking.benchmark.score(item, letter)
        return ScoredItem(item=item, answer=letter, score=score, confidence=shares[letter])
