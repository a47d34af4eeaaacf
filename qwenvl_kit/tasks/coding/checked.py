"""The findings of a check of code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST_CHARACTERS = 1_000_000
"""The most characters of code that are checked; an answer has far fewer."""

MOST_TOLD = 3


@dataclass(frozen=True)
class Checked:
    """The findings of one check.

    Attributes:
        problems: sentences on what is wrong with the form.
        notes: sentences on what a reader should know, though the form is right.
        imports: the names of imported packages, of Python alone.
    """

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()


def told(what: str, places: Iterable[str]) -> tuple[str, ...]:
    """Return one sentence that names the first few of several places; nothing for none."""
    named = list(dict.fromkeys(places))
    if not named:
        return ()
    more = len(named) - MOST_TOLD
    rest = f", and {more:,} more" if more > 0 else ""
    return (f"{what}: {', '.join(named[:MOST_TOLD])}{rest}",)


def without(text: str, opening: str, closing: str) -> str:
    """Return a text without what stands between two marks; its line ends stay.

    An opening without a closing one stays. The time is linear, as that of a pattern is not.
    """
    parts: list[str] = []
    at = 0
    while (start := text.find(opening, at)) >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            break
        parts += [text[at:start], "\n" * text.count("\n", start, end)]
        at = end + len(closing)
    return "".join((*parts, text[at:]))


def line_of(text: str, at: int) -> str:
    """Return the place of a character as a line, such as `line 3`."""
    return f"line {text.count(chr(10), 0, at) + 1:,}"
