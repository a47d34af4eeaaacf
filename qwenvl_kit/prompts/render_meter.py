"""What rendering a chat template may cost.

A template comes from whoever published a checkpoint, and Jinja's sandbox bounds neither its time
nor its memory. Each step of it is paid for in characters, before it is taken where that can be
known. What it may spend grows with the conversation.
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
"""What an entry of a list costs, or a step of a loop: about the memory of so much text."""

_LEAST_CHARACTERS = 4_000_000
"""What any rendering may spend: a template that compares each of 700 messages with each."""

_COPIES = 100
"""How often a template may write the whole conversation; published ones do it 1 to 13 times."""

_MAX_SECONDS = 5.0
"""Processor time of a rendering; published templates take milliseconds."""

_CHARACTERS_A_SECOND = 1_000_000
"""Conversations that are longer than this have a second more for each as many characters."""

_STEPS_A_LOOK = 64
"""Steps between two looks at the clock, which costs as much as a few of them; a power of two."""

SCALARS = frozenset((str, int, float, bool, type(None)))
"""Types that hold nothing."""


class Meter:
    """Counts what one rendering spends.

    Args:
        size: of what is rendered, as `weight` gives it.

    Raises:
        CheckpointError: from any method, where more is spent than the conversation allows.
    """

    def __init__(self, size: int) -> None:
        self.left = _LEAST_CHARACTERS + _COPIES * size
        self._seconds = _MAX_SECONDS + size / _CHARACTERS_A_SECOND
        self._end = time.thread_time() + self._seconds
        self._steps = 0

    def spend(self, characters: int) -> None:
        """Pay for a step."""
        self.left -= characters
        self._steps += 1
        if self.left < 0:
            raise _too_costly("memory")
        if not self._steps & (_STEPS_A_LOOK - 1) and time.thread_time() > self._end:
            raise _too_costly(f"{self._seconds:.0f} seconds of the processor")

    def spend_on(self, value: Any) -> None:
        """Pay for reading all of a value, as writing it out does."""
        if type(value) in SCALARS:
            self.spend(len(value) if type(value) is str else ITEM_CHARACTERS)
        else:
            self.spend(weight(value, self.left))

    def passed(self, items: Iterable[Any], price: int = ITEM_CHARACTERS) -> Iterator[Any]:
        """The items, each paid for as it is taken."""
        for item in items:
            self.spend(price)
            yield item


_METER: ContextVar[Meter] = ContextVar("meter")


def meter() -> Meter:
    """That of the rendering that goes on in this thread."""
    return _METER.get()


@contextmanager
def metered(size: int) -> Iterator[None]:
    """Bound what is rendered within.

    Args:
        size: of what is rendered, as `weight` gives it.
    """
    token = _METER.set(Meter(size))
    try:
        yield
    finally:
        _METER.reset(token)


def weight(value: Any, limit: float = float("inf")) -> int:
    """How much there is to read in a value, in characters.

    What stands in several places counts in each, as it does where it is written out: a list that
    holds another twice, and that a third twice, is short in memory and endless on paper.

    Args:
        value: texts, numbers, lists and dicts.
        limit: where counting ends; the sum is then above it.
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
    """What a value has inside, as something that has a length."""
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
