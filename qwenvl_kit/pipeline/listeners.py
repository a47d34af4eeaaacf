"""Listeners: objects that are told of each reply and failure; their errors harm no request."""

from __future__ import annotations

import logging
from typing import Protocol

from qwenvl_kit.results import Reply

LOGGER = logging.getLogger("qwenvl_kit")
"""The logger of the kit; silent until a handler is added."""
LOGGER.addHandler(logging.NullHandler())


class Listener(Protocol):
    """An object that is told of each request, in the thread that waits for it; must be quick."""

    def on_reply(self, reply: Reply) -> None:
        """A request was answered."""

    def on_failure(self, error: Exception) -> None:
        """A request failed, while its pictures were read or while the model ran."""


class Listeners:
    """All listeners of a chat. An error in one of them is logged, and the others are still told."""

    def __init__(self) -> None:
        self._all: tuple[Listener, ...] = ()

    def add(self, listener: Listener) -> None:
        """Add a listener; it is told once of each request from now on."""
        self.remove(listener)
        self._all = (*self._all, listener)

    def remove(self, listener: Listener) -> None:
        """Remove a listener; does nothing if it is not there."""
        self._all = tuple(other for other in self._all if other is not listener)

    def __len__(self) -> int:
        return len(self._all)

    def reply(self, reply: Reply) -> None:
        """Tell all listeners of a reply."""
        for listener in self._all:
            try:
                listener.on_reply(reply)
            except Exception:
                LOGGER.warning("a listener failed at a reply", exc_info=True)

    def failure(self, error: Exception) -> None:
        """Tell all listeners of a failure."""
        for listener in self._all:
            try:
                listener.on_failure(error)
            except Exception:
                LOGGER.warning("a listener failed at a failure", exc_info=True)
