"""Text that ends at a stop string."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from qwenvl_kit.messages.thinking import CLOSE, OPEN


class _Part(Enum):
    """Which part of an answer is being written."""

    START = auto()
    THOUGHTS = auto()
    BETWEEN = auto()
    ANSWER = auto()


class StopText:
    """Collects an answer and lets through only text that no stop string can still swallow.

    A stop string binds the answer. Thoughts before it are free, but for one that holds their
    closing tag.

    Args:
        stop: the strings that end the answer.
        begins_in_thought: whether the text begins within thoughts.

    Attributes:
        text: what was let through and is not hidden.
        raw_text: all that was let through.
        is_stopped: whether a stop string came.
    """

    def __init__(self, stop: tuple[str, ...], *, begins_in_thought: bool = False) -> None:
        self._stop = stop
        self._closing = tuple(text for text in stop if CLOSE in text)
        self._part = _Part.THOUGHTS if begins_in_thought else _Part.START
        self._held = _Marked()
        self.text = ""
        self.raw_text = ""
        self.is_stopped = False

    def feed(self, piece: str, *, is_hidden: bool = False) -> str:
        """Add a piece; returns what may be shown now.

        Args:
            piece: the text.
            is_hidden: whether it is no part of what is shown, as special tokens are not.
        """
        if self.is_stopped:
            return ""
        self._held.add(piece, is_hidden=is_hidden)
        if not self._stop:
            return self._let_through(len(self._held.raw))
        shown = self._leave_thoughts()
        return shown if self._part is _Part.THOUGHTS else shown + self._bind()

    def flush(self) -> str:
        """The end: returns what was held back."""
        return "" if self.is_stopped else self._let_through(len(self._held.raw))

    def _leave_thoughts(self) -> str:
        """Pass over thoughts, and the empty lines behind them; returns what may be shown of it."""
        shown = ""
        if self._part is _Part.START:
            self._part = self._begun()
        if self._part is _Part.THOUGHTS:
            shown += self._think()
        if self._part is _Part.BETWEEN and not self.is_stopped:
            rest = self._held.raw.lstrip("\n")
            shown += self._let_through(len(self._held.raw) - len(rest))
            self._part = _Part.ANSWER if rest else _Part.BETWEEN
        return shown

    def _begun(self) -> _Part:
        begun = self._held.raw.lstrip()
        if begun.startswith(OPEN):
            return _Part.THOUGHTS
        return _Part.START if OPEN.startswith(begun) else _Part.ANSWER

    def _think(self) -> str:
        position = self._held.find(self._closing)
        if position >= 0:
            return self._end_at(position)
        held = len(self._held.raw)
        end = self._held.raw.find(CLOSE)
        undecided = self._held.num_undecided(self._closing)
        if end < 0 or (undecided and held - undecided <= end):
            return self._let_through(held - max(undecided, self._held.num_undecided((CLOSE,))))
        self._part = _Part.BETWEEN
        return self._let_through(end + len(CLOSE))

    def _bind(self) -> str:
        """Look for stop strings in what is held."""
        if self.is_stopped:
            return ""
        position = self._held.find(self._stop)
        if position >= 0:
            return self._end_at(position)
        may_come = (*self._stop, OPEN) if self._part is _Part.START else self._stop
        return self._let_through(len(self._held.raw) - self._held.num_undecided(may_come))

    def _end_at(self, position: int) -> str:
        self.is_stopped = True
        return self._let_through(position)

    def _let_through(self, count: int) -> str:
        raw, shown = self._held.take(count)
        self.raw_text += raw
        self.text += shown
        return shown


class _Marked:
    """Text of which some characters are hidden; it is searched with them and without."""

    def __init__(self) -> None:
        self.raw = ""
        self._shown: list[int] = []

    def add(self, piece: str, *, is_hidden: bool) -> None:
        """Put a piece behind what there is."""
        if not is_hidden:
            self._shown += range(len(self.raw), len(self.raw) + len(piece))
        self.raw += piece

    def take(self, count: int) -> tuple[str, str]:
        """Take the first characters away: all of them, and those that are shown."""
        taken = self.raw[:count]
        shown = "".join(taken[at] for at in self._shown if at < count)
        self._shown = [at - count for at in self._shown if at >= count]
        self.raw = self.raw[count:]
        return taken, shown

    def find(self, texts: Iterable[str]) -> int:
        """Where the first of some texts begins; -1 where there is none."""
        texts = tuple(texts)
        places = [self.raw.find(text) for text in texts]
        if len(self._shown) < len(self.raw):
            found = (self._visible.find(text) for text in texts)
            places += [self._shown[at] for at in found if at >= 0]
        return min((at for at in places if at >= 0), default=-1)

    def num_undecided(self, texts: tuple[str, ...]) -> int:
        """Length of the longest tail that one of some texts may begin with."""
        tail = _begun_tail(self.raw, texts)
        if len(self._shown) < len(self.raw) and (begun := _begun_tail(self._visible, texts)):
            tail = max(tail, len(self.raw) - self._shown[-begun])
        return tail

    @property
    def _visible(self) -> str:
        return "".join(self.raw[at] for at in self._shown)


def _begun_tail(text: str, wanted: tuple[str, ...]) -> int:
    longest = max(map(len, wanted), default=1) - 1
    for length in range(min(len(text), longest), 0, -1):
        if any(one.startswith(text[-length:]) for one in wanted):
            return length
    return 0
