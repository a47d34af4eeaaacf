"""Answers about pages, kept in a journal as soon as they are there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import QwenVLKitError, release_frames
from qwenvl_kit.journal import Journal, Record, from_record, model_facts, to_record
from qwenvl_kit.options import BudgetChoice, Sampling, as_budget
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Failure, Reply

Answer: TypeAlias = "Reply | QwenVLKitError"
"""A reply, or the error because of which there is none."""

JournalPath: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True)
class Asker:
    """Asks many questions at a time; those that the journal has are not asked again.

    Attributes:
        chat: the model.
        journal: the journal that is open.
        sampling, budget: the settings of all questions.
    """

    chat: VisionChat
    journal: Journal
    sampling: Sampling
    budget: BudgetChoice | None

    def answers(self, questions: Mapping[str, Callable[[], Request]]) -> dict[str, Answer]:
        """Return the answer to each question, by its key.

        Args:
            questions: functions that make the requests, each called when there is room for it, so
                that only few pictures are in memory.
        """
        found: dict[str, Answer] = {}
        open_keys = []
        for key in questions:
            known = self.recalled(key)
            if known is None:
                open_keys.append(key)
            else:
                found[key] = known
        if open_keys:
            self._ask(open_keys, questions, found)
        return found

    def recalled(self, key: str) -> Reply | None:
        """The reply that the journal has; None if it has none."""
        record = self.journal.get(key)
        if record is None or "reply" not in record:
            return None
        return from_record(Reply, record["reply"])

    def note(self, key: str, record: Record) -> None:
        """Keep another fact in the journal."""
        self.journal.add(key, record)

    def _ask(
        self,
        keys: Sequence[str],
        questions: Mapping[str, Callable[[], Request]],
        found: dict[str, Answer],
    ) -> None:
        asked: list[str] = []
        requests = _made(keys, questions, asked, found)
        with self.chat.stream_many(requests, sampling=self.sampling, budget=self.budget) as stream:
            for event in stream:
                if event.result is not None:
                    key = asked[event.index]
                    found[key] = self._kept(key, event.result)

    def _kept(self, key: str, result: Reply | Failure) -> Answer:
        if isinstance(result, Failure):
            release_frames(result.error)
            return result.error
        if result.finish_reason != "cancelled":
            self.journal.add(key, {"reply": to_record(result)})
        return result


def _made(
    keys: Sequence[str],
    questions: Mapping[str, Callable[[], Request]],
    asked: list[str],
    found: dict[str, Answer],
) -> Iterator[Request]:
    """Yield the requests; one that cannot be made is an error among the answers."""
    for key in keys:
        try:
            request = questions[key]()
        except QwenVLKitError as error:
            release_frames(error)
            found[key] = error
            continue
        asked.append(key)
        yield request


def open_journal(path: JournalPath | None, settings: Record, chat: VisionChat) -> Journal:
    """Return the journal of a document; without a path, one that keeps nothing.

    Raises:
        JournalError: the file cannot be used, or belongs to other arguments.
    """
    if path is None:
        return Journal()
    facts = {**settings, "model": model_facts(chat.report())}
    return Journal.open(path, kind="parse_document", settings=facts)


def plain_budget(choice: BudgetChoice | None) -> dict[str, Any] | None:
    """Return a budget as plain values."""
    return None if choice is None else asdict(as_budget(choice))


def without_scores(reply: Reply) -> Reply:
    """Return a reply without its tokens, which for a long document would fill the memory."""
    return replace(reply, tokens=None, end_token=None)
