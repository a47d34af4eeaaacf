"""Answers that go round in a circle."""

from __future__ import annotations

from collections import deque


class CycleDetector:
    """Notices that the same tokens come again and again in the same order.

    Exact cycles alone count: rows of a table and items of a list that merely look alike differ
    somewhere.

    Args:
        max_tokens: how long a cycle may go on; it may be half as long at most, so that it has
            been gone through twice. None never notices anything.
    """

    def __init__(self, max_tokens: int | None) -> None:
        self._max_tokens = max_tokens
        self._recent: deque[int] = deque(maxlen=(max_tokens or 0) // 2)
        self._runs = [0] * ((max_tokens or 0) // 2)
        self.is_found = False

    def feed(self, token_id: int) -> None:
        """The next token of the answer."""
        if self._max_tokens is None:
            return
        for index, earlier in enumerate(reversed(self._recent)):
            run = self._runs[index] + 1 if earlier == token_id else 0
            self._runs[index] = run
            period = index + 1
            if run + period >= self._max_tokens:
                self.is_found = True
        self._recent.append(token_id)
