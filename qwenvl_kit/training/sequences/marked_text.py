"""A sequence as text in which the tokens in the loss are marked, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from qwenvl_kit.safe_text import escaped
from qwenvl_kit.training.sequences.encoder import IGNORED, SequenceEncoder, TrainingSequence

OPENING, CLOSING = "⟦", "⟧"
"""The marks around what is in the loss, in a terminal."""


@dataclass(frozen=True)
class MarkedPiece:
    """A piece of a sequence.

    Attributes:
        text: its text; a picture is a placeholder with the number of its visual tokens.
        is_trained: True if it is in the loss.
    """

    text: str
    is_trained: bool


@dataclass(frozen=True)
class MarkedSequence:
    """A sequence as text, with what is in the loss marked: `print` it, or show it in a notebook.

    Attributes:
        where: the place of its example.
        pieces: its text, in pieces that are in the loss or not.
        num_tokens: its length.
        visual_tokens: the tokens that stand for pictures and films.
        trained_tokens: the tokens that are in the loss.
    """

    where: str
    pieces: tuple[MarkedPiece, ...]
    num_tokens: int
    visual_tokens: int
    trained_tokens: int

    def __str__(self) -> str:
        written = "".join(
            f"{OPENING}{_safe(piece.text)}{CLOSING}" if piece.is_trained else _safe(piece.text)
            for piece in self.pieces
        )
        return f"{self._heading()}; in the loss: {OPENING}...{CLOSING}\n{written}"

    def _repr_html_(self) -> str:
        from html import escape

        written = "".join(
            f"<mark>{escape(_safe(piece.text))}</mark>"
            if piece.is_trained
            else escape(_safe(piece.text))
            for piece in self.pieces
        )
        style = "white-space:pre-wrap;text-align:left"
        heading = escape(f"{self._heading()}; what is marked is in the loss")
        return f'<p>{heading}</p><pre style="{style}">{written}</pre>'

    def _heading(self) -> str:
        place = f"{escaped(self.where)}: " if self.where else ""
        return (
            f"{place}{self.num_tokens:,} tokens, {self.visual_tokens:,} of them visual, "
            f"{self.trained_tokens:,} in the loss"
        )


def mark_sequence(sequence: TrainingSequence, encoder: SequenceEncoder) -> MarkedSequence:
    """Return a sequence as text with what is in the loss marked.

    Args:
        sequence: a sequence.
        encoder: the encoder that made it.
    """
    return MarkedSequence(
        sequence.where,
        tuple(_pieces(sequence, encoder)),
        len(sequence.ids),
        sequence.visual_tokens,
        sequence.trained_tokens,
    )


def _pieces(sequence: TrainingSequence, encoder: SequenceEncoder) -> list[MarkedPiece]:
    family, tokenizer = encoder.rules.family, encoder.tokenizer
    tokens = (family.image_token, family.video_token)
    placeholders = {tokenizer.convert_tokens_to_ids(token): token for token in tokens}
    pieces: list[MarkedPiece] = []
    pairs = zip(sequence.ids, sequence.labels)
    kinds = groupby(pairs, key=lambda pair: (pair[1] != IGNORED, placeholders.get(pair[0])))
    for (is_trained, placeholder), run in kinds:
        ids = [token_id for token_id, _ in run]
        text = _decoded(ids, tokenizer) if placeholder is None else f"{placeholder} x {len(ids)}"
        pieces.append(MarkedPiece(text, is_trained))
    return pieces


def _decoded(ids: Sequence[int], tokenizer: Any) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=False))


def _safe(text: str) -> str:
    """A text whose control characters cannot steer a terminal; its lines are kept."""
    return "\n".join(map(escaped, text.split("\n")))
