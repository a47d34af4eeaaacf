"""Locks for the caller's objects: only one thread of the kit reads such an object at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Turn:
    """A lock, and the number of threads that hold it or wait for it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.num_users = 0


class _Turns:
    """A lock for each object that is being read, by the identity of the object.

    The caller's objects may be neither hashable nor weakly referable. A reader keeps its object
    alive, so that the identity is unique as long as the lock is here.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._turns: dict[int, _Turn] = {}

    @contextmanager
    def wait(self, thing: Any) -> Iterator[None]:
        with self._guard:
            turn = self._turns.setdefault(id(thing), _Turn())
            turn.num_users += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._guard:
                turn.num_users -= 1
                if not turn.num_users:
                    self._turns.pop(id(thing), None)

    def forget(self) -> None:
        """Forget all locks in a forked process: threads of the parent held them."""
        self._guard, self._turns = threading.Lock(), {}


_TURNS = _Turns()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TURNS.forget)


@contextmanager
def locked(thing: Any) -> Iterator[None]:
    """Keep other threads of the kit from reading an object of the caller within this context.

    Take the lock of a picture before that of its file, never the other way round.
    """
    with _TURNS.wait(thing):
        yield
