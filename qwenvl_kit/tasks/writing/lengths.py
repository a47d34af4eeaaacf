"""The length of a text, in words and in characters."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from qwenvl_kit.errors import MessageError

Unit: TypeAlias = Literal["words", "characters"]

MOST = 20_000
"""The longest length that can be asked for."""

TOLERANCE = 0.1
"""The share by which a length may differ from the one that was asked for."""

HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
"""Chinese characters: Unicode's blocks of CJK ideographs, and the signs 々 and 〇."""

_KANA = "\u3041-\u3096\u30a1-\u30fa"
_SINGLE = re.compile(f"[{HAN}{_KANA}]")

_UNITS = MappingProxyType({"en": {"words": "words", "characters": "characters"}, "zh": {}})
"""The names of units in prompts; in Chinese both are 字."""


def count_words(text: str) -> int:
    """Return the number of words in a text.

    A word is what stands between white space and has a letter or a digit: "don't", "3.5" and
    "well-known" are one each, a dash is none. Each Chinese character and each Japanese kana is a
    word, as word processors count them. (IFEval counts runs of letters and digits instead, so that
    "don't" is two: arXiv:2311.07911.)
    """
    singles = len(_SINGLE.findall(text))
    others = _SINGLE.sub(" ", text).split()
    return singles + sum(any(mark.isalnum() for mark in word) for word in others)


def count_characters(text: str) -> int:
    """Return the number of characters in a text: letters and digits of all scripts.

    White space, punctuation, symbols and accents of their own are none.
    """
    return sum(unicodedata.category(mark)[0] in "LN" for mark in text)


@dataclass(frozen=True)
class Length:
    """A length that was asked for.

    Attributes:
        number: the number of words or characters.
        unit: "words" or "characters".
    """

    number: int
    unit: Unit

    def __post_init__(self) -> None:
        if type(self.number) is not int or not 1 <= self.number <= MOST:
            raise MessageError(
                f"{self.unit}={self.number!r} was given",
                expected=f"a whole number of 1 to {MOST:,}",
            )

    def of(self, text: str) -> int:
        """The length of a text."""
        return count_words(text) if self.unit == "words" else count_characters(text)

    def fits(self, found: int) -> bool:
        """True if a length differs by at most a tenth."""
        return abs(found - self.number) <= TOLERANCE * self.number

    def named(self, language: str, number: int | None = None) -> str:
        """A length as a prompt says it, such as `200 words`: its own, or of another number."""
        unit = _UNITS[language].get(self.unit)
        shown = self.number if number is None else number
        return f"{shown} {unit}" if unit else f"{shown}字"
