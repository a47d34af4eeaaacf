"""The readers of SubRip (.srt), WebVTT (.vtt) and SubStation (.ass, .ssa).

They are of this package. pysubs2 1.8 and FFmpeg 8 leave out lines without milliseconds or with six
digits of them, as programs that transcribe speech have written them (byroot/pysrt issue 25,
smacke/ffsubsync issue 123), and say nothing; tests compare the others with pysubs2. Each reader
goes through a file once, line by line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from qwenvl_kit.media.subtitles.words import plain_words, substation_words

_NUMBERS = r"(-?\s?\d{1,6}(?:\s?[:：]\s?-?\d{1,6}){1,2}(?:\s?[.,，。:：]\s?\d{1,9})?)"
_TIMES = re.compile(rf"^[^\S\n]*{_NUMBERS}\s*[-–—]{{1,3}}\s?[>＞]\s*{_NUMBERS}")
"""The line of times of SubRip and WebVTT; also with another number of dashes, with full-width
colons, and without hours or fractions."""

_FIELD = re.compile(r"[:：]")
_FRACTION = re.compile(r"[.,，。]")
_EVENT = re.compile(r"^\s*(Dialogue|Format)\s*:\s*(.*)$", re.IGNORECASE)
_FORMAT = "Layer,Start,End,Style,Name,MarginL,MarginR,MarginV,Effect,Text"
"""The order of fields where a SubStation file does not say it (Aegisub's, and that of v4+)."""

_WORD_TIME = re.compile(r"<[0-9]{2}:[0-9]{2}[0-9:.]{0,8}>")
_NOTES = ("NOTE", "STYLE", "REGION")


@dataclass(frozen=True)
class Cue:
    """One entry of a subtitle file.

    Attributes:
        start_seconds, end_seconds: its times as they are written, which may be the wrong way round.
        text: its words without marks of style; empty for a drawing.
    """

    start_seconds: float
    end_seconds: float
    text: str


@dataclass(frozen=True)
class Parsed:
    """The entries of a file, and the number of those whose times cannot be read.

    Attributes:
        cues: the entries in the order of the file.
        num_unread: the number of lines that look like times and are none.
        is_rolling: True if words appear one by one, as those that YouTube writes: such a file
            repeats each line above the next one.
    """

    cues: tuple[Cue, ...]
    num_unread: int = 0
    is_rolling: bool = False


def parse_subtitles(text: str) -> Parsed | None:
    """Read a subtitle file; its content tells the format, whatever its name is.

    Returns:
        The entries; None if the text has no line of times of any format.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").split("\n")
    is_substation = any(line.lstrip("\ufeff \t").lower() in _SECTIONS for line in lines[:200])
    parsed = _parse_substation(lines) if is_substation else _parse_timed(lines)
    return parsed if parsed.cues or parsed.num_unread else None


_SECTIONS = ("[script info]", "[events]")


def _parse_timed(lines: Sequence[str]) -> Parsed:
    """The entries of SubRip and WebVTT: a line of times, and words up to the next one."""
    found = [(at, times) for at, line in enumerate(lines) if (times := _times_of(line))]
    is_named = any(line.lstrip("\ufeff").startswith("WEBVTT") for line in lines[:1])
    ends = [*(at for at, _ in found[1:]), len(lines)]
    cues = []
    for number, ((at, times), end) in enumerate(zip(found, ends), 1):
        words = list(lines[at + 1 : end])
        if number < len(found):
            _drop_name(words, number, is_named=is_named)
        text = plain_words("\n".join(_without_notes(words)))
        cues.append(Cue(_seconds(times[1]), _seconds(times[2]), text))
    num_arrows = sum("-->" in line for line in lines) - sum("-->" in cue.text for cue in cues)
    num_unread = max(0, num_arrows - sum("-->" in lines[at] for at, _ in found))
    is_rolling = is_named and any(_WORD_TIME.search(line) for line in lines)
    return Parsed(tuple(cues), num_unread, is_rolling)


def _times_of(line: str) -> re.Match[str] | None:
    return _TIMES.match(line) if "-" in line or "\u2013" in line or "\u2014" in line else None


def _drop_name(words: list[str], number: int, *, is_named: bool) -> None:
    """Drop the number or name of the next entry from the words of an entry.

    Files are found with and without blank lines between entries, before their times and within
    them, so the line before the next times is its number if it is one, unless a blank line stands
    between them: then it has to be the number that is due.

    Args:
        words: the lines up to the next line of times.
        number: the number of this entry, from 1 on.
        is_named: True if entries may have names in place of numbers, as those of WebVTT.
    """
    is_beside = bool(words) and bool(words[-1].strip())
    while words and not words[-1].strip():
        words.pop()
    last = words[-1].strip() if words else ""
    is_apart = len(words) == 1 or (len(words) > 1 and not words[-2].strip())
    is_number = last.isdecimal() and len(last) <= _MOST_DIGITS
    if (is_number and (is_beside or (is_apart and int(last) in (number, number + 1)))) or (
        is_named and is_beside and is_apart and len(words) > 1
    ):
        words.pop()


_MOST_DIGITS = 9


def _without_notes(words: Sequence[str]) -> list[str]:
    """The lines of an entry, without comments and styles of WebVTT that follow after a blank."""
    notes = (at for at, line in enumerate(words) if at and _is_note(line) and not words[at - 1])
    return [line for line in words[: next(notes, len(words))] if line.strip()]


def _is_note(line: str) -> bool:
    return line.partition(" ")[0].rstrip() in _NOTES


def _parse_substation(lines: Sequence[str]) -> Parsed:
    fields = _fields_of(_FORMAT)
    cues, num_unread, is_event = list[Cue](), 0, False
    for line in lines:
        stripped = line.lstrip("\ufeff \t")
        if stripped.startswith("["):
            is_event = stripped.rstrip().lower() == "[events]"
        found = _EVENT.match(stripped) if is_event else None
        if found is None:
            continue
        if found[1].lower() == "format":
            fields = _fields_of(found[2])
            continue
        cue = _dialogue(found[2], fields)
        num_unread += cue is None
        cues += [] if cue is None else [cue]
    return Parsed(tuple(cues), num_unread)


def _fields_of(written: str) -> dict[str, int]:
    names = [name.strip().lower() for name in written.split(",")]
    return {name: at for at, name in enumerate(names)}


def _dialogue(written: str, fields: dict[str, int]) -> Cue | None:
    values = written.split(",", max(0, len(fields) - 1))
    known = {name: values[at] for name, at in fields.items() if at < len(values)}
    times = [_TIME.match(known.get(name, "")) for name in ("start", "end")]
    if times[0] is None or times[1] is None or "text" not in known:
        return None
    start, end = (_seconds(time[1]) for time in times if time is not None)
    return Cue(start, end, substation_words(known["text"]))


_TIME = re.compile(rf"^\s*{_NUMBERS}\s*$")


def _seconds(written: str) -> float:
    """A time such as `00:01:02,500`, `01:02.5`, `0:01:02.50` or `00:00:01:500`, in seconds.

    The negative sign of a file whose times were shifted counts for the whole time.
    """
    is_negative = "-" in written
    plain = "".join(written.replace("-", "").split())
    whole, _, fraction = _FRACTION.sub(".", plain).partition(".")
    parts = _FIELD.split(whole)
    if len(parts) == 4:  # a colon in place of the comma
        fraction = parts.pop()
    seconds = 0.0
    for part in parts:
        seconds = 60 * seconds + int(part)
    seconds += int(fraction) / 10 ** len(fraction) if fraction else 0.0
    return -seconds if is_negative else seconds
