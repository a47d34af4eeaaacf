"""Times of a film as models write them: in seconds, as clocks, in English and in Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_NUMBER = r"[0-9]{1,6}(?:\.[0-9]{1,6})?"
_CLOCK = (
    r"(?<![0-9:：.])(?P<first>[0-9]{1,3})[:：](?P<second>[0-9]{2})(?:[:：](?P<third>[0-9]{2}))?"
    r"(?P<fraction>\.[0-9]{1,6}|,[0-9]{3})?(?![0-9]|[:：][0-9])(?!\s?[ap]\.?m\b)"
)
"""A clock: `0:12`, `04:19.80`, `00:01:02,500`; `3:30 pm` is a time of day."""

_ENGLISH = (
    rf"(?<![0-9.:])(?:(?P<hours>[0-9]{{1,2}})\s?(?:h|hrs?|hours?)(?![a-z])[ ,]{{0,2}}(?:and )?)?"
    rf"(?:(?P<minutes>[0-9]{{1,4}})\s?(?:m|mins?|minutes?)(?![a-z])[ ,]{{0,2}}(?:and )?)?"
    rf"(?P<seconds>{_NUMBER})(?:\s?(?:seconds?|secs?)\b|\s?s\b)"
)
"""Seconds, with minutes and hours before them: `12.5 s`, `<12.5 seconds>`, `1 min 5 s`."""

_ENGLISH_MINUTES = rf"(?<![0-9.:])(?P<only_minutes>{_NUMBER})\s?(?:minutes?|mins?)\b"
_NAMED = rf"\b(?:seconds?|secs?)\s(?P<named>{_NUMBER})(?![0-9:.]*[0-9:])"
_ORDINAL = (
    r"(?<![0-9.:])(?P<ordinal>[0-9]{1,6})"
    r"(?:(?:st|nd|rd|th)\s(?:second|sec)\b|-(?:second|sec)\smark\b)"
)
"""`second 12`, `the 12th second` and `the 12-second mark`."""

_NUMERAL = r"[零〇一二两三四五六七八九十百]{1,7}"
_CHINESE = (
    rf"(?<![0-9.:])(?:(?P<zh_hours>[0-9]{{1,2}}|{_NUMERAL})\s?(?:个?小时|個?小時|时|時))?\s?"
    rf"(?:第\s?)?(?:(?P<zh_minutes>[0-9]{{1,4}}|{_NUMERAL})\s?(?:分钟|分鐘|分))?\s?(?:零)?"
    rf"(?P<zh_seconds>{_NUMBER}|{_NUMERAL})\s?秒"
)
_CHINESE_MINUTES = rf"第\s?(?P<zh_only_minutes>[0-9]{{1,4}}|{_NUMERAL})\s?(?:分钟|分鐘|分)"

_TIME = re.compile(
    "|".join((_CLOCK, _ENGLISH, _CHINESE, _CHINESE_MINUTES, _ENGLISH_MINUTES, _NAMED, _ORDINAL)),
    re.IGNORECASE,
)
_RANGE_BEFORE = re.compile(
    rf"(?<![0-9.:])({_NUMBER})\s?(?:-|–|—|~|～|to|and|until|至|到)\s?<?$", re.IGNORECASE
)
"""The first number of `12 - 15 s`, whose unit stands after the second."""

_RANGE_AFTER = re.compile(rf"\s?(?:-|–|—|to|until)\s?({_NUMBER})(?![0-9:.]*[0-9:])", re.IGNORECASE)
"""The second number of `seconds 12 to 15`."""

_DURATION = re.compile(
    r"(?:\b(?:for|lasts?|lasted|lasting|takes?|took|every|within|duration(?: of| is|:)?|rate of)"
    r"(?: about| around| approximately| roughly| only| nearly| over)?|持续(?:了|时间)?(?:约|大约)?|"
    r"历时|长达|时长(?:为|约)?|每隔?|共)\s?<?$",
    re.IGNORECASE,
)
"""Words before a time that make it a length of time."""

_MOST_BEFORE = 48
_YEAR_CHARACTERS = len("1980s")
_DECADE = re.compile(r"[0-9]{2}s|[12][0-9]{2}0s", re.IGNORECASE)
_DIGITS = {mark: value for value, mark in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2}


@dataclass(frozen=True)
class WrittenTime:
    """A time in a text.

    Attributes:
        seconds: the time in seconds.
        start, stop: the position of its characters.
    """

    seconds: float
    start: int
    stop: int


def written_times(text: str) -> tuple[WrittenTime, ...]:
    """Return the times of a film that a text names, in the order of the text.

    They are read as `12.5 s`, `<12.5 seconds>`, `1 min 5 s`, `second 12`, `0:12`, `00:12.50`,
    `00:01:02,500`, `第12秒`, `1分5秒`, `十二秒` and in ranges such as `12 - 15 s`. Lengths of time
    (`for 5 seconds`), times of day (`3:30 pm`) and ratios (`16:9`) are no such times.

    The text is read once, so that the time it takes grows with its length alone.
    """
    return tuple(_times_in(text))


def read_time(written: object) -> float | None:
    """Return the seconds of a value that is a time: a number, or a text; None if it is none.

    A clock in it may have more than 59 seconds, as models count on: `00:75.00`.
    """
    if isinstance(written, bool):
        return None
    if isinstance(written, (int, float)):
        return float(written) if 0 <= written < 10**7 else None
    if not isinstance(written, str) or len(written) > _LONGEST:
        return None
    plain = written.strip().strip("<>[]() ")
    if _PLAIN_NUMBER.fullmatch(plain):
        return float(plain)
    clock = _LOOSE_CLOCK.fullmatch(plain)
    if clock:
        hours, minutes, seconds, fraction = clock.groups()
        whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
        return whole + float(f"0.{fraction or 0}")
    times = written_times(plain)
    return times[0].seconds if len(times) == 1 else None


_LONGEST = 100
_PLAIN_NUMBER = re.compile(r"[0-9]{1,7}(?:\.[0-9]{1,9})?")
_LOOSE_CLOCK = re.compile(
    r"(?:([0-9]{1,3})[:：])?([0-9]{1,4})[:：]([0-9]{1,3})(?:[.,:：]([0-9]{1,6}))?"
)


def _times_in(text: str) -> Iterator[WrittenTime]:
    end = 0
    for found in _TIME.finditer(text):
        seconds = _seconds_of(found)
        before = text[max(end, found.start() - _MOST_BEFORE) : found.start()]
        if seconds is None or _is_length(before, found):
            continue
        earlier = None if found["first"] else _RANGE_BEFORE.search(before)
        if earlier and not _DURATION.search(before[: earlier.start()]):
            at = found.start() - len(before) + earlier.start()
            unit = 60 if found["only_minutes"] or found["zh_only_minutes"] else 1
            yield WrittenTime(float(earlier[1]) * unit, at, at + len(earlier[1]))
        yield WrittenTime(seconds, found.start(), found.end())
        end = found.end()
        later = _RANGE_AFTER.match(text, end) if found["named"] else None
        if later:
            yield WrittenTime(float(later[1]), later.start(1), later.end(1))
            end = later.end()


def _is_length(before: str, found: re.Match[str]) -> bool:
    """True for a length of time, and for years such as `the 90s` and `1980s`."""
    if _DECADE.fullmatch(found[0]):
        is_year = len(found[0]) == _YEAR_CHARACTERS
        if is_year or before.lower().rstrip().endswith("the"):
            return True
    earlier = _RANGE_BEFORE.search(before)
    return _DURATION.search(before[: earlier.start()] if earlier else before) is not None


def _seconds_of(found: re.Match[str]) -> float | None:
    if found["first"]:
        return _clock_seconds(found)
    for name in ("only_minutes", "zh_only_minutes"):
        if found[name]:
            return 60 * _number(found[name])
    if found["named"] or found["ordinal"]:
        return float(found["named"] or found["ordinal"])
    prefix = "" if found["seconds"] else "zh_"
    hours, minutes = (_number(found[f"{prefix}{name}"] or "0") for name in ("hours", "minutes"))
    return hours * 3600 + minutes * 60 + _number(found[f"{prefix}seconds"])


def _clock_seconds(found: re.Match[str]) -> float | None:
    """The seconds of a clock of two or three numbers; None if one of them is above 59."""
    numbers = [int(found[name]) for name in ("first", "second", "third") if found[name]]
    if any(number > 59 for number in numbers[1:]):
        return None
    seconds = 0
    for number in numbers:
        seconds = seconds * 60 + number
    return seconds + float(f"0.{(found['fraction'] or '.0')[1:]}")


def _number(written: str) -> float:
    """A number in digits, or a Chinese numeral up to 999."""
    if written[0].isascii():
        return float(written)
    total = digit = 0
    for mark in written:
        if mark in _DIGITS:
            digit = _DIGITS[mark]
        else:
            total += (digit or 1) * (100 if mark == "百" else 10)
            digit = 0
    return float(total + digit)
