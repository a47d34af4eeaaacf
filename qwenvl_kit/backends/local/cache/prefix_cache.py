"""The prefix cache: KV caches of earlier prompts, found again by the tokens they begin with.

They are kept as a radix tree (`prefix_tree`): a prefix that several prompts have in common is held
once, and each prompt has a node for the rest. To make room, a node is dropped before its parent.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from qwenvl_kit.backends.local.cache.cache_key import CacheKey, num_blocks
from qwenvl_kit.backends.local.cache.kv_cache import CacheState, share_prefix
from qwenvl_kit.backends.local.cache.prefix_tree import PrefixNode
from qwenvl_kit.backends.local.cache.segments import EndState, Segment, joined
from qwenvl_kit.backends.local.cache.store import CacheEntry, CacheStore

PREFIXES, BEGINNINGS = "prompts", "beginnings of prompts"
"""Kinds of cache entries: nodes at which a prompt ended, and other nodes."""

_MIN_SHARED_TOKENS = 64
"""The least length of a node that is made for a common prefix; a shorter prefix is copied."""

_MAX_COMPARED = 8
"""The most nodes that are compared for one block hash, the latest first."""


@dataclass(frozen=True)
class Prefix:
    """A cached prefix of a sequence.

    Attributes:
        node: the node within which it ends.
        length: its number of tokens.
    """

    node: PrefixNode
    length: int

    def cropped(self, length: int) -> Prefix:
        """A shorter prefix; only for a model whose cache can be cropped."""
        return Prefix(self.node, length)

    def state(self) -> CacheState:
        """The model's cache after the prefix: a copy with room to grow, to be opened once."""
        segments = [node.segment for node in self.node.path() if node.start < self.length]
        return joined(segments, self.length, self.node.end)


