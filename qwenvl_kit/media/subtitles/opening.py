"""The opening of a film's subtitles: their source becomes lines, as a part keeps them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from qwenvl_kit.errors import MediaSourceError, located
from qwenvl_kit.media.fetch_cache import FetchCache
from qwenvl_kit.media.file_objects import is_file, read_file
from qwenvl_kit.media.frame_sequences import is_sequence
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import fetch_url, is_remote
from qwenvl_kit.media.subtitles.reading import Lines, file_beside, in_order, read_file_of_lines
from qwenvl_kit.media.video_files import read_track
from qwenvl_kit.messages.message import VideoPart
from qwenvl_kit.messages.subtitles import OWN


class OpenedPart(NamedTuple):
    """A film whose subtitles are lines, and notes about them for a plan's warnings."""

    part: VideoPart
    notes: tuple[str, ...]


def fetch_subtitles(
    part: VideoPart, policy: MediaPolicy, fetches: FetchCache | None = None
) -> VideoPart:
    """Return the part with the bytes of subtitles on the network or in an open file.

    Raises:
        MediaError: they cannot be fetched or read.
    """
    source: Any = part.subtitles
    with located("subtitles"):
        if is_file(source):
            source = read_file(source, policy)
        elif is_remote(source, policy):
            source = (fetch_url if fetches is None else fetches.get)(source, policy)
    return part if source is part.subtitles else replace(part, subtitles=source)


def open_subtitles(part: VideoPart, policy: MediaPolicy) -> OpenedPart:
    """Read the subtitles of a part; lines in memory are put in order.

    Raises:
        MediaError: they cannot be opened, or the policy refuses them.
    """
    if part.subtitles is None:
        return OpenedPart(part, ())
    with located("subtitles"):
        found = _read(part, policy)
    return OpenedPart(replace(part, subtitles=found.lines or None), found.notes)


def _read(part: VideoPart, policy: MediaPolicy) -> Lines:
    source: Any = part.subtitles
    if isinstance(source, tuple):
        spoken = tuple(line for line in source if line.words)
        return Lines(tuple(sorted(spoken, key=lambda line: line.start_seconds)))
    if isinstance(source, str) and source == OWN:
        return _read_own(part, policy)
    return read_file_of_lines(source, policy)


def _read_own(part: VideoPart, policy: MediaPolicy) -> Lines:
    """The lines of the file beside a film, else of its first text track."""
    if is_sequence(part.source):
        raise MediaSourceError(
            'subtitles="auto" was given for a sequence of frames, which has none of its own',
            expected="a subtitle file, or a list of lines",
        )
    beside = file_beside(part.source, policy)
    if beside is not None:
        return read_file_of_lines(beside, policy)
    track = read_track(part.source, policy)
    found = in_order(track.cues)
    if not track.cues:
        return Lines((), (f"no subtitles were found: {track.remark}",))
    remark = (track.remark,) if track.remark else ()
    return Lines(found.lines, (*remark, *found.notes))
