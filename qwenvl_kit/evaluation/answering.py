"""Answers to the items of a benchmark: texts that a model writes, or its most probable options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_uppercase
from typing import TYPE_CHECKING

from qwenvl_kit.errors import (
    EvaluationError,
    JournalError,
    QwenVLKitError,
    UnsupportedFeatureError,
    release_frames,
)
from qwenvl_kit.evaluation.benchmark import Benchmark
from qwenvl_kit.evaluation.items import EvaluationItem, ItemScore, ScoredItem
from qwenvl_kit.evaluation.progress import Progress
from qwenvl_kit.journal import Journal, fingerprint
from qwenvl_kit.pipeline.resume import identify_messages
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
                self._found[at] = failed(item, error)
                self.unreadable.append(at)
                continue
            self.places.append(at)
            yield request


def scored_result(
    benchmark: Benchmark, item: EvaluationItem, result: Reply | Failure
) -> ScoredItem:
    """Return an item with a reply and its score, or with the error of a failure."""
    if isinstance(result, Failure):
        return failed(item, result.error)
    found = ScoredItem(item=item, answer=result.text, confidence=result.confidence, reply=result)
    return with_score(found, lambda: benchmark.score_reply(item, result))


def with_score(found: ScoredItem, score: Callable[[], ItemScore]) -> ScoredItem:
    """Return an answered item with its score, or as a failure if its rule fails.

    Args:
        found: the item with its answer.
        score: function that scores it; that of a user may raise anything.
    """
    try:
        return replace(found, score=score())
    except QwenVLKitError as error:
        release_frames(error)
        return replace(found, error=error)
    except Exception as error:  # of a user's own rule
        told = EvaluationError(
            f"the scorer failed ({type(error).__name__}: {error})",
            expected="a score for each answer",
            where=found.item.where,
        )
        return replace(found, error=told)


def failed(item: EvaluationItem, error: QwenVLKitError) -> ScoredItem:
    """Return an item with its error, which holds no frames, and so no pictures, any more."""
    release_frames(error)
    return ScoredItem(item=item, error=error)


def answer_by_probability(asking: Asking, items: Sequence[EvaluationItem]) -> list[ScoredItem]:
    """Return the items with the most probable letter of their options, scored.

    Raises:
        EvaluationError: no item has options.
        UnsupportedFeatureError: the backend gives no log-probabilities.
    """
    _check_options(asking.benchmark, items)
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


def _check_options(benchmark: Benchmark, items: Sequence[EvaluationItem]) -> None:
    """Refuse items without options, and a rule that takes no letter for right."""
    first = next((item for item in items if item.choices), None)
    if first is None:
        raise EvaluationError(
            f"no item of {benchmark.name} has options",
            expected="questions with options",
            hint="method='text'",
        )
    letters = ascii_uppercase[: len(first.choices)]
    if not any(benchmark.score(first, letter).value for letter in letters):
        raise EvaluationError(
            f"the rule of {benchmark.name} takes none of the letters {', '.join(letters)} for "
            f"right ({first.where or first.id})",
            expected="a rule that reads the letters of options",
            hint="scorer='option'",
        )


@dataclass(frozen=True)
class _Letters:
    """Takes the most probable letter of the options of items that have equally many."""

    asking: Asking

    def scored(self, items: Sequence[EvaluationItem]) -> list[ScoredItem]:
        """The items with their letters; those in the journal are not asked again."""
        asked: list[_Asked] = []
        found: dict[int, ScoredItem] = {}
        for at, item in enumerate(items):
            try:
                each = self._ready(at, item)
                known = self._recalled(each)
            except QwenVLKitError as error:
                found[at] = failed(item, error)
                continue
            if known is None:
                asked.append(each)
            else:
                found[at] = known
        found |= {each.at: scored for each, scored in self._answered(asked)}
        return [found[at] for at in range(len(items))]

    def _ready(self, at: int, item: EvaluationItem) -> _Asked:
        """An item with its request, and with the mark by which the journal knows it again."""
        if not item.choices:
            raise EvaluationError("the question has no options", expected="options")
        request = self.asking.benchmark.request(item).with_defaults(self.asking.settings)
        policy = self.asking.chat.policy
        shown = identify_messages(request.conversation(), policy) if self._is_kept else []
        return _Asked(at, item, request, fingerprint([shown, len(item.choices)]))

    @property
    def _is_kept(self) -> bool:
        return self.asking.journal.is_kept

    def _answered(self, asked: Sequence[_Asked]) -> list[tuple[_Asked, ScoredItem]]:
        """The items, asked together; one by one if one of them fails."""
        if not asked:
            return []
        letters = ascii_uppercase[: len(asked[0].item.choices)]
        requests = [each.request for each in asked]
        try:
            scored = score_requests(self.asking.chat, requests, tuple(letters))
        except UnsupportedFeatureError:
            raise
        except QwenVLKitError as error:
            if len(asked) == 1:
                return [(asked[0], failed(asked[0].item, error))]
            return [found for each in asked for found in self._answered([each])]
        shares = [dict(zip(letters, each.probabilities)) for each in scored]
        self.asking.journal.add_all(
            {
                each.item.id: {"request": each.mark, "probabilities": share}
                for each, share in zip(asked, shares, strict=True)
            }
        )
        return [(each, self._chosen(each.item, share)) for each, share in zip(asked, shares)]

    def _recalled(self, asked: _Asked) -> ScoredItem | None:
        """The item as the journal has it; None if it has not.

        Raises:
            JournalError: the journal has the letters of another question under its id.
        """
        record = self.asking.journal.get(asked.item.id)
        if record is None:
            return None
        if record.get("request") != asked.mark or "probabilities" not in record:
            raise JournalError(
                f"the journal holds the answer to another question under {asked.item.id!r}",
                expected="the same question, options and pictures as when it was answered",
                hint="another journal",
            )
        return self._chosen(asked.item, record["probabilities"])

    def _chosen(self, item: EvaluationItem, shares: Mapping[str, float]) -> ScoredItem:
        letter = max(shares, key=shares.__getitem__)
        found = ScoredItem(item=item, answer=letter, confidence=shares[letter])
        return with_score(found, lambda: self.asking.benchmark.score(item, letter))


@dataclass(frozen=True)
class _Asked:
    """An item whose letters are scored: its place, its request and its mark in the journal."""

    at: int
    item: EvaluationItem
    request: Request
    mark: str
