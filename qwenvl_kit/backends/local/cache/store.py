"""What is kept between requests, within a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.backends.local.memory import free_bytes
from qwenvl_kit.errors import InputError

_DEFAULT_BYTES = 2 * 2**30
_FREE_SHARE = 8


@dataclass(frozen=True)
class Kept:
    """Something that was computed and may be needed again.

    Attributes:
        kind: what it is, for the figures.
        value: the thing itself, which nobody changes.
        num_bytes: what it takes.
    """

    kind: str
    value: Any
    num_bytes: int


class Storage:
    """Kept values by key; the least recently used go first. For any thread.

    Args:
        max_bytes: what all of them together may take; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()
        self._num_bytes = 0
        self.hits = self.misses = 0

    @property
    def used_bytes(self) -> int:
        """What all of them together take now."""
        return self._num_bytes

    @property
    def max_bytes(self) -> int:
        """What all of them together may take."""
        return self._max_bytes

    def start_over(self) -> None:
        """Go on in a forked process, where nobody releases the parent's lock."""
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:
        """A value, which counts as used now; None if it is not kept."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            self._kept.move_to_end(key)
            return kept.value

    def put(self, key: Hashable, kept: Kept) -> None:
        """Keep a value, in place of the one that was kept under its key."""
        with self._lock:
            self._drop(key)
            if kept.num_bytes > self._max_bytes:
                return
            self._kept[key] = kept
            self._num_bytes += kept.num_bytes
            while self._num_bytes > self._max_bytes:
                self._drop(next(iter(self._kept)))

    def note(self, *, found: bool) -> None:
        """Count a search."""
        with self._lock:
            self.hits += found
            self.misses += not found

    def discard(self, key: Hashable) -> None:
        """Let a value go."""
        with self._lock:
            self._drop(key)

    def peek(self, key: Hashable) -> Any:
        """A value, which does not count as used; None if it is not kept."""
        with self._lock:
            kept = self._kept.get(key)
            return None if kept is None else kept.value

    def clear(self) -> int:
        """Let all values go; the bytes that they took."""
        with self._lock:
            freed, self._num_bytes = self._num_bytes, 0
            self._kept.clear()
        return freed

    def count(self, kind: str) -> tuple[int, int]:
        """How many values of a kind are kept, and their bytes."""
        with self._lock:
            sizes = [kept.num_bytes for kept in self._kept.values() if kept.kind == kind]
        return len(sizes), sum(sizes)

    def _drop(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._num_bytes -= kept.num_bytes


def choose_cache_bytes(network: Any, wanted: int | None) -> int:
    """What may be kept: as wanted, or a small part of what a device has left beside a model."""
    if wanted is not None:
        return wanted
    free = free_bytes(network)
    return _DEFAULT_BYTES if free is None else min(_DEFAULT_BYTES, free // _FREE_SHARE)


def check_cache_bytes(wanted: object) -> None:
    """Refuse what is no number of bytes.

    Raises:
        InputError: which, and what was expected.
    """
    if wanted is not None and (type(wanted) is not int or wanted < 0):
        raise InputError(
            f"max_cache_bytes={wanted!r} was given", expected="a whole number of bytes, or None"
        )
