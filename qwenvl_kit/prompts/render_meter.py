"""The meter of a rendering: it bounds the time and memory that a chat template may take.

A template comes from whoever published a checkpoint, and Jinja's sandbox bounds neither its time
nor its memory. Each step has a cost in characters, and is paid before it is taken if the cost is
known then. The limit grows with the conversation.
"""

from __future__ import annotations

import time
from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2.utils import Namespace

from qwenvl_kit.errors import CheckpointError

ITEM_CHARACTERS = 16
"""The cost of an entry of a list, or of a step of a loop: about the memory of this much text."""

_LEAST_CHARACTERS = 4_000_000
"""The limit that every rendering has: enough to compare each of 700 messages with each."""

_COPIES = 100
"""The number of times that a template may write the whole conversation; published ones write it 1
to 13 times."""

_MAX_SECONDS = 5.0
"""Most processor time of a rendering; published templates take milliseconds."""

_CHARACTERS_A_SECOND = 1_000_000
"""The number of characters for which a rendering gets one more second."""

_STEPS_A_LOOK = 64
"""Steps between two looks at the clock, each of which costs as much as a few steps; it must be a
power of two."""

SCALARS = frozenset((str, int, float, bool, type(None)))
"""Types without contents."""


class Meter:
    """Counts the cost of one rendering.

    Args:
        size: the size of the conversation, as `weight` gives it.

    Raises:
        CheckpointError: from any method, if the cost is higher than the conversation allows.
    """

    def __init__(self, size: int) -> None:
        self.left = _LEAST_CHARACTERS + _COPIES * size
        self._seconds = _MAX_SECONDS + size / _CHARACTERS_A_SECOND
        self._end = time.thread_time() + self._seconds
        self._steps = 0

    def spend(self, characters: int) -> None:
        """Pay for a step.

        Args:
            characters: its cost.
        """
        self.left -= characters
        self._steps += 1
        if self.left < 0:
            raise _too_costly("memory")
        if not self._steps & (_STEPS_A_LOOK - 1) and time.thread_time() > self._end:
            raise _too_costly(f"{self._seconds:.0f} seconds of the processor")

    def spend_on(self, value: Any) -> None:
        """Pay for reading all of a value, such as for writing it out."""
        if type(value) in SCALARS:
            self.spend(len(value) if type(value) is str else ITEM_CHARACTERS)
        else:
            self.spend(weight(value, self.left))

    def passed(self, items: Iterable[Any], cost: int = ITEM_CHARACTERS) -> Iterator[Any]:
        """Yield the items, and pay for each."""
        for item in items:
            self.spend(cost)
            yield item


_METER: ContextVar[Meter] = ContextVar("meter")


def meter() -> Meter:
    """The meter of the rendering that runs in this thread."""
    return _METER.get()


@contextmanager
def metered(size: int) -> Iterator[None]:
    """Bound the rendering within the block.

    Args:
        size: the size of the conversation, as `weight` gives it.
    """
    token = _METER.set(Meter(size))
    try:
        yield
    finally:
        _METER.reset(token)


def weight(value: Any, limit: float = float("inf")) -> int:
    """The size of a value when it is written out, in characters.

    A part that occurs several times counts each time: if a list holds another list twice, and that
    one a third list twice, and so on, it is small in memory and very long when written out.

    Args:
        value: texts, numbers, lists and dicts.
        limit: counting ends above this size.
    """
    total, waiting = 0, [value]
    while waiting and total <= limit:
        item = waiting.pop()
        if type(item) in SCALARS:
            total += len(item) if type(item) is str else ITEM_CHARACTERS
            continue
        held = _held(item)
        total += ITEM_CHARACTERS * max(1, len(held))
        if total <= limit and not isinstance(held, range):
            waiting.extend(held)
    return total


def _held(value: Any) -> Any:
    """The contents of a value, as a collection that has a length."""
    if isinstance(value, Namespace):
        value = value._Namespace__attrs
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    if isinstance(value, str):
        return (str(value),)  # a kind of text, such as Markup
    if isinstance(value, (KeysView, ValuesView, ItemsView, set, frozenset)):
        return list(value)
    return value if isinstance(value, (list, tuple, range)) else ()


def _too_costly(what: str) -> CheckpointError:
    return CheckpointError(
        f"the chat template takes more {what} than a conversation of this length needs",
        expected="a template whose work grows with the conversation",
        hint="the chat template of the base model",
    )
