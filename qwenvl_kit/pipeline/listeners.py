"""Who is told of each request, and that one who fails at listening harms nobody."""

from __future__ import annotations

import logging
from typing import Protocol

from qwenvl_kit.results import Reply

LOGGER = logging.getLogger("qwenvl_kit")
"""All that the kit logs goes here; silent until somebody adds a handler."""
LOGGER.addHandler(logging.NullHandler())


class Listener(Protocol):
    """Is told of each request, in the thread that waits for it; should be quick."""

    def on_reply(self, reply: Reply) -> None:
        """A request was answered."""

    def on_failure(self, error: Exception) -> None:
        """A request failed, while its pictures were read or while the model ran."""


class Listeners:
    """Those who are told. What one of them raises is logged, and costs nobody else anything."""

    def __init__(self) -> None:
        self._all: tuple[Listener, ...] = ()

    def add(self, listener: Listener) -> None:
        """From now on it is told, once of each request."""
        self.remove(listener)
        self._all = (*self._all, listener)

    def remove(self, listener: Listener) -> None:
        """It is told no more; nothing if it was not."""
        self._all = tuple(other for other in self._all if other is not listener)

    def __len__(self) -> int:
        return len(self._all)

    def reply(self, reply: Reply) -> None:
        """Tell of a reply."""
        for listener in self._all:
            try:
                listener.on_reply(reply)
            except Exception:
                LOGGER.warning("a listener failed at a reply", exc_info=True)

    def failure(self, error: Exception) -> None:
        """Tell of a failure."""
        for listener in self._all:
            try:
                listener.on_failure(error)
            except Exception:
                LOGGER.warning("a listener failed at a failure", exc_info=True)
