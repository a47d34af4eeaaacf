"""Text tracks and chapters of films, in the decoding process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import av

from qwenvl_kit.errors import MediaSizeError
from qwenvl_kit.media.subtitles.reading import MAX_BYTES, MAX_LINES
from qwenvl_kit.media.subtitles.words import plain_words, substation_words
from qwenvl_kit.media.worker.requests import Answer
from qwenvl_kit.media.worker.video_index import open_video

_PLAIN = ("subrip", "srt", "text", "webvtt")
_SUBSTATION = ("ass", "ssa")
_QUICKTIME = "mov_text"
_TEXT = (*_PLAIN, *_SUBSTATION, _QUICKTIME)
"""The codecs whose packets hold text. Others hold pictures of text (DVD, Blu-ray, DVB)."""

_MOST_CHAPTERS = 10_000
_LONGEST_TITLE = 500


def answer_track(request: Mapping[str, Any], begins_seconds: float) -> Iterator[Answer]:
    """Answer with the entries of a film's text track, in JSON: start, end, words.

    Args:
        request: the request.
        begins_seconds: the time of the film's first frame in its file.
    """
    with open_video(request["path"], request["max_pixels"]) as (container, _):
        tracks = [s for s in container.streams.subtitles if s.codec_context.name in _TEXT]
        others = sorted({s.codec_context.name for s in container.streams.subtitles} - {*_TEXT})
        if not tracks:
            yield {"track": None, "num_tracks": 0, "others": others}, b"[]"
            return
        track = next((s for s in tracks if s.disposition & 1), tracks[0])  # the default one
        facts = {
            "track": tracks.index(track) + 1,
            "num_tracks": len(tracks),
            "language": track.metadata.get("language") or "",
            "others": others,
        }
        yield facts, json.dumps(list(_entries(container, track, begins_seconds))).encode()


def _entries(container: Any, track: Any, begins: float) -> Iterator[tuple[float, float, str]]:
    num_bytes = num_lines = 0
    try:
        for packet in container.demux(track):
            if packet.pts is None or not packet.size:
                continue
            num_bytes, num_lines = num_bytes + packet.size, num_lines + 1
            if num_bytes > MAX_BYTES or num_lines > MAX_LINES:
                raise MediaSizeError(
                    "the film's text track is too long",
                    expected=f"at most {MAX_LINES} lines and {MAX_BYTES} bytes",
                )
            start = float(packet.pts * packet.time_base) - begins
            lasts = float((packet.duration or 0) * packet.time_base)
            words = _words(bytes(packet), track.codec_context.name)
            if words:
                yield start, start + max(0.0, lasts), words
    except av.FFmpegError:
        return  # cut short: the lines up to here can be used


def _words(packet: bytes, codec: str) -> str:
    if codec == _QUICKTIME:  # two bytes of length, the text, and boxes of style
        length = int.from_bytes(packet[:2], "big")
        packet = packet[2 : 2 + length]
        is_wide = packet[:2] in (b"\xfe\xff", b"\xff\xfe")
        return plain_words(packet.decode("utf-16" if is_wide else "utf-8", "replace"))
    text = packet.decode("utf-8", "replace")
    if codec in _SUBSTATION:  # order, layer, style, name, three margins, effect, text
        return substation_words(text.split(",", 8)[-1])
    return plain_words(text)


def answer_chapters(request: Mapping[str, Any], begins_seconds: float) -> Iterator[Answer]:
    """Answer with a film's own chapters, in JSON: start, end, title."""
    with open_video(request["path"], request["max_pixels"]) as (container, _):
        chapters = container.chapters()[:_MOST_CHAPTERS]
        found = [
            (
                float(each["start"] * each["time_base"]) - begins_seconds,
                float(each["end"] * each["time_base"]) - begins_seconds,
                str(each["metadata"].get("title", ""))[:_LONGEST_TITLE],
            )
            for each in chapters
            if each["time_base"]
        ]
        yield {"num_chapters": len(found)}, json.dumps(found).encode()
