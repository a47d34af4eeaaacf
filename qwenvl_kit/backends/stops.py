"""Text that ends at a stop string."""

from __future__ import annotations


class StopText:
    """Collects an answer and lets through only text that no stop string can still swallow.

    Args:
        stop: the strings that end the answer.
    """

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._held = ""
        self.text = ""
        self.is_stopped = False

    def feed(self, piece: str) -> str:
        """Add a piece; returns what may be shown now."""
        if self.is_stopped:
            return ""
        self._held += piece
        position = min((at for at in map(self._held.find, self._stop) if at >= 0), default=-1)
        if position >= 0:
            self.is_stopped = True
            return self._let_through(position, keep_rest=False)
        return self._let_through(len(self._held) - self._num_undecided(), keep_rest=True)

    def flush(self) -> str:
        """The end: returns what was held back."""
        return "" if self.is_stopped else self._let_through(len(self._held), keep_rest=False)

    def _let_through(self, count: int, *, keep_rest: bool) -> str:
        shown = self._held[:count]
        self._held = self._held[count:] if keep_rest else ""
        self.text += shown
        return shown

    def _num_undecided(self) -> int:
        """Length of the longest tail that a stop string may begin with."""
        longest = max(map(len, self._stop), default=1) - 1
        lengths = range(min(len(self._held), longest), 0, -1)
        tails = (self._held[-length:] for length in lengths)
        for tail in tails:
            if any(stop.startswith(tail) for stop in self._stop):
                return len(tail)
        return 0
