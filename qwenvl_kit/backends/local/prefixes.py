"""Prompts that were computed before, found again by what they begin with."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from qwenvl_kit.backends.local.caches import CacheState
from qwenvl_kit.backends.local.prompts import Span
from qwenvl_kit.backends.local.storage import Kept, Storage

PREFIXES = "prompts"

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

    def first(self, length: int) -> TokenSequence:
        """Its beginning, of so many tokens."""
        inside = tuple(item for item in self.media if item.span.end <= length)
        return TokenSequence(self.ids[:length], inside)


@dataclass(frozen=True)
class Prefix:
    """A sequence that was computed.

    Attributes:
        sequence: its tokens.
        state: the model's cache after the last of them.
    """

    sequence: TokenSequence
    state: CacheState


class PrefixStore:
    """Finds the longest known beginning of a sequence.

    Args:
        storage: where they are kept.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._names = itertools.count()

    @property
    def max_bytes(self) -> int:
        """What all that is kept may take."""
        return self._storage.max_bytes

    @property
    def is_open(self) -> bool:
        """Whether anything is kept at all."""
        return self.max_bytes > 0

    def note(self, *, found: bool) -> None:
        """Count a search; `find` is asked more often than prompts are read."""
        self._storage.note(found=found)

    def find(self, sequence: TokenSequence) -> CacheState | None:
        """The model's cache after the longest beginning that is known; None if none is.

        The last token is never part of it, since its logits are needed.
        """
        best: tuple[int, object, Prefix] | None = None
        for name, prefix in self._storage.select(PREFIXES):
            length = min(common_length(prefix.sequence, sequence), len(sequence.ids) - 1)
            if not prefix.state.is_croppable and length < prefix.state.length:
                continue
            if length > (best[0] if best else 0):
                best = (length, name, prefix)
        if best is None:
            return None
        length, name, prefix = best
        self._storage.get(name)  # used now
        return prefix.state.cropped(length)

    def keep(self, sequence: TokenSequence, state: CacheState) -> None:
        """Keep a sequence's cache; what it makes superfluous goes."""
        for name, other in self._storage.select(PREFIXES):
            shared = common_length(other.sequence, sequence)
            if shared == len(sequence.ids) and (
                state.is_croppable or len(other.sequence.ids) == shared
            ):
                return  # known already
            if state.is_croppable and shared == len(other.sequence.ids):
                self._storage.discard(name)
        self._storage.put(
            (PREFIXES, next(self._names)), Kept(PREFIXES, Prefix(sequence, state), state.num_bytes)
        )


def common_length(first: TokenSequence, second: TokenSequence) -> int:
    """How many tokens two sequences begin with alike; never a part of a picture."""
    shorter = min(len(first.ids), len(second.ids))
    differ = numpy.flatnonzero(first.ids[:shorter] != second.ids[:shorter])
    length = int(differ[0]) if len(differ) else shorter
    return min(_whole(first.media, second.media, length), _whole(second.media, first.media, length))


def _whole(media: Sequence[MediaSpan], others: Sequence[MediaSpan], length: int) -> int:
    """The length, or where the first picture begins that is not within it in both."""
    for index, item in enumerate(media):
        if item.span.start >= length:
            break
        is_same = index < len(others) and others[index] == item
        if item.span.end > length or not is_same:
            return item.span.start
    return length
