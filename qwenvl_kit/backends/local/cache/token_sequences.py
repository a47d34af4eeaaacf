"""Sequences of tokens, and what two of them begin with alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy

from qwenvl_kit.processing.prompt_encoder import Span

_BLOCK_TOKENS = 16
"""A sequence is marked after each so many tokens."""

Ids = numpy.ndarray[tuple[int], numpy.dtype[numpy.int64]]


@dataclass(frozen=True)
class MediaSpan:
    """A picture or video in a sequence.

    Attributes:
        span: where it stands.
        key: what it is: a digest of its pixels, and of whatever else its positions depend on.
    """

    span: Span
    key: bytes


@dataclass(frozen=True)
class TokenSequence:
    """Tokens, and what their placeholders stand for.

    Attributes:
        ids: int64 (length,).
        media: its pictures and videos, in order.
    """

    ids: Ids
    media: tuple[MediaSpan, ...]

    @cached_property
    def marks(self) -> tuple[int, ...]:
        """What tells it from others up to the end of each whole block."""
        shown: dict[int, tuple[MediaSpan, ...]] = {}
        for item in self.media:
            block = item.span.start // _BLOCK_TOKENS
            shown[block] = (*shown.get(block, ()), item)
        marks, mark = list[int](), 0
        for block in range(num_blocks(len(self.ids))):
            start = block * _BLOCK_TOKENS
            tokens = self.ids[start : start + _BLOCK_TOKENS].tobytes()
            begun = tuple((item.span.start, item.key) for item in shown.get(block, ()))
            mark = hash((mark, tokens, begun))
            marks.append(mark)
        return tuple(marks)

    @cached_property
    def all_but_last(self) -> TokenSequence:
        """Its beginning, without the last token, and without a picture that this is a part of."""
        return self.first(len(self.ids) - 1)

    def first(self, length: int) -> TokenSequence:
        """Its beginning, of so many tokens."""
        inside = tuple(item for item in self.media if item.span.end <= length)
        return TokenSequence(self.ids[:length], inside)

    def part(self, start: int, stop: int, offset: int = 0) -> TokenSequence:
        """Some of its tokens, copied. Pictures still tell where they stand in the whole.

        Args:
            start: the first of them.
            stop: after the last of them.
            offset: where it begins itself, if it is a part.
        """
        first, end = start + offset, stop + offset
        inside = (item for item in self.media if first <= item.span.start and item.span.end <= end)
        return TokenSequence(self.ids[start:stop].copy(), tuple(inside))


def num_blocks(length: int) -> int:
    """How many whole blocks so many tokens have."""
    return length // _BLOCK_TOKENS


def common_length(first: TokenSequence, second: TokenSequence) -> int:
    """How many tokens two sequences begin with alike; never a part of a picture."""
    return common_stop(first, second, 0)


def common_stop(part: TokenSequence, whole: TokenSequence, start: int) -> int:
    """Up to where a part of a sequence, which begins at `start`, is as in another sequence."""
    num_both = min(len(part.ids), len(whole.ids) - start)
    differ = numpy.flatnonzero(part.ids[:num_both] != whole.ids[start : start + num_both])
    stop = start + (int(differ[0]) if len(differ) else num_both)
    media = tuple(item for item in whole.media if item.span.start >= start)
    return min(_whole(part.media, media, stop), _whole(media, part.media, stop))


def _whole(media: Sequence[MediaSpan], others: Sequence[MediaSpan], length: int) -> int:
    """The length, or where the first picture begins that is not within it in both."""
    for index, item in enumerate(media):
        if item.span.start >= length:
            break
        is_same = index < len(others) and others[index] == item
        if item.span.end > length or not is_same:
            return item.span.start
    return length
