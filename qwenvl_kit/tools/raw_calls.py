"""Calls as they stand in an answer, before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.messages.tool_parts import UnreadCall


@dataclass(frozen=True)
class WrittenCall:
    """A call as it is written: the tool's name, and its arguments as JSON has them."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class WrittenCalls:
    """All calls of an answer, what it says beside them, and what could not be read.

    Attributes:
        text: what it says beside its calls.
        calls: those that are understood as a whole.
        warnings: what was not understood, or had to be assumed, in words.
        unread: what was meant as a call, or may have been, and is not understood.
    """

    text: str
    calls: tuple[WrittenCall, ...]
    warnings: tuple[str, ...]
    unread: tuple[UnreadCall, ...] = ()


@dataclass(frozen=True)
class Block:
    """Calls that stand together.

    Attributes:
        calls: in their order.
        stop: where the block ends in the answer.
        notes: what had to be assumed, in words.
    """

    calls: tuple[WrittenCall, ...]
    stop: int
    notes: tuple[str, ...] = ()
