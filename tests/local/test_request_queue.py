"""Which requests may begin together: as many as there is memory for, in their order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.local.engine.request_queue import MAX_BATCH_SIZE, RequestQueue
from qwenvl_kit.errors import InputError, OverloadError


def _request(max_tokens: int = 10, cache_bytes: int = 10) -> Any:
    return SimpleNamespace(max_tokens=max_tokens, cache_bytes=cache_bytes)


def _queue(requests: list[Any], free_bytes: int | None = None, num_shared: int = 0) -> RequestQueue:
    queue = RequestQueue(max(1, len(requests)), lambda: free_bytes, lambda _: num_shared)
    for request in requests:
        queue.add(request)
    return queue


sizes = st.lists(st.tuples(st.integers(1, 40_000), st.integers(0, 10**9)), max_size=80)


@given(sizes, st.one_of(st.none(), st.integers(0, 10**10)))
def test_all_are_taken_in_their_order_and_none_waits_for_ever(
    shapes: list[tuple[int, int]], free_bytes: int | None
) -> None:
    requests = [_request(*shape) for shape in shapes]
    queue, taken = _queue(requests, free_bytes), []
    while len(queue):
        together = queue.take([])
        assert together
        taken += together
    assert all(one is other for one, other in zip(taken, requests))
    assert len(taken) == len(requests)


@given(sizes, st.integers(0, 10**10))
def test_those_that_run_together_have_room_together(
    shapes: list[tuple[int, int]], free_bytes: int
) -> None:
    queue = _queue([_request(*shape) for shape in shapes], free_bytes)
    while len(queue):
        requests = queue.take([])
        if len(requests) > 1:
            assert len(requests) <= MAX_BATCH_SIZE
            assert sum(request.cache_bytes for request in requests) <= 0.4 * free_bytes
            assert len(requests) * max(request.max_tokens for request in requests) <= 65_536


def test_what_requests_begin_with_alike_takes_room_once() -> None:
    requests = [_request(max_tokens=30_000, cache_bytes=30_000_000) for _ in range(20)]
    assert len(_queue(requests, 100_000_000).take([])) == 1
    assert len(_queue(requests, 100_000_000, num_shared=29_900).take([])) == 20
    assert len(_queue(requests, 75_600_000, num_shared=29_900).take([])) == 3  # 40 % of which


def test_one_that_is_too_large_for_any_company_runs_alone() -> None:
    queue = _queue([_request(cache_bytes=10**12), _request()], free_bytes=100)
    assert len(queue.take([])) == 1


def test_what_runs_already_takes_its_room() -> None:
    queue = _queue([_request(max_tokens=40_000)])
    assert not queue.take([_request(max_tokens=40_000)])
    assert queue.take([])


def test_where_memory_ran_out_fewer_run_together_until_nothing_waits() -> None:
    queue = _queue([_request() for _ in range(9)])
    queue.limit_batch_size(2)
    queue.reset_limits(is_idle=False)
    assert len(queue.take([])) == 2
    queue.reset_limits(is_idle=True)
    assert len(queue.take([])) == 7


def test_one_more_than_may_wait_is_refused_with_what_to_do() -> None:
    queue = _queue([_request(), _request()])
    with pytest.raises(OverloadError, match="2 requests wait already") as caught:
        queue.add(_request())
    assert "max_queued_requests" in caught.value.hint


@pytest.mark.parametrize("number", [0, -1, 1.5, True, None, "many"])
def test_a_length_that_cannot_be_meant_is_refused_before_a_model_is_loaded(number: Any) -> None:
    with pytest.raises(InputError, match="max_queued_requests"):
        VisionChat.from_pretrained(max_queued_requests=number)
