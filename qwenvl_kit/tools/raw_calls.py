"""Tool calls as they are written in an answer, before they are checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwenvl_kit.messages.tool_parts import UnreadCall


@dataclass(frozen=True)
class WrittenCall:
    """A call as it is written: the tool's name, and its arguments as JSON values."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class WrittenCalls:
    """All calls of an answer, the rest of its text, and calls that could not be read.

    Attributes:
        text: the text without the calls.
        calls: the calls that could be read completely.
        warnings: messages about calls that could not be read or were corrected.
        unread: texts that are calls, or may be calls, and could not be read.
    """

    text: str
    calls: tuple[WrittenCall, ...]
    warnings: tuple[str, ...]
    unread: tuple[UnreadCall, ...] = ()


@dataclass(frozen=True)
class Block:
    """Calls that stand together.

    Attributes:
        calls: the calls, in order.
        stop: the position after the block in the answer.
        notes: messages about errors in the text that were corrected.
    """

    calls: tuple[WrittenCall, ...]
    stop: int
    notes: tuple[str, ...] = ()
