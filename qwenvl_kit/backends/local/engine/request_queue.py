"""The request queue: requests that wait for the model, and the choice of those that may begin.

Requests begin in the order in which they came. A request begins when there is room for it in the
decode batch: in its number of sequences, in positions of the KV cache, and in memory.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from qwenvl_kit.backends.admission import check_queue_has_room
from qwenvl_kit.backends.local.engine.request import EngineRequest

MAX_BATCH_SIZE = 64
"""Most sequences that are decoded together: more do not make a forward pass cheaper."""

_MAX_TOKENS = 65_536
"""Most positions in the KV cache of a batch, padding included: it is copied when sequences come or
go. A shared prefix is held once and not copied, and does not count."""

_CACHE_SHARE = 0.4
"""Share of the free memory that KV caches may take: while one is copied, it is there twice."""


class RequestQueue:
    """Waiting requests in the order in which they begin. One thread at a time may use it.

    Args:
        max_waiting: the most requests that may wait.
        free_bytes: returns the free memory of the device in bytes; None where it is not known.
        num_shared: returns the length of the prefix that some requests would hold once if they
            ran together.
    """

    def __init__(
        self,
        max_waiting: int,
        free_bytes: Callable[[], int | None],
        num_shared: Callable[[Sequence[EngineRequest]], int],
    ) -> None:
        self._max_waiting = max_waiting
        self._free_bytes = free_bytes
        self._num_shared = num_shared
        self._requests: deque[EngineRequest] = deque()
        self._max_batch_size = MAX_BATCH_SIZE
        self._max_bytes: float | None = None

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[EngineRequest]:
        return iter(self._requests)

    def add(self, request: EngineRequest) -> None:
        """Put a request at the end of the queue.

        Raises:
            OverloadError: the queue is full.
        """
        check_queue_has_room(len(self._requests), self._max_waiting, "from_pretrained")
        self._requests.append(request)

    def put_back(self, requests: Sequence[EngineRequest]) -> None:
        """Put requests that had begun at the front of the queue."""
        self._requests.extendleft(reversed(requests))

    def clear(self) -> list[EngineRequest]:
        """Remove all requests, and return them."""
        requests = list(self._requests)
        self._requests.clear()
        return requests

    def reset_limits(self, *, is_idle: bool) -> None:
        """Measure the free memory anew: nothing runs, and it may have changed.

        Args:
            is_idle: True if no request waited either; a smaller batch size, which was set when
                memory ran out, is then forgotten too.
        """
        self._max_bytes = None
        if is_idle:
            self._max_batch_size = MAX_BATCH_SIZE

    def limit_batch_size(self, max_batch_size: int) -> None:
        """Let fewer requests run together, because memory ran out."""
        self._max_batch_size = max(1, max_batch_size)

    @property
    def max_batch_size(self) -> int:
        """The most requests that may run together."""
        return self._max_batch_size

    def take_ended(self) -> list[EngineRequest]:
        """Remove the requests that were cancelled or are past their deadline, and return them."""
        ended = [request for request in self._requests if request.is_over()]
        for request in ended:
            self._requests.remove(request)
        return ended

    def take(self, running: Iterable[EngineRequest]) -> list[EngineRequest]:
        """Remove the requests that may begin now, and return them.

        Args:
            running: the requests that run already.
        """
        together = list(running)
        taken: list[EngineRequest] = []
        while self._requests and self._have_room([*together, self._requests[0]]):
            request = self._requests.popleft()
            together.append(request)
            taken.append(request)
        return taken

    def num_rows(self, num_positions: int, position_bytes: int) -> int:
        """The number of sequences for which there is room together; at least one.

        Args:
            num_positions: the positions that each has for itself.
            position_bytes: the size of one position in bytes.
        """
        most = min(self._max_batch_size, _MAX_TOKENS // max(1, num_positions))
        size = num_positions * position_bytes
        return max(1, int(min(most, self._free // size) if size else most))

    @property
    def _free(self) -> float:
        """The bytes that KV caches may take together."""
        if self._max_bytes is None:
            free = self._free_bytes()
            self._max_bytes = math.inf if free is None else _CACHE_SHARE * free
        return self._max_bytes

    def _have_room(self, requests: Sequence[EngineRequest]) -> bool:
        """True if requests may run together; a single one always may."""
        if len(requests) == 1:
            return True
        if len(requests) > self._max_batch_size:
            return False
        return _fit(requests, 0, self._free) or (
            (shared := self._num_shared(requests)) > 0 and _fit(requests, shared, self._free)
        )


def cache_bytes(requests: Sequence[EngineRequest], num_shared: int) -> int:
    """The size of the KV caches of requests, in bytes.

    Args:
        requests: the requests.
        num_shared: the length of the prefix that they hold once.
    """
    saved = sum(request.cache_bytes * num_shared // request.max_tokens for request in requests[1:])
    return sum(request.cache_bytes for request in requests) - saved


def _fit(requests: Sequence[EngineRequest], num_shared: int, max_bytes: float) -> bool:
    """True if the KV caches of requests that share a prefix fit into the limits."""
    longest = max(request.max_tokens for request in requests)
    num_positions = len(requests) * (longest - num_shared)
    return num_positions <= _MAX_TOKENS and cache_bytes(requests, num_shared) <= max_bytes
