"""What belongs to the caller is read by one of our threads at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _Turn:
    """A lock, and how many hold it or wait for it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.num_users = 0


class _Turns:
    """A lock for each object that is being read, known by its identity.

    Objects of others may be neither hashable nor weakly referable. Whoever reads one keeps it
    alive, so that its identity is its own as long as its lock is here.
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
        """In a forked process: those who held the locks are threads of the parent."""
        self._guard, self._turns = threading.Lock(), {}


_TURNS = _Turns()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_TURNS.forget)


@contextmanager
def alone_with(thing: Any) -> Iterator[None]:
    """Nobody else of the kit reads a thing of the caller within this.

    Take the lock of a picture before that of its file, never the other way round.
    """
    with _TURNS.wait(thing):
        yield
