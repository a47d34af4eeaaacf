"""The cache store: values that are kept between requests, within a limit in bytes."""

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
class CacheEntry:
    """A value that was computed and may be needed again.

    Attributes:
        kind: its kind, by which entries are counted.
        value: the value itself, which nobody changes.
        num_bytes: its size.
    """

    kind: str
    value: Any
    num_bytes: int


class CacheStore:
    """Cache entries by key; the least recently used are dropped first. Any thread may use it.

    Args:
        max_bytes: the most bytes of all entries together; 0 keeps nothing.

    Attributes:
        hits: the number of searches that found an entry.
        misses: the number of searches that found none.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, CacheEntry] = OrderedDict()
        self._num_bytes = 0
        self.hits = self.misses = 0

    @property
    def used_bytes(self) -> int:
        """The bytes that all entries take together."""
        return self._num_bytes

    @property
    def max_bytes(self) -> int:
        """The most bytes that all entries may take together."""
        return self._max_bytes

    def reset_after_fork(self) -> None:
        """Go on in a forked process, in which nobody would release the parent's lock."""
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Any:
        """Return a value, and count it as used now; None if it is not kept."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            self._kept.move_to_end(key)
            return kept.value

    def put(self, key: Hashable, entry: CacheEntry) -> None:
        """Keep an entry, in place of an earlier one of the same key."""
        with self._lock:
            self._drop(key)
            if entry.num_bytes > self._max_bytes:
                return
            self._kept[key] = entry
            self._num_bytes += entry.num_bytes
            while self._num_bytes > self._max_bytes:
                self._drop(next(iter(self._kept)))

    def note(self, *, found: bool) -> None:
        """Count a hit or a miss."""
        with self._lock:
            self.hits += found
            self.misses += not found

    def discard(self, key: Hashable) -> None:
        """Drop a value, if it is kept."""
        with self._lock:
            self._drop(key)

    def peek(self, key: Hashable) -> Any:
        """Return a value without counting it as used; None if it is not kept."""
        with self._lock:
            kept = self._kept.get(key)
            return None if kept is None else kept.value

    def clear(self) -> int:
        """Drop all values, and return the bytes that they took."""
        with self._lock:
            freed, self._num_bytes = self._num_bytes, 0
            self._kept.clear()
        return freed

    def count(self, kind: str) -> tuple[int, int]:
        """The number of entries of a kind, and the bytes that they take."""
        with self._lock:
            sizes = [kept.num_bytes for kept in self._kept.values() if kept.kind == kind]
        return len(sizes), sum(sizes)

    def _drop(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self._num_bytes -= kept.num_bytes


def choose_cache_bytes(model: Any, wanted: int | None) -> int:
    """The limit for a cache store, in bytes.

    Args:
        model: a loaded model.
        wanted: the limit that the user gave; None takes a small part of the memory that the
            model leaves free on its device.
    """
    if wanted is not None:
        return wanted
    free = free_bytes(model)
    return _DEFAULT_BYTES if free is None else min(_DEFAULT_BYTES, free // _FREE_SHARE)


def check_cache_bytes(wanted: object) -> None:
    """Check the argument `max_cache_bytes`.

    Raises:
        InputError: it is neither a whole number from 0 on nor None.
    """
    if wanted is not None and (type(wanted) is not int or wanted < 0):
        raise InputError(
            f"max_cache_bytes={wanted!r} was given", expected="a whole number of bytes, or None"
        )
