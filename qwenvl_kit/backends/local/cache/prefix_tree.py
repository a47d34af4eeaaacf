"""Nodes of the radix tree of computed prompts."""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from dataclasses import dataclass

from qwenvl_kit.backends.local.cache.segments import EndState, Segment
from qwenvl_kit.backends.local.cache.token_sequences import TokenSequence, common_stop, num_blocks


@dataclass(eq=False)
class PrefixNode:
    """A run of tokens that one or more sequences have in common, after those of its parents.

    Attributes:
        name: under which it is kept.
        parent: what comes before it; None at the very beginning.
        start: where it begins in a whole sequence.
        sequence: its own tokens.
        marks: of the blocks that end in it, as of the whole sequence.
        last_mark: of the last block that ends in it or before it.
        segment: its own part of the model's cache.
        end: the states after its last token, of a model that has such states; None where no prompt
            ended, from where that model cannot go on.
        is_prompt: whether a prompt ended there.
        is_croppable: whether the model can go on from within it.
    """

    name: Hashable
    parent: PrefixNode | None
    start: int
    sequence: TokenSequence
    marks: tuple[int, ...]
    last_mark: int
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
        """Where it ends in a whole sequence."""
        return self.start + len(self.sequence.ids)

    @property
    def num_bytes(self) -> int:
        """What it takes by itself."""
        return self.segment.num_bytes + (0 if self.end is None else self.end.num_bytes)

    def path(self) -> list[PrefixNode]:
        """The nodes from the very beginning to this one."""
        path, node = list[PrefixNode](), self
        while True:
            path.append(node)
            if node.parent is None:
                return path[::-1]
            node = node.parent

    def common_stop(self, sequence: TokenSequence) -> int:
        """How many tokens a sequence begins with as this node's does, up to where it ends."""
        length = 0
        for node in self.path():
            length = common_stop(node.sequence, sequence, node.start)
            if length < node.stop:
                break
        return length

    @property
    def may_grow(self) -> bool:
        """Whether what follows it can be put into it: nothing does yet, or needs where it ends."""
        return self.is_croppable and not self.children

    def is_usable_at(self, length: int) -> bool:
        """Whether the model can go on from after so many tokens of its sequence."""
        return self.is_croppable or (self.end is not None and length == self.stop)

    def usable_length(self, sequence: TokenSequence) -> int:
        """How many tokens of a sequence it spares; never the last, whose logits are needed."""
        length = self.common_stop(sequence.all_but_last)
        return length if self.is_usable_at(length) else 0

    def split(self, stop: int, name: Hashable) -> PrefixNode:
        """A node of its first tokens, which becomes its parent.

        Args:
            stop: where those end.
            name: of the new node.
        """
        at, num_marks = stop - self.start, num_blocks(stop) - num_blocks(self.start)
        sequence = self.sequence.part(at, len(self.sequence.ids), self.start)
        segment = self.segment.part(at, self.segment.num_tokens)
        first = PrefixNode(
            name,
            self.parent,
            self.start,
            self.sequence.part(0, at, self.start),
            self.marks[:num_marks],
            self.marks[num_marks - 1],
            self.segment.part(0, at),
            None,
            is_prompt=False,
            is_croppable=self.is_croppable,
        )
        if self.parent is not None:
            self.parent.children.discard(self)
        first.children.add(self)
        self.parent, self.start, self.sequence = first, stop, sequence
        self.marks, self.segment = self.marks[num_marks:], segment
        return first
