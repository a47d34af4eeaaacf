"""The detokenizer: tokens become text, one at a time."""

from __future__ import annotations

from typing import Any

from tokenizers.decoders import DecodeStream


class Vocabulary:
    """The vocabulary of a checkpoint: the text of each token.

    Args:
        tokenizer: the checkpoint's tokenizer.
        end_ids: the tokens that end an answer.
    """

    def __init__(self, tokenizer: Any, end_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        self.end_ids = end_ids
        added = tokenizer.added_tokens_decoder.items()
        self._special = {token_id: token.content for token_id, token in added if token.special}

    def text(self, token_id: int) -> str:
        """The text of one token alone, special or not."""
        return str(self._tokenizer.decode([token_id], skip_special_tokens=False))

    def special_text(self, token_id: int) -> str:
        """The text of a special token; empty for any other token."""
        return str(self._special.get(token_id, ""))

    def stream(self, *, keep_special_tokens: bool = False) -> TextStream:
        """A decoder for one answer."""
        return TextStream(self._tokenizer, keep_special_tokens=keep_special_tokens)


class TextStream:
    """Turns the tokens of one answer into text, and holds back incomplete characters."""

    def __init__(self, tokenizer: Any, *, keep_special_tokens: bool = False) -> None:
        self._tokenizer = tokenizer
        self._skips = not keep_special_tokens
        self._stream = DecodeStream(skip_special_tokens=self._skips)
        self._pending: list[int] = []

    def feed(self, token_id: int) -> str:
        """Return the text that a token completes; empty while a character lacks bytes."""
        piece = self._stream.step(self._tokenizer.backend_tokenizer, token_id)
        self._pending = [*self._pending, token_id] if piece is None else []
        return piece or ""

    def flush(self) -> str:
        """Return the text of a last character that was never completed."""
        pending, self._pending = self._pending, []
        return (
            str(self._tokenizer.decode(pending, skip_special_tokens=self._skips)) if pending else ""
        )
