"""An answer while it grows, token by token."""

from __future__ import annotations

from dataclasses import replace

from qwenvl_kit.backends.repetition import CycleDetector
from qwenvl_kit.backends.stop_strings import StopText
from qwenvl_kit.options import Sampling
from qwenvl_kit.results import Delta, FinishReason, TokenScore


class GrowingAnswer:
    """Text up to a stop string, tokens with their scores, and whether enough has come.

    Args:
        sampling: how it was asked for.
        begins_in_thought: whether it begins within the model's thoughts, which no stop string ends.
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
        """The same with its special tokens; None where it has none that are hidden."""
        raw = self._stop_text.raw_text
        return None if raw == self.text else raw

    @property
    def tokens(self) -> tuple[TokenScore, ...] | None:
        """Its tokens; None where they came without scores."""
        return tuple(self._tokens) if self._has_scores else None

    @property
    def last_token(self) -> TokenScore | None:
        """The last of them; None if there is none."""
        return self._tokens[-1] if self._tokens else None

    @property
    def num_tokens(self) -> int:
        """Tokens with scores, the end token included."""
        return len(self._tokens) + (self.end_token is not None)

    @property
    def reason(self) -> FinishReason | None:
        """Why it must end; None if it may go on."""
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
        """Add a piece of text, and tell what may be shown of it now.

        Args:
            piece: the text.
            key: what tells it from other pieces, to see whether they come again and again.
            token: what it is, with its score; None where that is not known.
            is_end: whether it ends the answer.
            hidden: what the text leaves out: a special token, as it is written.
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
        """End it, and tell what may be shown yet.

        Args:
            rest: what its last token turned out to be.
            behind: text that follows its tokens.
        """
        if rest and self._tokens:
            last = self._tokens[-1]
            self._tokens[-1] = replace(last, text=last.text + rest)
        shown = self._stop_text.feed(rest + behind) if rest + behind else ""
        return shown + self._stop_text.flush()
