"""An answer as HTML: its tokens in colours of confidence, with what else the model considered."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from heapq import nsmallest
from itertools import groupby
from typing import NamedTuple, Protocol

from qwenvl_kit.display.blocks import Html
from qwenvl_kit.display.text import html, percent
from qwenvl_kit.safe_text import escaped

MOST_BYTES = 700_000
"""The most bytes of an answer in HTML. What is beyond is left out, and its length is told."""

MOST_DETAILS = 400
"""The most tokens whose alternatives are told: the least certain ones."""

BOUNDS = (0.95, 0.8, 0.5, 0.2)
"""The probabilities below which a token has colour 1, 2, 3 and 4."""

_RISING = sorted(BOUNDS)
_MOST_ALTERNATIVES = 6
_MOST_CHARACTERS = 24
"""The most alternatives of a token, and the most characters of one."""


class Alternative(Protocol):
    """A token that the model considered; see `TokenAlternative`."""

    @property
    def text(self) -> str:
        """Its text."""

    @property
    def logprob(self) -> float:
        """The natural logarithm of its probability."""


class Piece(NamedTuple):
    """A piece of an answer, as a rule a token.

    Attributes:
        text: its text.
        probability: its probability, in [0, 1]; None if it is not known.
        alternatives: the most probable tokens in its place.
    """

    text: str
    probability: float | None = None
    alternatives: Sequence[Alternative] = ()

    @property
    def level(self) -> int:
        """The number of its colour: 0 for none, 4 for the least certain."""
        if self.probability is None or math.isnan(self.probability):
            return 0
        return len(BOUNDS) - bisect_right(_RISING, self.probability)


def text_block(pieces: Sequence[Piece]) -> str:
    """Return an answer as a block of HTML.

    Neighbours of one colour are one element, so that an answer of 10,000 tokens stays small; only
    the least certain tokens have one of their own, with their alternatives on hover and focus.
    """
    written, left = list[str](), MOST_BYTES
    length = at = 0
    for piece in _elements(pieces):
        left -= len(piece.html.encode())
        if left < 0 and written:
            break
        written.append(piece.html)
        at += piece.length
    length = sum(len(piece.text) for piece in pieces)
    rest = f"<br>... {length - at:,} characters more: print it" if at < length else ""
    return f'<div class="qvk-text" dir="auto">{"".join(written)}</div>{rest}'


class _Element(NamedTuple):
    html: str
    length: int


def _elements(pieces: Sequence[Piece]) -> Iterator[_Element]:
    levels = [piece.level for piece in pieces]
    detailed = _detailed(pieces, levels)
    runs = groupby(range(len(pieces)), key=lambda at: (levels[at], at if at in detailed else -1))
    for (level, own), run in runs:
        detail = "" if own < 0 else _detail(pieces[own])
        for text in _portions("".join([pieces[at].text for at in run])):
            yield _Element(_element(text, level, detail), len(text))


def _portions(text: str) -> Iterator[str]:
    """A text in portions that are small beside `MOST_BYTES`, so that most of one is shown."""
    for at in range(0, len(text), 20_000):
        yield text[at : at + 20_000]


def _element(text: str, level: int, detail: str) -> str:
    if not level:
        return html(text)
    told = f' data-a="{html(detail)}" tabindex=0' if detail else ""
    return f"<i class=q{level}{told}>{html(text)}</i>"


def _detailed(pieces: Sequence[Piece], levels: Sequence[int]) -> frozenset[int]:
    """The indices of the tokens whose probability is told: the least certain of all coloured."""
    coloured = [at for at, level in enumerate(levels) if level and pieces[at].text]
    return frozenset(nsmallest(MOST_DETAILS, coloured, key=lambda at: pieces[at].probability or 0))


def _detail(piece: Piece) -> str:
    """The token and its alternatives with their probabilities.

    They are one line, as a notebook would cut off what reaches far below the answer.
    """
    others = [
        (other.text, math.exp(other.logprob))
        for other in piece.alternatives
        if other.text != piece.text
    ]
    ranked = sorted([(piece.text, piece.probability or 0.0), *others], key=lambda pair: -pair[1])
    told = [f"{_token(text)}\u00a0{_share(share)}" for text, share in ranked[:_MOST_ALTERNATIVES]]
    return "  ·  ".join(told)


def _share(share: float) -> str:
    if 0 < share < 0.005:
        return "<\u00a01%"
    return ">\u00a099%" if 0.995 <= share < 1 else percent(share)


def _token(text: str) -> str:
    """A token as it can be seen: spaces and line ends have marks."""
    shown = escaped(text[:_MOST_CHARACTERS]).replace(" ", "␣")
    return f"{shown}..." if len(text) > _MOST_CHARACTERS else shown or "(end)"


def legend() -> Html:
    """Return the meaning of the colours, for the line of facts."""
    below = " ".join(f"<i class=q{at}>&lt;{percent(b)}</i>" for at, b in enumerate(BOUNDS, start=1))
    return Html(f"probability of a token: {below}")
