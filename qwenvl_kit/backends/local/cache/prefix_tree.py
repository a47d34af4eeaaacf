"""The nodes of the prefix cache, a radix tree of the tokens of computed prompts."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from dataclasses import dataclass

from qwenvl_kit.backends.local.cache.cache_key import CacheKey, common_stop, num_blocks
from qwenvl_kit.backends.local.cache.segments import EndState, Segment


@dataclass(eq=False)
class PrefixNode:
    """A node: some tokens that follow those of its parent, and their part of the model's cache.

    Attributes:
        name: its key in the cache store.
        parent: the node before it; None at the beginning of sequences.
        start: the place in the whole sequence at which its own tokens begin.
        key: the cache key of its own tokens.
        block_hashes: the hashes of the blocks that end in it, as in the whole sequence.
        last_block_hash: the hash of the last block that ends in it or before it.
        segment: its own part of the model's cache.
        end: the states of linear attention after its last token; None for a model without them,
            or if no prompt ended here, so that such a model cannot go on from here.
        is_prompt: True if a prompt ended here.
        is_croppable: True if the model can go on from any of its tokens.
    """

    name: Hashable
    parent: PrefixNode | None
    start: int
    key: CacheKey
    block_hashes: tuple[int, ...]
    last_block_hash: int
    segment: Segment
    end: EndState | None
    is_prompt: bool
    is_croppable: bool

    def __post_init__(self) -> None:
        self.children = weakref.WeakSet[PrefixNode]()
        if self.parent is not None:
            self.parent.children.add(self)

    @property
    def stop(self) -> int:
        """The place in the whole sequence at which it ends."""
        return self.start + len(self.key.ids)

    @property
    def num_bytes(self) -> int:
        """The size of its own part of the cache in bytes."""
        return self.segment.num_bytes + (0 if self.end is None else self.end.num_bytes)

    def path(self) -> list[PrefixNode]:
        """The nodes from the beginning of the sequence to this one."""
        path, node = list[PrefixNode](), self
        while True:
            path.append(node)
            if node.parent is None:
                return path[::-1]
            node = node.parent

    def common_stop(self, key: CacheKey) -> int:
        """The length of the prefix that a sequence and the path to this node have in common."""
        length = 0
        for node in self.path():
            length = common_stop(node.key, key, node.start)
            if length < node.stop:
                break
        return length

    @property
    def may_grow(self) -> bool:
        """True if it can be made longer: it has no children, and its end need not be kept."""
        return self.is_croppable and not self.children

    def is_usable_at(self, length: int) -> bool:
        """True if the model can go on after this many tokens of its path."""
        return self.is_croppable or (self.end is not None and length == self.stop)

    def usable_length(self, key: CacheKey) -> int:
        """The number of a sequence's tokens that need not be computed; never all of them.

        The logits of the last token are always needed.
        """
        length = self.common_stop(key.all_but_last)
        return length if self.is_usable_at(length) else 0

    def split(self, stop: int, name: Hashable) -> PrefixNode:
        """Move its first tokens into a new node, which becomes its parent, and return that.

        Args:
            stop: the place in the whole sequence at which those tokens end.
            name: the name of the new node.
        """
        at, num_hashes = stop - self.start, num_blocks(stop) - num_blocks(self.start)
        key = self.key.part(at, len(self.key.ids), self.start)
        segment = self.segment.part(at, self.segment.num_tokens)
        first = PrefixNode(
            name,
            self.parent,
            self.start,
            self.key.part(0, at, self.start),
            self.block_hashes[:num_hashes],
            self.block_hashes[num_hashes - 1],
            self.segment.part(0, at),
            None,
            is_prompt=False,
            is_croppable=self.is_croppable,
        )
        if self.parent is not None:
            self.parent.children.discard(self)
        first.children.add(self)
        self.parent, self.start, self.key = first, stop, key
        self.block_hashes, self.segment = self.block_hashes[num_hashes:], segment
        return first
