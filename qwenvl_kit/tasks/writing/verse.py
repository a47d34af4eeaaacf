"""The verse in an answer: found among titles and remarks, and held to its form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from qwenvl_kit.tasks.writing.lengths import HAN
from qwenvl_kit.tasks.writing.syllables import count_syllables
from qwenvl_kit.tasks.writing.verse_forms import VerseForm

_HAN = re.compile(f"[{HAN}]")
_BREAK = re.compile(r"[，。！？；、：,.!?;:\s]+")
_MARKS = re.compile(r"^[\s>*_#\-`]+|[\s*_`]+$")
_TITLE = re.compile(
    r"(?:#|\*\*[^*]*[^*，。！？；,.!?;]\*\*$|《[^》]*》$|【[^】]*】$|[^：:]{0,8}：$)"
)
_REMARK = re.compile(
    r"(?:注释?|译文|赏析|解析|说明|标题|题目|作者|诗题)(?:[：:]|$)|(?:note|title|explanation):",
    re.I,
)


@dataclass(frozen=True)
class FoundVerse:
    """The verse of an answer.

    Attributes:
        lines: its lines, without marks of Markdown; of Chinese verse, each 句 without punctuation.
        problems: sentences on what it lacks; empty if it has the form.
    """

    lines: tuple[str, ...]
    problems: tuple[str, ...]


def find_verse(text: str, form: VerseForm, language: str = "en") -> FoundVerse:
    """Find the verse in a text, and hold it to a form.

    Titles (`# ...`, `**...**`, 《...》), a first line that ends with a colon, and remarks that
    begin with such a word (注, 赏析, "Note:") are no verse. Blank lines part stanzas. The verse is
    a run of stanzas that has the form, where nothing else in the text looks like verse; without
    one, it is all that is left, and it lacks something.

    Args:
        text: the text.
        form: the form.
        language: the language of the problems, "en" or "zh".
    """
    stanzas = _stanzas(text)
    for candidate in (stanzas, [_untitled(lines) for lines in stanzas]):
        units = [_units(lines, form) for lines in candidate]
        for lines in _windows(units, form):
            if not _problems(lines, form, language):
                return FoundVerse(tuple(lines), ())
    units = [_units(lines, form) for lines in stanzas]
    left = [line for stanza in units if _is_verse(stanza, form) for line in stanza]
    nearest = left or [line for stanza in units for line in stanza]
    return FoundVerse(tuple(nearest), tuple(_problems(nearest, form, language)))


def _stanzas(text: str) -> list[list[str]]:
    """The lines of a text, parted at blank lines, titles and remarks."""
    stanzas: list[list[str]] = [[]]
    lines = [line.strip() for line in text.strip().splitlines()]
    for number, line in enumerate(lines):
        is_said = number == 0 and line.endswith((":", "：")) and len(lines) > 1
        if not line or is_said or _TITLE.match(line) or _REMARK.match(_MARKS.sub("", line)):
            stanzas.append([])
        else:
            stanzas[-1].append(_MARKS.sub("", line))
    return [stanza for stanza in stanzas if stanza]


def _untitled(lines: list[str]) -> list[str]:
    """A stanza without a first line that ends in no mark, where the second ends in one."""
    is_title = len(lines) > 1 and lines[0][-1:].isalnum() and not lines[1][-1:].isalnum()
    return lines[1:] if is_title else lines


def _windows(stanzas: list[list[str]], form: VerseForm) -> Iterator[list[str]]:
    """Each run of stanzas that has the number of lines, where no other stanza is verse."""
    units = [stanza for stanza in stanzas if stanza]
    is_spaced = form.num_characters is None and max(map(len, units), default=0) == 1
    verse = [(is_spaced and number > 0) or _is_verse(u, form) for number, u in enumerate(units)]
    before = list(accumulate(verse, initial=0))
    for start in range(len(units)):
        lines: list[str] = []
        stop = start
        while stop < len(units) and len(lines) < form.num_lines:
            lines += units[stop]
            stop += 1
        if len(lines) == form.num_lines and before[start] == before[-1] - before[stop] == 0:
            yield lines


def _is_verse(units: list[str], form: VerseForm) -> bool:
    """True if a stanza looks like verse: two lines or more, of the right length if it counts."""
    if form.num_characters is None:
        return len(units) > 1
    right = sum(len(_HAN.findall(unit)) == form.num_characters for unit in units)
    return right > 1 and 2 * right > len(units)


def _units(run: list[str], form: VerseForm) -> list[str]:
    """The lines of a form in a run of lines of text."""
    if form.num_characters is None:
        return [line for line in run if any(mark.isalnum() for mark in line)]
    parts = (part for line in run for part in _BREAK.split(line))
    return [part for part in parts if _HAN.search(part)]


def _problems(lines: list[str], form: VerseForm, language: str) -> list[str]:
    said = _WORDS[language]
    problems = []
    if len(lines) != form.num_lines:
        problems.append(said["lines"].format(found=len(lines), wanted=form.num_lines))
    for number, line in enumerate(lines[: form.num_lines], 1):
        if form.num_characters is not None:
            found, wanted = len(_HAN.findall(line)), form.num_characters
            if found != wanted:
                problems.append(said["characters"].format(at=number, found=found, wanted=wanted))
        if form.syllables is not None:
            found, wanted = count_syllables(line), form.syllables[number - 1]
            if abs(found - wanted) > 1:
                problems.append(said["syllables"].format(at=number, found=found, wanted=wanted))
        if form.initials is not None:
            begun = next((mark for mark in line if mark.isalnum()), "")
            if begun.casefold() != form.initials[number - 1].casefold():
                wanted_mark = form.initials[number - 1]
                problems.append(said["initials"].format(at=number, found=begun, wanted=wanted_mark))
    return problems


_WORDS = {
    "en": {
        "lines": "it has {found} lines, not {wanted}",
        "characters": "line {at} has {found} characters, not {wanted}",
        "syllables": "line {at} has about {found} syllables, not {wanted}",
        "initials": "line {at} begins with {found!r}, not {wanted!r}",
    },
    "zh": {
        "lines": "共有{found}句，应为{wanted}句",
        "characters": "第{at}句有{found}个字，应为{wanted}个字",
        "syllables": "第{at}行约有{found}个音节，应为{wanted}个",
        "initials": "第{at}句以“{found}”开头，应为“{wanted}”",
    },
}
