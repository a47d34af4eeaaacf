"""The builder of an answer, token by token: stop strings, cycles of tokens, and scores."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum, auto

from qwenvl_kit.messages.thinking import CLOSE, OPEN
from qwenvl_kit.options import Sampling
from qwenvl_kit.results import Delta, FinishReason, TokenScore


class AnswerBuilder:
    """An answer while it grows: its text up to a stop string, its tokens, and its end.

    Args:
        sampling: the settings of the request.
        begins_in_thought: True if the answer begins within the model's thoughts, which no stop
            string ends.

    Attributes:
        end_token: the token that ended the answer, with its score; None if there is none.
    """

    def __init__(self, sampling: Sampling, *, begins_in_thought: bool = False) -> None:
        self._stop_text = StopText(sampling.stop, begins_in_thought=begins_in_thought)
        self._cycles = CycleDetector(sampling.max_cycle_tokens)
        self._tokens: list[TokenScore] = []
        self._has_scores = False
        self.end_token: TokenScore | None = None

    @property
    def text(self) -> str:
        """The answer so far, as far as it may be shown."""
        return self._stop_text.text

    @property
    def raw_text(self) -> str | None:
        """The answer so far with its hidden special tokens; None if it has none."""
        raw = self._stop_text.raw_text
        return None if raw == self.text else raw

    @property
    def tokens(self) -> tuple[TokenScore, ...] | None:
        """The tokens so far; None if they came without scores."""
        return tuple(self._tokens) if self._has_scores else None

    @property
    def last_token(self) -> TokenScore | None:
        """The last token; None if there is none."""
        return self._tokens[-1] if self._tokens else None

    @property
    def num_tokens(self) -> int:
        """The number of tokens with scores, the end token included."""
        return len(self._tokens) + (self.end_token is not None)

    @property
    def reason(self) -> FinishReason | None:
        """The reason for which it must end; None if it may go on."""
        if self._stop_text.is_stopped:
            return "stop"
        return "repetition" if self._cycles.is_found else None

    def add(
        self,
        piece: str,
        key: int,
        token: TokenScore | None = None,
        *,
        is_end: bool = False,
        hidden: str = "",
    ) -> Delta:
        """Add a piece of text, and return the part that may be shown now.

        Args:
            piece: the text.
            key: equal for equal pieces only; cycles are found by it.
            token: the token of the piece with its score; None if that is not known.
            is_end: True if it ends the answer.
            hidden: a special token, as it is written, that the text leaves out.
        """
        self._cycles.feed(key)
        self._has_scores = self._has_scores or token is not None
        if is_end:
            self.end_token = token
        elif token is not None:
            self._tokens.append(token)
        shown = self._stop_text.feed(piece) if piece else ""
        shown += self._stop_text.feed(hidden, is_hidden=True) if hidden else ""
        return Delta(shown, None if is_end else token)

    def complete(self, rest: str = "", behind: str = "") -> str:
        """End the answer, and return the text that had been held back and may be shown now.

        Args:
            rest: text that the last token had left undecided, such as the bytes of a cut character.
            behind: text that follows the tokens.
        """
        if rest and self._tokens:
            last = self._tokens[-1]
            self._tokens[-1] = replace(last, text=last.text + rest)
        shown = self._stop_text.feed(rest + behind) if rest + behind else ""
        return shown + self._stop_text.flush()


class StopText:
    """Text up to a stop string. A tail that may become a stop string is held back.

    Stop strings apply to the answer. They do not end the thoughts before it, except a stop string
    that contains the closing tag of thoughts.

    Args:
        stop: the strings that end the answer.
        begins_in_thought: True if the text begins within thoughts.

    Attributes:
        text: the text that was released, without hidden characters.
        raw_text: the text that was released, hidden characters included.
        is_stopped: True if a stop string came.
    """

    def __init__(self, stop: tuple[str, ...], *, begins_in_thought: bool = False) -> None:
        self._stop = stop
        self._closing = tuple(text for text in stop if CLOSE in text)
        self._section = _Section.THOUGHTS if begins_in_thought else _Section.START
        self._held = _PartlyHiddenText()
        self.text = ""
        self.raw_text = ""
        self.is_stopped = False

    def feed(self, piece: str, *, is_hidden: bool = False) -> str:
        """Add a piece, and return the text that may be shown now.

        Args:
            piece: the text.
            is_hidden: True for text that is not shown, such as a special token.
        """
        if self.is_stopped:
            return ""
        self._held.add(piece, is_hidden=is_hidden)
        if not self._stop:
            return self._release(len(self._held.raw))
        shown = self._pass_thoughts()
        return shown if self._section is _Section.THOUGHTS else shown + self._pass_answer()

    def flush(self) -> str:
        """End the text, and return the tail that had been held back."""
        return "" if self.is_stopped else self._release(len(self._held.raw))

    def _pass_thoughts(self) -> str:
        """Pass thoughts and the empty lines behind them; return the part that may be shown."""
        shown = ""
        if self._section is _Section.START:
            self._section = self._first_section()
        if self._section is _Section.THOUGHTS:
            shown += self._release_thoughts()
        if self._section is _Section.BETWEEN and not self.is_stopped:
            rest = self._held.raw.lstrip("\n")
            shown += self._release(len(self._held.raw) - len(rest))
            self._section = _Section.ANSWER if rest else _Section.BETWEEN
        return shown

    def _first_section(self) -> _Section:
        begun = self._held.raw.lstrip()
        if begun.startswith(OPEN):
            return _Section.THOUGHTS
        return _Section.START if OPEN.startswith(begun) else _Section.ANSWER

    def _release_thoughts(self) -> str:
        position = self._held.find(self._closing)
        if position >= 0:
            return self._stop_at(position)
        held = len(self._held.raw)
        end = self._held.raw.find(CLOSE)
        undecided = self._held.num_undecided(self._closing)
        if end < 0 or (undecided and held - undecided <= end):
            return self._release(held - max(undecided, self._held.num_undecided((CLOSE,))))
        self._section = _Section.BETWEEN
        return self._release(end + len(CLOSE))

    def _pass_answer(self) -> str:
        """Search the held text for stop strings; return the part that may be shown."""
        if self.is_stopped:
            return ""
        position = self._held.find(self._stop)
        if position >= 0:
            return self._stop_at(position)
        may_come = (*self._stop, OPEN) if self._section is _Section.START else self._stop
        return self._release(len(self._held.raw) - self._held.num_undecided(may_come))

    def _stop_at(self, position: int) -> str:
        self.is_stopped = True
        return self._release(position)

    def _release(self, count: int) -> str:
        raw, shown = self._held.take(count)
        self.raw_text += raw
        self.text += shown
        return shown


class _Section(Enum):
    """The section of an answer that is being generated."""

    START = auto()
    THOUGHTS = auto()
    BETWEEN = auto()
    ANSWER = auto()


class _PartlyHiddenText:
    """Text with hidden characters. It is searched both with and without them."""

    def __init__(self) -> None:
        self.raw = ""
        self._shown: list[int] = []

    def add(self, piece: str, *, is_hidden: bool) -> None:
        """Append a piece."""
        if not is_hidden:
            self._shown += range(len(self.raw), len(self.raw) + len(piece))
        self.raw += piece

    def take(self, count: int) -> tuple[str, str]:
        """Remove the first characters; return all of them, and those that are shown."""
        taken = self.raw[:count]
        shown = "".join(taken[at] for at in self._shown if at < count)
        self._shown = [at - count for at in self._shown if at >= count]
        self.raw = self.raw[count:]
        return taken, shown

    def find(self, texts: Iterable[str]) -> int:
        """Return the position of the first of some texts; -1 if none is found."""
        texts = tuple(texts)
        places = [self.raw.find(text) for text in texts]
        if len(self._shown) < len(self.raw):
            found = (self._visible.find(text) for text in texts)
            places += [self._shown[at] for at in found if at >= 0]
        return min((at for at in places if at >= 0), default=-1)

    def num_undecided(self, texts: tuple[str, ...]) -> int:
        """Return the length of the longest tail with which one of some texts may begin."""
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


class CycleDetector:
    """A detector of cycles: the same tokens again and again, in the same order.

    Only exact cycles count: rows of a table and items of a list that merely look alike differ
    somewhere.

    Args:
        max_tokens: the length at which repeated tokens count as a cycle. The cycle itself may be
            half as long at most, so that it was repeated at least once. None detects nothing.

    Attributes:
        is_found: True if a cycle was found.
    """

    def __init__(self, max_tokens: int | None) -> None:
        self._max_tokens = max_tokens
        self._recent: deque[int] = deque(maxlen=(max_tokens or 0) // 2)
        self._runs = [0] * ((max_tokens or 0) // 2)
        self.is_found = False

    def feed(self, token_id: int) -> None:
        """Add the next token of the answer."""
        if self._max_tokens is None:
            return
        for index, earlier in enumerate(reversed(self._recent)):
            run = self._runs[index] + 1 if earlier == token_id else 0
            self._runs[index] = run
            period = index + 1
            if run + period >= self._max_tokens:
                self.is_found = True
        self._recent.append(token_id)
