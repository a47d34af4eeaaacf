"""The rule by which a text that was read in a picture holds a value."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

_NUMBER = re.compile(r"\d[\d.,'’ \u00a0\u202f]*\d|\d")
_SEPARATORS = re.compile(r"['’ \u00a0\u202f]")
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ].*)?")
_WORD = re.compile(r"[^\W\d_]{3,}")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_BEFORE_COMMA = re.compile(r"\d,\d{3}(?!\d).?", re.DOTALL)
_AFTER_COMMA = re.compile(r",\d{3}(?!\d)")
"""The comma between thousands, before and after a number that would be cut there."""
_LONGEST = 100_000
"""The most characters of a text that are compared."""


def is_printed(value: Any, text: str) -> bool:
    """Return True if a text that was read holds a value.

    - A number is held by an equal number: 1234.5 by "1,234.50", "1.234,50" and "1 234,5".
    - A date as 2024-03-18 is held by its year, month and day in any order; the month may be an
      English name, the year may have two digits.
    - Any other text is held if its letters and digits stand in the text, one after the other. Case,
      width, white space and punctuation make no difference; "A-7" is not held by "A-70".

    Args:
        value: a text or a number.
        text: the text that was read.
    """
    read = unicodedata.normalize("NFKC", text[:_LONGEST])
    if isinstance(value, (int, float)):
        return _holds_number(Decimal(str(value)), read)
    words = unicodedata.normalize("NFKC", str(value)[:_LONGEST])
    if not any(map(str.isalnum, words)):
        return bool(words.strip()) and words.strip() in read
    if _holds_letters(words.casefold(), read.casefold()):
        return True
    date = _ISO_DATE.fullmatch(words.strip())
    if date is not None:
        return _holds_date(tuple(map(int, date.groups())), read)
    number = _decimal(words.strip())
    return number is not None and _holds_number(number, read)


def _holds_letters(words: str, text: str) -> bool:
    """True if the letters and digits of the words stand in a text, and cut no number in two."""
    wanted = "".join(filter(str.isalnum, words))
    places = [at for at, character in enumerate(text) if character.isalnum()]
    letters = "".join(text[at] for at in places)
    start = letters.find(wanted)
    while start >= 0:
        first, last = places[start], places[start + len(wanted) - 1]
        before, after = text[max(0, first - 2) : first], text[last + 1 : last + 6]
        cuts_before = wanted[0].isdigit() and (
            before[-1:].isdigit() or bool(_BEFORE_COMMA.fullmatch(before + text[first : first + 4]))
        )
        cuts_after = wanted[-1].isdigit() and (
            after[:1].isdigit() or bool(_AFTER_COMMA.match(after))
        )
        if not cuts_before and not cuts_after:
            return True
        start = letters.find(wanted, start + 1)
    return False


def _holds_number(wanted: Decimal, text: str) -> bool:
    return any(abs(wanted) == found for found in _numbers(text))


def _numbers(text: str) -> Iterator[Decimal]:
    """The numbers that a text may hold, by either meaning of commas and points."""
    for match in _NUMBER.finditer(text):
        written = _SEPARATORS.sub("", match[0])
        for plain in {
            written.replace(",", ""),
            written.replace(".", "").replace(",", "."),
        }:
            number = _decimal(plain)
            if number is not None:
                yield number
        if written != match[0]:  # a space may also stand between two numbers
            yield from map(Decimal, re.findall(r"\d+", match[0]))


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _holds_date(date: tuple[int, ...], text: str) -> bool:
    """True if a text holds year, month and day, each by a number or a name of its own."""
    year, month, day = date
    numbers = [int(digits[:9]) for digits in re.findall(r"\d+", text)]
    names = {word[:3].casefold() for word in _WORD.findall(text)}
    if _MONTHS[month - 1 : month] and names & set(_MONTHS[month - 1 : month]):
        numbers.append(month)
    for wanted, short in ((year, year % 100), (month, month), (day, day)):
        known = wanted if wanted in numbers else short
        if known not in numbers:
            return False
        numbers.remove(known)
    return True
