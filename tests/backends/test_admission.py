"""The rules by which all backends admit requests and end them early."""

from __future__ import annotations

import threading
import time

import pytest

from qwenvl_kit.backends.admission import (
    Gathering,
    check_queue_has_room,
    deadline_after,
    early_end,
)
from qwenvl_kit.errors import OverloadError
from qwenvl_kit.results import Delta


class Reader:
    """An observer that may have cancelled its request."""

    def __init__(self, *, is_cancelled: bool) -> None:
        self._is_cancelled = is_cancelled

    def on_delta(self, delta: Delta) -> None:
        pass

    def is_read(self) -> bool:
        return True

    def is_cancelled(self) -> bool:
        return self._is_cancelled


@pytest.mark.parametrize("observer", [None, Reader(is_cancelled=False)])
def test_a_request_goes_on_until_its_deadline(observer: Reader | None) -> None:
    assert early_end(observer, deadline_after(None)) is None
    assert early_end(observer, deadline_after(60.0)) is None
    assert early_end(observer, time.perf_counter()) == "deadline"


def test_a_cancelled_request_ends_as_cancelled_even_past_its_deadline() -> None:
    assert early_end(Reader(is_cancelled=True), deadline_after(None)) == "cancelled"
    assert early_end(Reader(is_cancelled=True), time.perf_counter()) == "cancelled"


def test_a_full_queue_says_how_to_make_room() -> None:
    check_queue_has_room(1, 2, "connect")
    with pytest.raises(OverloadError, match="2 requests wait already") as caught:
        check_queue_has_room(2, 2, "connect")
    assert "max_queued_requests in connect" in caught.value.hint


def test_gathering_lasts_until_the_last_caller_has_gathered() -> None:
    gathering = Gathering(threading.Condition())
    with gathering.hold():
        with gathering.hold():
            assert gathering.is_active
        assert gathering.is_active
    assert not gathering.is_active
    with pytest.raises(KeyError), gathering.hold():
        raise KeyError
    assert not gathering.is_active
