"""MMMU's published rule for open answers: what an answer says, and whether that is right.

Source: MMMU-Benchmark/MMMU, mmmu/utils/eval_utils.py, `parse_open_response` and `eval_open`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TypeAlias, Union

from qwenvl_kit.evaluation.items import UNREAD, ItemScore

Value: TypeAlias = Union[str, float]
"""A text in lower case, or a number of two decimals."""

_INDICATORS = (
    "could be ",
    "so ",
    "is ",
    "thus ",
    "therefore ",
    "final ",
    "answer ",
    "result ",
)
"""The words before an answer; in the last line "=" is one as well."""

_TRIVIAL = frozenset(":,.!?;'")

_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),
    re.compile(r"-?(?<!\d)\d+(?:\.\d+)?[eE][+-]?\d+"),
    re.compile(r"-?(?:(?<!\d)\d+\.\d+|\.\d+|(?<!\d)\d+\b)(?![eE][+-]?\d+)(?![,\d])"),
)
"""Numbers with commas, with an exponent, and others. A search begins where digits begin, so
that long rows of digits take no long time; it finds the same."""


def open_score(answer: str, targets: Sequence[str]) -> ItemScore:
    """Score an open answer: right if a target is in what it says, or equals a number of it.

    The published rule takes a target that is anywhere in the last words of an answer. The strict
    score wants one of its values to equal a target.

    Args:
        answer: the answer.
        targets: the right answers.
    """
    if not any(character.isalnum() for character in answer):
        return UNREAD
    said = values_of(answer)
    right = [value for target in targets for value in _normalized(target)]
    value = float(any(_agrees(each, right) for each in said))
    strict = float(any(_equals(each, targets) for each in said))
    return ItemScore(value, "; ".join(map(str, said)), strict)


def values_of(answer: str) -> list[Value]:
    """Return what an answer says: the ends of its lines behind words such as "is", and numbers.

    Args:
        answer: the answer.
    """
    ends = list(_ends(answer)) or [answer.strip().strip(".").lower()]
    numbers = [found[0] for end in ends for pattern in _NUMBERS for found in pattern.finditer(end)]
    return list(dict.fromkeys(value for text in (*ends, *numbers) for value in _normalized(text)))


def _ends(answer: str) -> Iterator[str]:
    """The shortest end of each line behind an indicator, if it is more than a mark."""
    lines = answer.strip().strip(".").lower().split("\n")
    for at, line in enumerate(lines):
        words = (*_INDICATORS, "=") if at == len(lines) - 1 else _INDICATORS
        ends = [line.rpartition(word)[2].strip() for word in words if word in line]
        shortest = _first_shortest(ends)
        if shortest and shortest not in _TRIVIAL:
            yield shortest


def _first_shortest(ends: Sequence[str]) -> str:
    """The shortest end; as published, an empty one gives way to the next."""
    found = ""
    for end in ends:
        if not found or len(end) < len(found):
            found = end
    return found


def _normalized(text: str) -> list[Value]:
    """A text as a number of two decimals, else in lower case; one letter has a blank beside it."""
    plain = text.strip()
    number = _number(plain)
    if number is not None:
        return [number]
    lower = plain.lower()
    return [f" {lower}", f"{lower} "] if len(lower) == 1 else [lower]


def _number(text: str) -> float | None:
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return None
    return round(number, 2) if math.isfinite(number) else None


def _agrees(said: Value, right: Sequence[Value]) -> bool:
    """True if a right text is in a text that is said, or a number equals a right one."""
    if isinstance(said, str):
        return any(isinstance(each, str) and each in said for each in right)
    return said in right


def _equals(said: Value, targets: Sequence[str]) -> bool:
    number = [_number(target.strip()) for target in targets]
    if not isinstance(said, str):
        return said in number
    return said.strip() in [target.strip().lower() for target in targets]