class PrefixCache:
    """Keeps the caches of sequences, and finds the longest cached prefix of a new one.

    Args:
        store: keeps the nodes, and drops the least recently used first. A node counts as used
            later than its children, and so outlives them.
    """

    def __init__(self, store: CacheStore) -> None:
        self._store = store
        self._numbers = itertools.count()
        self._index = _Index()
        self._max_indexed = 64

    @property
    def max_bytes(self) -> int:
        """The most bytes that the store may take."""
        return self._store.max_bytes

    @property
    def is_open(self) -> bool:
        """True if anything is kept at all."""
        return self.max_bytes > 0

    def note(self, *, found: bool) -> None:
        """Count a hit or a miss; `find` itself does not, as it runs several times for a prompt."""
        self._store.note(found=found)

    def find(self, key: CacheKey) -> Prefix | None:
        """Return the longest cached prefix of a sequence; None if there is none.

        The last token is never part of it, since its logits are needed. The prefix is the longest
        to within one block of tokens.
        """
        for block_hash in reversed(key.block_hashes):
            passing, ending = self._index.passing(block_hash), self._index.ending(block_hash)
            known = (*self._known(passing), *self._known(ending))
            lengths = {node: node.usable_length(key) for node in known}
            node = max(lengths, key=lengths.__getitem__, default=None)
            if node is not None and lengths[node]:
                self._use(node)
                return Prefix(node, lengths[node])
        return None

    def keep(self, key: CacheKey, state: CacheState) -> None:
        """Keep the cache of a sequence; a prefix that is kept already is not kept again."""
        if not key.block_hashes:
            return  # shorter than a block: `find` would not find it
        state, stop = share_prefix(state, 0), len(key.ids)
        node, known = self._longest(key)
        if node is not None and known == stop and node.is_usable_at(stop):
            return
        if node is not None and known == node.stop and node.may_grow:
            self._extend(node, key, state)
        else:
            self._add(self._split(node, known), key, state)
        self._tidy()

    def _longest(self, key: CacheKey) -> tuple[PrefixNode | None, int]:
        """The node that has the longest common prefix with a sequence, and that length."""
        for block_hash in reversed(key.block_hashes):
            passing = self._known(self._index.passing(block_hash))
            stops = {node: node.common_stop(key) for node in passing}
            node = max(stops, key=stops.__getitem__, default=None)
            if node is not None and stops[node] > node.start:
                return node, stops[node]
        return None, 0

    def _extend(self, node: PrefixNode, key: CacheKey, state: CacheState) -> None:
        """Keep the rest of a sequence in a node that has no children, by making it longer."""
        segment = Segment.of(state, node.start)
        if self._has_room(node.parent, segment.num_bytes):
            self._index.remove(node.name)
            node.key, node.segment = key.part(node.start, len(key.ids)), segment
            node.block_hashes = key.block_hashes[num_blocks(node.start) :]
            node.last_block_hash = key.block_hashes[-1]
            self._put(node)

    def _add(self, parent: PrefixNode | None, key: CacheKey, state: CacheState) -> None:
        """Keep the rest of a sequence in a new node below a parent."""
        start, stop = 0 if parent is None else parent.stop, len(key.ids)
        end = None if state.is_croppable else EndState.of(state)
        if parent is not None and start == stop:
            parent.end, parent.is_prompt = end, True
            self._put(parent)
            return
        node = PrefixNode(
            self._new_name(),
            parent,
            start,
            key.part(start, stop),
            key.block_hashes[num_blocks(start) :],
            key.block_hashes[-1],
            Segment.of(state, start),
            end,
            is_prompt=True,
            is_croppable=state.is_croppable,
        )
        if self._has_room(parent, node.num_bytes):
            self._put(node)

    def _split(self, node: PrefixNode | None, stop: int) -> PrefixNode | None:
        """The node that ends at a place within a node, made by splitting that node.

        Where the first part would be too short for a node, its parent is returned.
        """
        if node is None or stop == node.stop:
            return node
        if stop - node.start < _MIN_SHARED_TOKENS:
            return node.parent
        self._index.remove(node.name)
        first = node.split(stop, self._new_name())
        self._put(node, first)
        return first

    def _put(self, *nodes: PrefixNode) -> None:
        """Keep nodes that are new or were changed, children before their parents."""
        if (parent := nodes[-1].parent) is not None:
            self._use(parent)  # so that the parent is not dropped to make room
        for node in nodes:
            kind = PREFIXES if node.is_prompt else BEGINNINGS
            self._index.add(node.name, node.block_hashes, node.last_block_hash)
            self._store.put(node.name, CacheEntry(kind, node, node.num_bytes))
        self._use(nodes[0])
        if any(self._store.peek(node.name) is not node for node in nodes[0].path()):
            for node in nodes:  # another thread cleared the store meanwhile
                self._store.discard(node.name)

    def _use(self, node: PrefixNode) -> None:
        """Count a node as used now, and its parents as used after it."""
        for each in reversed(node.path()):
            self._store.get(each.name)

    def _has_room(self, parent: PrefixNode | None, num_bytes: int) -> bool:
        """True if the store can hold a node of this size together with its parents."""
        before = [] if parent is None else parent.path()
        return num_bytes + sum(node.num_bytes for node in before) <= self.max_bytes

    def _new_name(self) -> Hashable:
        return PREFIXES, next(self._numbers)

    def _known(self, names: Iterable[Hashable]) -> Iterator[PrefixNode]:
        """The nodes of these names that are still kept, up to a limit."""
        kept = map(self._store.peek, names)
        return itertools.islice((node for node in kept if node is not None), _MAX_COMPARED)

    def _tidy(self) -> None:
        """Remove names of nodes that the store has dropped from the index, now and then."""
        if len(self._index) > self._max_indexed:
            for name in self._index.names():
                if self._store.peek(name) is None:
                    self._index.remove(name)
            self._max_indexed = 64 + 2 * len(self._index)


class _Index:
    """The index of nodes: their names by block hashes, the latest first."""

    def __init__(self) -> None:
        self._passing: dict[int, dict[Hashable, None]] = {}
        self._ending: dict[int, dict[Hashable, None]] = {}
        self._hashes: dict[Hashable, tuple[tuple[int, ...], int]] = {}

    def __len__(self) -> int:
        return len(self._hashes)

    def names(self) -> list[Hashable]:
        """The names of all nodes."""
        return list(self._hashes)

    def passing(self, block_hash: int) -> Iterator[Hashable]:
        """The nodes in which a block with this hash ends."""
        return reversed(self._passing.get(block_hash, {}))

    def ending(self, block_hash: int) -> Iterator[Hashable]:
        """The nodes that end less than a block after the block with this hash."""
        return reversed(self._ending.get(block_hash, {}))

    def add(self, name: Hashable, block_hashes: tuple[int, ...], last_block_hash: int) -> None:
        """Add a node, in place of its earlier entry if it has one."""
        self.remove(name)
        self._hashes[name] = block_hashes, last_block_hash
        for block_hash in block_hashes:
            self._passing.setdefault(block_hash, {})[name] = None
        self._ending.setdefault(last_block_hash, {})[name] = None

    def remove(self, name: Hashable) -> None:
        """Remove a node."""
        block_hashes, last_block_hash = self._hashes.pop(name, ((), 0))
        for table, hashes in ((self._passing, block_hashes), (self._ending, (last_block_hash,))):
            for block_hash in hashes:
                names = table.get(block_hash, {})
                names.pop(name, None)
                if not names:
                    table.pop(block_hash, None)
