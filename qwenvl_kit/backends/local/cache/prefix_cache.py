"""Prompts that were computed before, found again by what they begin with.

They are kept as a radix tree: what several begin with is held once, and each has the rest for
itself. To make room, a rest goes before what it follows.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from qwenvl_kit.backends.local.cache.kv_cache import CacheState, share_beginning
from qwenvl_kit.backends.local.cache.prefix_tree import PrefixNode
from qwenvl_kit.backends.local.cache.segments import EndState, Segment, joined
from qwenvl_kit.backends.local.cache.store import Kept, Storage
from qwenvl_kit.backends.local.cache.token_sequences import TokenSequence, num_blocks

PREFIXES, BEGINNINGS = "prompts", "beginnings of prompts"
"""Kinds of what is kept: nodes at which a prompt ended, and others."""

_MIN_SHARED_TOKENS = 64
"""A shorter beginning is copied: a node of its own would not pay."""

_MAX_COMPARED = 8
"""Of nodes that begin alike for as many blocks, so many are compared, the latest first."""


@dataclass(frozen=True)
class Prefix:
    """The known beginning of a sequence.

    Attributes:
        node: where it ends.
        length: how many tokens it has.
    """

    node: PrefixNode
    length: int

    def cropped(self, length: int) -> Prefix:
        """A shorter one, of a model that can go on from anywhere."""
        return Prefix(self.node, length)

    def state(self) -> CacheState:
        """The model's cache after it: a copy with room to grow, to be opened once."""
        segments = [node.segment for node in self.node.path() if node.start < self.length]
        return joined(segments, self.length, self.node.end)


