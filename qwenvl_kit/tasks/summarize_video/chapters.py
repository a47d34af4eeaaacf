"""The chapters of a film: its own, or those that the model makes of its windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.journal import Journal
from qwenvl_kit.media.error_mapping import mapped_errors
from qwenvl_kit.media.frame_sequences import is_sequence
from qwenvl_kit.media.loader import fetch_part
from qwenvl_kit.media.policy import DEFAULT_POLICY, MediaPolicy
from qwenvl_kit.media.video_files import read_chapter_marks
from qwenvl_kit.messages.message import VideoPart, VideoSource
from qwenvl_kit.tasks.find_events.events import Event
from qwenvl_kit.tasks.find_events.timeline import timeline_of
from qwenvl_kit.tasks.prompts import Language, chosen_prompt
from qwenvl_kit.tasks.summarize_video.asking import answer_windows, window_warnings
from qwenvl_kit.tasks.summarize_video.planner import Planner, Windows
from qwenvl_kit.tasks.summarize_video.segments import Chapter

CHAPTER_PROMPTS: Mapping[str, str] = MappingProxyType(
    {
        "en": "Divide the video into chapters, output the start and end timestamp and a short "
        "title for each chapter. Provide the result in json format with 'mm:ss.ff' format for time "
        "depiction. Use keywords 'start', 'end' and 'title' in the json output.",
        "zh": "将视频划分为若干章节，输出每个章节的开始和结束时间戳以及简短的标题。"
        "以json格式输出结果，时间采用'mm:ss.ff'格式，键名为'start'、'end'和'title'。",
    }
)
"""The prompts for chapters, by language: the words of Qwen's prompt for events (see
`find_events`), and those of VLMEvalKit's DVC data sets for the names of keys."""


class Chapters(NamedTuple):
    """The chapters of a film in the order of time, and messages about what was corrected."""

    chapters: tuple[Chapter, ...]
    warnings: tuple[str, ...] = ()


def read_chapters(
    video: VideoSource | VideoPart, *, policy: MediaPolicy = DEFAULT_POLICY
) -> tuple[Chapter, ...]:
    """Read the chapters that are written in a video file, as players show them; no model is asked.

    `summarize_video(..., chapters=True)` asks the model where a film has none.

    Args:
        video: a path, URL or bytes of a video file, or a `VideoPart` of one.
        policy: the rules for sources that may be opened.

    Returns:
        The chapters in the order of time; empty if there are none, and for a sequence of frames.

    Raises:
        MediaError: the file cannot be opened.
    """
    part = fetch_part(video if isinstance(video, VideoPart) else VideoPart(video), policy)
    return _own_chapters(part, policy)


def find_chapters(
    planner: Planner, windows: Windows, journal: Journal, language: Language
) -> Chapters:
    """Return a film's own chapters within the part that is shown, or ask the model for them.

    Args:
        planner: the film and the model.
        windows: the windows to ask about.
        journal: the answers of an earlier run.
        language: the language of the titles.
    """
    times = planner.footage.times_seconds
    own = _own_chapters(planner.footage.part, planner.chat.policy)
    shown = [c for c in own if c.end_seconds > times[0] and c.start_seconds < times[-1]]
    if shown:
        return Chapters(tuple(shown))
    if not knows_times(planner.chat):
        return Chapters((), (f"no chapters: {untrained(planner.chat)}",))
    text = chosen_prompt(CHAPTER_PROMPTS, language)
    asking = replace(planner, wording=_Question(text))
    segments = tuple(answer_windows(asking, windows, journal, name="chapters"))
    from_film = planner.chat.family.video_layout == "timestamped groups"
    found = timeline_of(segments, planner.footage, counts_from_film=from_film)
    missing = [f"chapters: {warning}" for warning in window_warnings(segments)]
    corrected = [f"chapters: {warning}" for warning in found.warnings]
    lasting = _up_to_the_next(found.events, times[-1])
    return Chapters(_without_overlap(lasting), (*missing, *corrected))


def knows_times(chat: VisionChat) -> bool:
    """Return True if the family's prompts or positions hold the times of frames."""
    family = chat.family
    return family.positions_in_seconds or family.video_layout == "timestamped groups"


def untrained(chat: VisionChat) -> str:
    """Return the words that say why a family gives no times."""
    return (
        f"neither prompts nor positions of {chat.family.model_type} hold the times of frames, so "
        "it could but guess them"
    )


class _Question(NamedTuple):
    text: str

    def about_window(self, span: tuple[float, float], part: int, parts: int) -> str:
        """Return the same question for each window."""
        return self.text


def _own_chapters(part: VideoPart, policy: MediaPolicy) -> tuple[Chapter, ...]:
    source: Any = part.source
    if is_sequence(source):
        return ()
    with mapped_errors("video"):
        marks = read_chapter_marks(source, policy)
    ordered = sorted(mark for mark in marks if mark[1] > 0 and mark[1] >= mark[0])
    return tuple(
        Chapter(max(0.0, start), end, " ".join(title.split())) for start, end, title in ordered
    )


def _up_to_the_next(events: Sequence[Event], film_ends: float) -> tuple[Event, ...]:
    """The events; one that is written with its beginning alone (`0:05 Intro`) lasts to the next."""
    following = [*(event.start_seconds for event in events[1:]), film_ends]
    return tuple(
        replace(event, end_seconds=max(end, event.end_seconds))
        if not event.duration_seconds
        else event
        for event, end in zip(events, following)
    )


def _without_overlap(events: Sequence[Event]) -> tuple[Chapter, ...]:
    """The chapters, each of which ends where the next begins if it would last longer."""
    cut = [
        replace(event, end_seconds=max(event.start_seconds, following.start_seconds))
        if following.start_seconds < event.end_seconds
        else event
        for event, following in pairwise(events)
    ]
    whole = [*cut, *events[-1:]]
    return tuple(Chapter(each.start_seconds, each.end_seconds, each.description) for each in whole)
