"""Cache keys: token ids together with the identity of the media that they stand for.

Two prompts may share a part of a KV cache as far as their keys have a common prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy

from qwenvl_kit.processing.prompt_encoder import Span

_BLOCK_TOKENS = 16
"""The number of tokens of a block; the beginning of a key up to each whole block has a hash."""

Ids = numpy.ndarray[tuple[int], numpy.dtype[numpy.int64]]


@dataclass(frozen=True)
class MediaSpan:
    """A picture or video in a sequence.

    Attributes:
        span: its place.
        key: its identity: a digest of its pixels, and of all else that its positions depend on.
    """

    span: Span
    key: bytes


@dataclass(frozen=True)
class CacheKey:
    """The identity of a sequence of tokens in the prefix cache.

    Placeholders of all pictures have the same token id, so the media belong to the key.

    Attributes:
        ids: the token ids, int64 (length,).
        media: the pictures and videos that placeholders stand for, in order.
    """

    ids: Ids
    media: tuple[MediaSpan, ...]

    @cached_property
    def block_hashes(self) -> tuple[int, ...]:
        """For each whole block, a hash of the key from its beginning to the end of the block."""
        shown: dict[int, tuple[MediaSpan, ...]] = {}
        for item in self.media:
            block = item.span.start // _BLOCK_TOKENS
            shown[block] = (*shown.get(block, ()), item)
        hashes, last = list[int](), 0
        for block in range(num_blocks(len(self.ids))):
            start = block * _BLOCK_TOKENS
            tokens = self.ids[start : start + _BLOCK_TOKENS].tobytes()
            begun = tuple((item.span.start, item.key) for item in shown.get(block, ()))
            last = hash((last, tokens, begun))
            hashes.append(last)
        return tuple(hashes)

    @cached_property
    def all_but_last(self) -> CacheKey:
        """The key without its last token, and without a picture that this token is a part of."""
        return self.first(len(self.ids) - 1)

    def first(self, length: int) -> CacheKey:
        """The key of its first tokens."""
        inside = tuple(item for item in self.media if item.span.end <= length)
        return CacheKey(self.ids[:length], inside)

    def part(self, start: int, stop: int, offset: int = 0) -> CacheKey:
        """The key of some of its tokens, which are copied; media keep their place in the whole.

        Args:
            start: the index of the first token.
            stop: the index after the last token.
            offset: the place in the whole sequence of the key's own first token.
        """
        first, end = start + offset, stop + offset
        inside = (item for item in self.media if first <= item.span.start and item.span.end <= end)
        return CacheKey(self.ids[start:stop].copy(), tuple(inside))


def num_blocks(length: int) -> int:
    """The number of whole blocks in a number of tokens."""
    return length // _BLOCK_TOKENS


def common_length(first: CacheKey, second: CacheKey) -> int:
    """The length of the common prefix of two keys; it never ends within a picture."""
    return common_stop(first, second, 0)


def common_stop(part: CacheKey, whole: CacheKey, start: int) -> int:
    """The place up to which a part of one sequence equals another sequence.

    Args:
        part: the key of a part.
        whole: the key of the other sequence.
        start: the place at which the part begins.
    """
    num_both = min(len(part.ids), len(whole.ids) - start)
    differ = numpy.flatnonzero(part.ids[:num_both] != whole.ids[start : start + num_both])
    stop = start + (int(differ[0]) if len(differ) else num_both)
    media = tuple(item for item in whole.media if item.span.start >= start)
    return min(_before_cut(part.media, media, stop), _before_cut(media, part.media, stop))


def _before_cut(media: Sequence[MediaSpan], others: Sequence[MediaSpan], length: int) -> int:
    """The length, or the start of the first picture that is not within it in both sequences."""
    for index, item in enumerate(media):
        if item.span.start >= length:
            break
        is_same = index < len(others) and others[index] == item
        if item.span.end > length or not is_same:
            return item.span.start
    return length
