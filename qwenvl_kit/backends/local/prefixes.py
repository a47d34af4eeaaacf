"""Prompts that were computed before, found again by what they begin with."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy

from qwenvl_kit.backends.local.caches import CacheState
from qwenvl_kit.backends.local.storage import Kept, Storage
from qwenvl_kit.processing.prompts import Span

PREFIXES = "prompts"

_BLOCK_TOKENS = 16
"""A sequence is marked after each so many tokens; less in common is not found."""

_MAX_COMPARED = 8
"""Of sequences that begin alike for as many blocks, so many are compared, the latest first."""

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
        for block in range(len(self.ids) // _BLOCK_TOKENS):
            start = block * _BLOCK_TOKENS
            tokens = self.ids[start : start + _BLOCK_TOKENS].tobytes()
            begun = tuple((item.span.start, item.key) for item in shown.get(block, ()))
            mark = hash((mark, tokens, begun))
            marks.append(mark)
        return tuple(marks)

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

    def usable_length(self, sequence: TokenSequence) -> int:
        """How many tokens of a sequence it spares; never the last, whose logits are needed."""
        length = min(common_length(self.sequence, sequence), len(sequence.ids) - 1)
        return length if self.state.is_croppable or length == self.state.length else 0


class PrefixStore:
    """Finds the longest known beginning of a sequence.

    Args:
        storage: where they are kept.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._numbers = itertools.count()
        self._index = _Index()
        self._max_indexed = 64

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

        The last token is never part of it, since its logits are needed. Up to a block more may be
        known of a sequence that was kept long ago.
        """
        for mark in reversed(sequence.marks):
            known = self._known(self._index.passing(mark))
            lengths = {name: prefix.usable_length(sequence) for name, prefix in known}
            name = max(lengths, key=lengths.__getitem__, default=None)
            if name is None or not lengths[name]:
                continue
            prefix: Prefix | None = self._storage.get(name)  # used now
            return None if prefix is None else prefix.state.cropped(lengths[name])
        return None

    def keep(self, sequence: TokenSequence, state: CacheState) -> None:
        """Keep a sequence's cache; what it makes superfluous goes."""
        length = len(sequence.ids)
        if not sequence.marks:
            return  # nobody would find it
        for _, other in self._known(self._index.passing(sequence.marks[-1])):
            is_known = common_length(other.sequence, sequence) == length
            if is_known and (state.is_croppable or len(other.sequence.ids) == length):
                return
        if state.is_croppable:
            for mark in sequence.marks:
                for name, other in list(self._known(self._index.ending(mark))):
                    if common_length(other.sequence, sequence) == len(other.sequence.ids):
                        self._storage.discard(name)
                        self._index.remove(name)
        name = (PREFIXES, next(self._numbers))
        self._index.add(name, sequence.marks, is_findable_within=state.is_croppable)
        self._storage.put(name, Kept(PREFIXES, Prefix(sequence, state), state.num_bytes))
        self._tidy()

    def _known(self, names: Iterable[Hashable]) -> Iterator[tuple[Hashable, Prefix]]:
        """The latest of these that are still kept."""
        kept = ((name, self._storage.peek(name)) for name in names)
        return itertools.islice((item for item in kept if item[1] is not None), _MAX_COMPARED)

    def _tidy(self) -> None:
        """Forget the names of what is not kept any more, now and then."""
        if len(self._index) > self._max_indexed:
            for name in self._index.names():
                if self._storage.peek(name) is None:
                    self._index.remove(name)
            self._max_indexed = 64 + 2 * len(self._index)


class _Index:
    """Names of sequences by their marks, the latest first."""

    def __init__(self) -> None:
        self._passing: dict[int, dict[Hashable, None]] = {}
        self._ending: dict[int, dict[Hashable, None]] = {}
        self._marks: dict[Hashable, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self._marks)

    def names(self) -> list[Hashable]:
        """All names."""
        return list(self._marks)

    def passing(self, mark: int) -> Iterator[Hashable]:
        """Sequences with that mark that may be found by it."""
        return reversed(self._passing.get(mark, {}))

    def ending(self, mark: int) -> Iterator[Hashable]:
        """Sequences whose last mark that is."""
        return reversed(self._ending.get(mark, {}))

    def add(self, name: Hashable, marks: tuple[int, ...], *, is_findable_within: bool) -> None:
        """Add a sequence; it is found by all of its marks, or by the last alone."""
        self._marks[name] = marks
        for mark in marks if is_findable_within else marks[-1:]:
            self._passing.setdefault(mark, {})[name] = None
        self._ending.setdefault(marks[-1], {})[name] = None

    def remove(self, name: Hashable) -> None:
        """Forget a sequence."""
        marks = self._marks.pop(name)
        for table in (self._passing, self._ending):
            for mark in marks:
                names = table.get(mark, {})
                names.pop(name, None)
                if not names:
                    table.pop(mark, None)


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
