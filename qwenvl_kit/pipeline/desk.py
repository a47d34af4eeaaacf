"""What a batch needs of a chat, for one of its requests at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from qwenvl_kit.journal import Journal
from qwenvl_kit.media.fetch_cache import Fetches
from qwenvl_kit.pipeline.core import Pipeline, Prepared, Settled
from qwenvl_kit.pipeline.inflight import Follower, Pending
from qwenvl_kit.pipeline.resume import Notes
from qwenvl_kit.pipeline.stats import Totals
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    from typing_extensions import Self


class BatchDesk:
    """Takes care of one of many requests at a time; in any thread.

    Args:
        pipeline: the way of each.
        totals: where replies are counted.
        journal: where replies are kept.
        defaults: the settings of the call.
    """

    def __init__(
        self, pipeline: Pipeline, totals: Totals, journal: Journal, defaults: Request
    ) -> None:
        self._pipeline = pipeline
        self._totals = totals
        self._journal = journal
        self._notes = Notes(journal, pipeline.policy)
        self._defaults = defaults
        self._fetches = Fetches()

    def settle(self, request: Request) -> Settled:
        """The request, with the settings of the call."""
        return self._pipeline.settle(request.with_defaults(self._defaults))

    def recall(self, index: int, request: Settled) -> Reply | None:
        """Its reply, if an earlier run gave it."""
        reply = self._notes.find(index, request)
        return None if reply is None else self._pipeline.judged(reply, request)

    def prepare(self, request: Settled) -> Prepared:
        """What is done before the model runs."""
        return self._pipeline.prepare(request, self._fetches)

    def begin(self, request: Prepared, follower: Follower) -> Pending:
        """Have it answered."""
        return Pending(self._pipeline, request, self._totals, follower)

    def together(self) -> AbstractContextManager[object]:
        """What is begun within it is begun together."""
        return self._pipeline.together()

    def keep(self, answered: Sequence[tuple[int, Settled, Reply]]) -> None:
        """Take note of replies, each with its place and request."""
        self._notes.keep(answered)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()
