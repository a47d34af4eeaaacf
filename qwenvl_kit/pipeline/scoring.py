"""Scoring: given answers to many requests, each with its probability; nothing is sampled.

A backend that can score reads each prompt once for all of its answers. For any other backend, and
for a model that thinks first, each answer is a request with a constraint that allows it alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Literal, Protocol

from qwenvl_kit.errors import OverloadError, QwenVLKitError, fresh, located
from qwenvl_kit.media.fetch_cache import FetchCache
from qwenvl_kit.options import Sampling
from qwenvl_kit.pipeline.core import Pipeline, PipelineSlot, PipelineUse, PreparedRequest
from qwenvl_kit.pipeline.inflight import RequestObserver, reply_of
from qwenvl_kit.pipeline.stats import StatsCounter
from qwenvl_kit.requests import Request, RequestLike, as_request, check_batch
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.constraints import Constraint, different_texts

if TYPE_CHECKING:
    from concurrent.futures import Future

    from qwenvl_kit.backends.base import Completion

_AT_A_TIME = 32
"""Requests that are prepared and submitted together; each has all of its answers."""

_MAX_PREPARING = 4
"""Requests that are prepared at a time: decoding of pictures does not hold Python's lock."""

_RETRY_SECONDS = 0.01
"""The time after which a request tries again to enter a queue that was full."""


@dataclass(frozen=True)
class _Submitted:
    """A request whose answers are being scored."""

    prepared: PreparedRequest
    future: Future[tuple[Completion, ...]]


class _AskMany(Protocol):
    def __call__(
        self, requests: Iterable[RequestLike], /, *, on_error: Literal["raise"]
    ) -> list[Reply]: ...


def score_answers(
    slot: PipelineSlot,
    ask_many: _AskMany,
    requests: Iterable[RequestLike],
    answers: Iterable[str],
    defaults: Request,
    *,
    stats: StatsCounter,
) -> list[list[Reply]]:
    """Score the same answers to each of several requests.

    Args:
        slot: the pipeline, which cannot be replaced meanwhile.
        ask_many: asks many requests, for a backend that cannot score.
        requests: the requests.
        answers: the answers.
        defaults: the settings of requests that have none of their own.
        stats: the counter of replies and failures; each answer counts as one.

    Returns:
        For each request the replies, in the order of the answers.

    Raises:
        SchemaError: there are no answers, or one is given twice.
        InputError: a request cannot be used.
        GenerationError: the model failed.
    """
    answers = different_texts(answers, "answers")
    asked = scoring_requests(requests, answers, defaults)
    with slot.use() as use:
        scored = _scored(use, asked, answers, stats)
    if scored is not None:
        return scored
    replies = ask_many(single_choices(asked, answers), on_error="raise")
    return [replies[at : at + len(answers)] for at in range(0, len(replies), len(answers))]


def _scored(
    use: PipelineUse, requests: Sequence[Request], answers: Sequence[str], stats: StatsCounter
) -> list[list[Reply]] | None:
    """The replies of a backend that can score; None if it cannot score one of the requests."""
    if not use.pipeline.backend.has_scoring:
        return None
    observer, scored = RequestObserver(), list[list[Reply]]()
    try:
        for batch in _prepared(use.pipeline, requests):
            if not all(use.pipeline.backend.can_score(b.request) for b in batch):
                return None
            with use.pipeline.together():
                submitted = [
                    _submitted(use.pipeline, prepared, answers, observer) for prepared in batch
                ]
            scored += [_replies(use.pipeline, each, stats) for each in submitted]
    finally:
        observer.cancel()
    return scored


def _prepared(pipeline: Pipeline, requests: Sequence[Request]) -> Iterator[list[PreparedRequest]]:
    """The requests, prepared, some of them at a time."""
    fetches, numbered = FetchCache(), iter(enumerate(requests))

    def prepare(each: tuple[int, Request]) -> PreparedRequest:
        number, request = each
        with located(f"requests[{number}]"):
            return pipeline.prepare(pipeline.resolve(request), fetches)

    with ThreadPoolExecutor(_MAX_PREPARING, thread_name_prefix="qwenvl_kit media") as pool:
        while batch := list(islice(numbered, _AT_A_TIME)):
            yield list(pool.map(prepare, batch) if len(batch) > 1 else map(prepare, batch))


def _submitted(
    pipeline: Pipeline, prepared: PreparedRequest, answers: Sequence[str], observer: RequestObserver
) -> _Submitted:
    """Submit a request, once there is room for it."""
    while True:
        try:
            future = pipeline.backend.score(prepared.request, answers, observer)
        except OverloadError:
            time.sleep(_RETRY_SECONDS)
        else:
            return _Submitted(prepared, future)


def _replies(pipeline: Pipeline, submitted: _Submitted, stats: StatsCounter) -> list[Reply]:
    """Wait for the replies, count them and tell listeners."""
    failed = submitted.future.exception()
    if failed is not None:
        if isinstance(failed, Exception):
            stats.add_failure()
            pipeline.listeners.failure(failed)
        raise fresh(failed) if isinstance(failed, QwenVLKitError) else failed
    ended = time.perf_counter()
    replies = [
        reply_of(pipeline, submitted.prepared, completion, ended)
        for completion in submitted.future.result()
    ]
    for reply in replies:
        stats.add(reply)
        pipeline.listeners.reply(reply)
    return replies


def scoring_requests(
    requests: Iterable[RequestLike], answers: Sequence[str], defaults: Request
) -> list[Request]:
    """The requests with room for the longest of some answers.

    Args:
        requests: the requests.
        answers: the answers.
        defaults: the settings of requests that have none of their own.

    Raises:
        InputError: they are no requests.
    """
    check_batch(requests, defaults, "raise", None)
    most = max(len(answer.encode()) for answer in answers) + 1  # a token has at least one byte
    sampling = Sampling(max_new_tokens=most, max_cycle_tokens=None)
    asked = [as_request(each).with_defaults(defaults) for each in requests]
    return [replace(each, sampling=sampling, constraint=None) for each in asked]


def single_choices(requests: Iterable[Request], answers: Sequence[str]) -> Iterator[Request]:
    """Each request once for each answer, with a constraint that allows that answer alone."""
    allowed = [Constraint.from_choices([answer]) for answer in answers]
    for request in requests:
        yield from (replace(request, constraint=constraint) for constraint in allowed)
