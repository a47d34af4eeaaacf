"""The reading of subtitles: a file, or the track of a film, becomes lines in the order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qwenvl_kit.errors import MediaDecodeError, MediaSizeError, MediaSourceError
from qwenvl_kit.media.local_files import read_file
from qwenvl_kit.media.policy import DEFAULT_POLICY, MediaPolicy
from qwenvl_kit.media.sources import opened_source
from qwenvl_kit.media.subtitles.formats import Cue, parse_subtitles
from qwenvl_kit.media.subtitles.text_encodings import decode_text
from qwenvl_kit.messages.subtitles import Subtitle

MAX_BYTES = 2**25
"""The largest subtitle file that is read: 32 MiB, which is fifty times a film of three hours."""

MAX_LINES = 200_000
_LATEST_SECONDS = 10**7
_SUFFIXES = (".srt", ".vtt", ".ass", ".ssa")


@dataclass(frozen=True)
class Lines:
    """Lines of subtitles, and notes about what was left out or guessed.

    Attributes:
        lines: the lines, in the order of their times.
        notes: sentences for a plan's warnings.
    """

    lines: tuple[Subtitle, ...]
    notes: tuple[str, ...] = ()


def read_subtitles(
    source: Any, *, encoding: str | None = None, policy: MediaPolicy = DEFAULT_POLICY
) -> tuple[Subtitle, ...]:
    """Read a subtitle file: SubRip (.srt), WebVTT (.vtt) or SubStation (.ass, .ssa).

    `VideoPart(..., subtitles=path)` does the same. Call it to name an encoding, or to change lines:

        VideoPart("film.mp4", subtitles=read_subtitles("film.srt", encoding="big5"))

    Marks of style are left out, and so are lines without words. Lines are put in the order of their
    times; times before 0 become 0.

    Args:
        source: a path, URL, bytes or an open file.
        encoding: its encoding; None finds UTF-8, UTF-16, GB18030 and Windows-1252.
        policy: the rules for sources that may be opened.

    Returns:
        The lines.

    Raises:
        MediaError: it cannot be opened, the policy refuses it, or it is no subtitle file.
        InputError: there is no such encoding.
    """
    return read_file_of_lines(source, policy, encoding).lines


def read_file_of_lines(source: Any, policy: MediaPolicy, encoding: str | None = None) -> Lines:
    """Return the lines of a subtitle file, with notes; errors are those of `read_subtitles`."""
    data = _bytes_of(source, policy)
    text, guessed = decode_text(data, encoding)
    parsed = parse_subtitles(text)
    if parsed is None:
        if not text.strip("\ufeff \t\r\n\0") or text.lstrip("\ufeff").startswith("WEBVTT"):
            return Lines((), ("the subtitle file holds no lines",))
        raise MediaDecodeError(
            "the file holds no subtitles",
            expected="SubRip (.srt), WebVTT (.vtt) or SubStation (.ass, .ssa): times such as "
            "00:00:01,200 --> 00:00:04,000, and words below them",
            hint="subtitles=[Subtitle(start_seconds, end_seconds, text), ...] for another format",
        )
    notes = []
    if guessed:
        notes.append(
            f"the subtitles were read as {guessed}, as they are no UTF-8; "
            "read_subtitles(..., encoding=...) reads another encoding"
        )
    if parsed.num_unread:
        notes.append(f"{parsed.num_unread} lines of subtitles have times that cannot be read")
    found = in_order(parsed.cues)
    lines = _unrolled(found.lines) if parsed.is_rolling else found.lines
    return Lines(lines, (*notes, *found.notes))


def in_order(cues: Sequence[Cue]) -> Lines:
    """Return entries as lines in the order of time, each once, with notes about odd times.

    Raises:
        MediaSizeError: there are more than 200,000.
    """
    if len(cues) > MAX_LINES:
        raise MediaSizeError(
            f"{len(cues)} lines of subtitles were given", expected=f"at most {MAX_LINES}"
        )
    spoken = [cue for cue in cues if cue.text and cue.start_seconds <= _LATEST_SECONDS]
    past = [cue for cue in spoken if max(cue.start_seconds, cue.end_seconds) < 0]
    kept = [cue for cue in spoken if max(cue.start_seconds, cue.end_seconds) >= 0]
    num_turned = sum(cue.end_seconds < cue.start_seconds for cue in kept)
    notes = []
    if past:
        notes.append(f"{len(past)} lines of subtitles end before the film begins: left out")
    if num_turned:
        notes.append(f"{num_turned} lines of subtitles end before they begin: shown at their start")
    lines = {_line(cue): None for cue in kept}
    ordered = sorted(lines, key=lambda line: (line.start_seconds, line.end_seconds))
    return Lines(tuple(ordered), tuple(notes))


def _unrolled(lines: Sequence[Subtitle]) -> tuple[Subtitle, ...]:
    """The lines without words of the line before; one that says nothing new prolongs that one."""
    kept: list[Subtitle] = []
    for line in lines:
        before = kept[-1] if kept else None
        is_next = before is not None and line.start_seconds <= before.end_seconds + _ROLLING_SECONDS
        if before is None or not is_next or not line.text.startswith(before.text):
            kept.append(line)
            continue
        new = line.text[len(before.text) :].strip()
        if new:
            kept.append(replace(line, text=new))
        else:
            kept[-1] = replace(before, end_seconds=max(before.end_seconds, line.end_seconds))
    return tuple(kept)


_ROLLING_SECONDS = 0.1


def _line(cue: Cue) -> Subtitle:
    start = max(0.0, cue.start_seconds)
    return Subtitle(start, max(start, min(cue.end_seconds, _LATEST_SECONDS)), cue.text)


def file_beside(film: Any, policy: MediaPolicy) -> Path | None:
    """Return the subtitle file that stands beside a film and has its name; None if none does.

    Args:
        film: the source of the film; one in memory or on the network has nothing beside it.
        policy: the media policy, under which the film itself is admitted.
    """
    with opened_source(film, policy) as opened:
        if not isinstance(opened, Path):
            return None
    found = (opened.with_suffix(suffix) for suffix in _SUFFIXES)
    return next((path for path in found if path.is_file()), None)


def _bytes_of(source: Any, policy: MediaPolicy) -> bytes:
    with opened_source(source, policy) as opened:
        if isinstance(opened, Path):
            _check_length(opened.stat().st_size)
            data: object = read_file(opened, policy)
        else:
            data = opened
    if not isinstance(data, bytes):
        raise MediaSourceError(
            f"subtitles of type {type(source).__name__} were given",
            expected="a file (.srt, .vtt, .ass) as a path, URL, bytes or open file",
        )
    _check_length(len(data))
    return data


def _check_length(num_bytes: int) -> None:
    if num_bytes > MAX_BYTES:
        raise MediaSizeError(
            f"the subtitle file has {num_bytes} bytes", expected=f"at most {MAX_BYTES} bytes"
        )
