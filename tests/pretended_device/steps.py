"""Decode steps as they are counted: what each waits for, uploads and copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from qwenvl_kit import Reply, Request, Sampling, VisionChat
from qwenvl_kit.backends.local.engine.prefill import Prefill
from qwenvl_kit.backends.local.engine.scheduler import Scheduler
from qwenvl_kit.structured_output.constraints import Constraint
from tests.pretended_device.traffic import Traffic, num_unawaited, recorded

_SCHEMA = {"type": "array", "items": {"type": "integer"}, "minItems": 9}
_PUBLISHED = {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "seed": 1}
_NUM_TOKENS = 6


@dataclass(frozen=True)
class Step:
    """The traffic of a decode step.

    Attributes:
        num_rows: the sequences of its batch.
        traffic: what went to and fro.
    """

    num_rows: int
    traffic: Traffic

    @property
    def counts(self) -> list[int]:
        """The numbers of waits, uploads and copies between devices."""
        found = (self.traffic.waits, self.traffic.uploads, self.traffic.copies)
        return [each.total() for each in found]


def greedy(num_rows: int) -> list[Request]:
    """Greedy requests of different lengths, so that they are padded."""
    return [_request(number, Sampling(max_new_tokens=_NUM_TOKENS)) for number in range(num_rows)]


def sampled(num_rows: int) -> list[Request]:
    """Requests with published settings."""
    sampling = Sampling(max_new_tokens=_NUM_TOKENS, **_PUBLISHED)  # type: ignore[arg-type]
    return [_request(number, sampling) for number in range(num_rows)]


def beginning_alike(num_rows: int) -> list[Request]:
    """Greedy requests whose beginning is so long that it is held once."""
    told = " ".join(map(str, range(160)))
    sampling = Sampling(max_new_tokens=_NUM_TOKENS)
    return [Request(f"{told} {'x' * number}", sampling=sampling) for number in range(num_rows)]


def of_all_kinds(num_rows: int) -> list[Request]:
    """Requests with penalties, with a grammar, and with draws from the whole vocabulary."""
    kinds = (
        {**_PUBLISHED, "presence_penalty": 1.5, "repetition_penalty": 1.1},
        {**_PUBLISHED, "constraint": Constraint.from_schema(_SCHEMA)},
        {"temperature": 0.9, "top_p": 0.9, "seed": 2},
        {"temperature": 0.9, "presence_penalty": 0.5, "seed": 3, "num_alternatives": 2},
    )
    requests = []
    for number in range(num_rows):
        settings: dict[str, Any] = dict(kinds[number % len(kinds)])
        constraint = settings.pop("constraint", None)
        sampling = Sampling(max_new_tokens=_NUM_TOKENS, **settings)
        requests.append(_request(number, sampling, constraint))
    return requests


def _request(number: int, sampling: Sampling, constraint: Constraint | None = None) -> Request:
    return Request("x " * number + "?", sampling=sampling, constraint=constraint)


def counted(chat: VisionChat, requests: Sequence[Request], num_skipped: int = 0) -> Step:
    """The dearest step of a batch while all its requests run.

    Args:
        chat: the chat.
        requests: the requests of the batch.
        num_skipped: the number of first steps that are left out.
    """
    chat.clear_cache()
    steps: list[Step] = []
    decode = Scheduler._decode

    def recording(scheduler: Scheduler) -> None:
        num_rows = len(scheduler._batch.requests)
        with recorded() as traffic:
            decode(scheduler)
        if num_rows == len(scheduler._batch.requests):  # else rows were dropped
            steps.append(Step(num_rows, traffic))

    with patch.object(Scheduler, "_decode", recording):
        for reply in chat.ask_many(requests):
            assert isinstance(reply, Reply), reply
    together = [step for step in steps if step.num_rows == len(requests)]
    together = together[num_skipped:]
    assert together, [step.num_rows for step in steps]
    return max(together, key=lambda step: sum(step.counts))


@contextmanager
def work_left_by_prefill() -> Iterator[list[int]]:
    """The matrix products that the host has not waited for when a prefill tells its time."""
    left: list[int] = []
    original = Prefill.run

    def watched(prefill: Prefill, *args: Any) -> Iterator[Any]:
        for done in original(prefill, *args):
            left.append(num_unawaited())
            yield done

    with patch.object(Prefill, "run", watched):
        yield left
