"""Blocks as they are written in an answer, before their places are mapped to a picture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from qwenvl_kit.documents.blocks import BlockKind
from qwenvl_kit.documents.tables import Table

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_MOST_DIGITS = 12
_FENCE = re.compile(r"^[ \t]*```([^\n`]*)$", re.MULTILINE)
_LONG_REMARK = 200
_MOST_CHARACTERS = 200
"""The characters of an attribute that are searched for numbers."""


@dataclass(frozen=True)
class WrittenBlock:
    """A block as it is written in an answer.

    Attributes:
        kind, text, level, table: as in `Block`.
        start, stop: the position of its content in the answer.
        numbers: x1, y1, x2, y2 in the unit of the family; None if it has no place.
        numbers_at: the position of the numbers in the answer.
        attributes: the other facts in the answer, by name, such as `class`.
    """

    kind: BlockKind
    text: str
    start: int
    stop: int
    level: int | None = None
    table: Table | None = None
    numbers: tuple[float, ...] | None = None
    numbers_at: tuple[int, int] = (0, 0)
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)

    def moved(self, offset: int) -> WrittenBlock:
        """The same block in a text in which its answer begins at an offset."""
        at = (self.numbers_at[0] + offset, self.numbers_at[1] + offset)
        return replace(self, start=self.start + offset, stop=self.stop + offset, numbers_at=at)


@dataclass(frozen=True)
class WrittenPage:
    """A page as it is written in an answer.

    Attributes:
        blocks: its blocks in the order of the answer.
        warnings: messages about parts that could not be read or had to be corrected.
    """

    blocks: tuple[WrittenBlock, ...]
    warnings: tuple[str, ...] = ()


def numbers_in(text: str) -> tuple[float, ...]:
    """Return the numbers of a place that is written as text, whatever stands between them.

    Empty if one is so long that a model must have been in a loop.
    """
    found = _NUMBER.findall(text[:_MOST_CHARACTERS])
    return () if any(len(each) > _MOST_DIGITS for each in found) else tuple(map(float, found))


def box_numbers(text: str) -> tuple[float, ...] | None:
    """Return the four sides of a box, or of the box around an outline; None if there is none."""
    numbers = numbers_in(text)
    if len(numbers) == 4:
        return numbers
    if len(numbers) >= 6 and len(numbers) % 2 == 0:
        xs, ys = numbers[::2], numbers[1::2]
        return min(xs), min(ys), max(xs), max(ys)
    return None


def inner_span(text: str, languages: tuple[str, ...]) -> tuple[int, int]:
    """Return where the content of an answer stands that may be within a fence of three backticks.

    A fence that is not closed goes on to the end. Fences within it come in pairs; the one that is
    left over closes it, unless more than a remark follows.

    Args:
        text: the answer.
        languages: the names that the fence may have; an empty one is a fence without a name.
    """
    opened = re.match(r"\s*```([A-Za-z]*)[ \t]*(?:\n|$)", text)
    if opened is None or opened[1].lower() not in languages:
        return 0, len(text)
    inside = [*_FENCE.finditer(text, opened.end())]
    if len(inside) % 2 == 0:
        return opened.end(), len(text)
    last = inside[-1]
    is_remark = len(text[last.end() :].strip()) < _LONG_REMARK
    is_closing = not last[1].strip() and is_remark
    return opened.end(), last.start() if is_closing else len(text)