class PrefixStore:
    """Finds the longest known beginning of a sequence.

    Args:
        storage: where nodes are kept. The least recently used go first there; a node counts as
            used later than all that follows it, and so outlives them.
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

    def find(self, sequence: TokenSequence) -> Prefix | None:
        """The longest beginning that is known; None if none is.

        The last token is never part of it, since its logits are needed. Up to a block more may be
        known.
        """
        for mark in reversed(sequence.marks):
            passing, ending = self._index.passing(mark), self._index.ending(mark)
            known = (*self._known(passing), *self._known(ending))
            lengths = {node: node.usable_length(sequence) for node in known}
            node = max(lengths, key=lengths.__getitem__, default=None)
            if node is not None and lengths[node]:
                self._use(node)
                return Prefix(node, lengths[node])
        return None

    def keep(self, sequence: TokenSequence, state: CacheState) -> None:
        """Keep a sequence's cache; what it begins with as others do is held once for all."""
        if not sequence.marks:
            return  # nobody would find it
        state, stop = share_beginning(state, 0), len(sequence.ids)
        node, known = self._longest(sequence)
        if node is not None and known == stop and node.is_usable_at(stop):
            return
        if node is not None and known == node.stop and node.may_grow:
            self._extend(node, sequence, state)
        else:
            self._add(self._parted(node, known), sequence, state)
        self._tidy()

    def _longest(self, sequence: TokenSequence) -> tuple[PrefixNode | None, int]:
        """The node that goes furthest along a sequence, and up to where."""
        for mark in reversed(sequence.marks):
            stops = {
                node: node.common_stop(sequence) for node in self._known(self._index.passing(mark))
            }
            node = max(stops, key=stops.__getitem__, default=None)
            if node is not None and stops[node] > node.start:
                return node, stops[node]
        return None, 0

    def _extend(self, node: PrefixNode, sequence: TokenSequence, state: CacheState) -> None:
        """Keep what follows a node in that node, as nothing else does."""
        segment = Segment.of(state, node.start)
        if self._has_room(node.parent, segment.num_bytes):
            self._index.remove(node.name)
            node.sequence, node.segment = sequence.part(node.start, len(sequence.ids)), segment
            node.marks = sequence.marks[num_blocks(node.start) :]
            node.last_mark = sequence.marks[-1]
            self._put(node)

    def _add(self, parent: PrefixNode | None, sequence: TokenSequence, state: CacheState) -> None:
        """Keep what follows a node in a node of its own."""
        start, stop = 0 if parent is None else parent.stop, len(sequence.ids)
        end = None if state.is_croppable else EndState.of(state)
        if parent is not None and start == stop:
            parent.end, parent.is_prompt = end, True
            self._put(parent)
            return
        node = PrefixNode(
            self._new_name(),
            parent,
            start,
            sequence.part(start, stop),
            sequence.marks[num_blocks(start) :],
            sequence.marks[-1],
            Segment.of(state, start),
            end,
            is_prompt=True,
            is_croppable=state.is_croppable,
        )
        if self._has_room(parent, node.num_bytes):
            self._put(node)

    def _parted(self, node: PrefixNode | None, stop: int) -> PrefixNode | None:
        """The node that ends at a place within a node, or else the last one before that."""
        if node is None or stop == node.stop:
            return node
        if stop - node.start < _MIN_SHARED_TOKENS:
            return node.parent
        self._index.remove(node.name)
        beginning = node.split(stop, self._new_name())
        self._put(node, beginning)
        return beginning

    def _put(self, *nodes: PrefixNode) -> None:
        """Keep nodes that are new or were changed, the one that follows the others first."""
        if (parent := nodes[-1].parent) is not None:
            self._use(parent)  # so that it is not what goes to make room
        for node in nodes:
            kind = PREFIXES if node.is_prompt else BEGINNINGS
            self._index.add(node.name, node.marks, node.last_mark)
            self._storage.put(node.name, Kept(kind, node, node.num_bytes))
        self._use(nodes[0])
        if any(self._storage.peek(node.name) is not node for node in nodes[0].path()):
            for node in nodes:  # all was cleared meanwhile
                self._storage.discard(node.name)

    def _use(self, node: PrefixNode) -> None:
        """Count a node as used now, and what it follows after it."""
        for each in reversed(node.path()):
            self._storage.get(each.name)

    def _has_room(self, parent: PrefixNode | None, num_bytes: int) -> bool:
        """Whether a node fits among what may be kept, beside what it follows."""
        before = [] if parent is None else parent.path()
        return num_bytes + sum(node.num_bytes for node in before) <= self.max_bytes

    def _new_name(self) -> Hashable:
        return PREFIXES, next(self._numbers)

    def _known(self, names: Iterable[Hashable]) -> Iterator[PrefixNode]:
        """The latest of these that are still kept."""
        kept = map(self._storage.peek, names)
        return itertools.islice((node for node in kept if node is not None), _MAX_COMPARED)

    def _tidy(self) -> None:
        """Forget the names of what is not kept any more, now and then."""
        if len(self._index) > self._max_indexed:
            for name in self._index.names():
                if self._storage.peek(name) is None:
                    self._index.remove(name)
            self._max_indexed = 64 + 2 * len(self._index)


class _Index:
    """Names of nodes by marks, the latest first."""

    def __init__(self) -> None:
        self._passing: dict[int, dict[Hashable, None]] = {}
        self._ending: dict[int, dict[Hashable, None]] = {}
        self._marks: dict[Hashable, tuple[tuple[int, ...], int]] = {}

    def __len__(self) -> int:
        return len(self._marks)

    def names(self) -> list[Hashable]:
        """All names."""
        return list(self._marks)

    def passing(self, mark: int) -> Iterator[Hashable]:
        """Nodes in which a block of that mark ends."""
        return reversed(self._passing.get(mark, {}))

    def ending(self, mark: int) -> Iterator[Hashable]:
        """Nodes that end less than a block after that mark."""
        return reversed(self._ending.get(mark, {}))

    def add(self, name: Hashable, marks: tuple[int, ...], last_mark: int) -> None:
        """Add a node, or add it once more."""
        self.remove(name)
        self._marks[name] = marks, last_mark
        for mark in marks:
            self._passing.setdefault(mark, {})[name] = None
        self._ending.setdefault(last_mark, {})[name] = None

    def remove(self, name: Hashable) -> None:
        """Forget a node."""
        marks, last_mark = self._marks.pop(name, ((), 0))
        for table, keys in ((self._passing, marks), (self._ending, (last_mark,))):
            for mark in keys:
                names = table.get(mark, {})
                names.pop(name, None)
                if not names:
                    table.pop(mark, None)
