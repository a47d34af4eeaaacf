"""The timeline of a film: events of its windows, in seconds of the whole film."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.find_events.event_parser import WrittenEvent, parse_events
from qwenvl_kit.tasks.find_events.events import Event
from qwenvl_kit.tasks.summarize_video.segments import VideoSegment, format_span
from qwenvl_kit.tasks.summarize_video.windows import Footage

_TOLERANCE_SECONDS = 0.5
"""The distance within which a time still belongs to a window: half of the last digit of seconds."""


class Timeline(NamedTuple):
    """The events of a film in the order of time, and messages about what was corrected."""

    events: tuple[Event, ...]
    warnings: tuple[str, ...]


def timeline_of(
    segments: Sequence[VideoSegment], footage: Footage, *, counts_from_film: bool
) -> Timeline:
    """Read the events of all windows, and put them on the time of the whole film.

    Args:
        segments: the answers about windows, in order.
        footage: the frames of the film.
        counts_from_film: True if the model reads the times of frames in the whole film (Qwen3-VL's
            prompts hold them); False if its times count from the first frame of a window, as the
            positions of Qwen2.5-VL's frames do.

    An answer whose times all lie outside of its window, but within it if they are counted from the
    other beginning, is read in that way, and told.
    """
    spacing = max((b - a for a, b in pairwise(footage.times_seconds)), default=0.0)
    found, warnings = list[Event](), list[str]()
    for segment in segments:
        if segment.reply is None:
            continue
        window = _Window(segment, segment.reply, spacing, counts_from_film)
        found += window.events()
        warnings += window.warnings
    ordered = sorted(found, key=lambda event: (event.start_seconds, event.end_seconds))
    bounds = [segment.end_seconds for segment in segments[:-1]]
    joined = list(_joined(ordered, bounds, max(spacing, _TOLERANCE_SECONDS)))
    return Timeline(tuple(joined), (*warnings, *_overlaps(joined)))


@dataclass
class _Window:
    """The events of one window, and messages about them."""

    segment: VideoSegment
    reply: Reply
    spacing: float
    counts_from_film: bool

    def __post_init__(self) -> None:
        self.warnings: list[str] = []

    def events(self) -> Iterator[Event]:
        """Yield the events with times of the whole film, within the window."""
        parsed = parse_events(self.reply.text)
        self.warnings += [f"{self.segment.span}: {warning}" for warning in parsed.warnings]
        offset = self._offset(parsed.events)
        for written in parsed.events:
            event = self._within(written, offset)
            if event is not None:
                yield event
        if not parsed.events and any(mark.isdigit() for mark in self.reply.text):
            self.warnings.append(f"{self.segment.span}: no event can be read in the answer")

    def _offset(self, written: Sequence[WrittenEvent]) -> float:
        """The seconds to add to the times of the answer."""
        start, end = self.segment.start_seconds, self.segment.end_seconds
        usual, other = (0.0, start) if self.counts_from_film else (start, 0.0)
        if not start or not written:
            return usual
        times = [time for each in written for time in (each.start_seconds, each.end_seconds)]

        def are_within(offset: float) -> bool:
            return all(self._is_within(time + offset, start, end) for time in times)

        if are_within(usual) or not are_within(other):
            return usual
        counted = "from the window" if self.counts_from_film else "in the whole film"
        self.warnings.append(f"{self.segment.span}: the times of the answer were counted {counted}")
        return other

    def _is_within(self, time: float, start: float, end: float) -> bool:
        slack = max(self.spacing, _TOLERANCE_SECONDS)
        return start - slack <= time <= end + slack

    def _within(self, written: WrittenEvent, offset: float) -> Event | None:
        """The event with its times in order and clipped to the window; None if it lies outside."""
        first, last = written.start_seconds + offset, written.end_seconds + offset
        shown = format_span(first, last)
        if last < first:
            first, last = last, first
            self.warnings.append(f"an event at {shown} ends before it begins: turned round")
        start, end = self.segment.start_seconds, self.segment.end_seconds
        if not (self._is_within(first, start, end) or self._is_within(last, start, end)):
            is_around = first < start and last > end
            if not is_around:
                self.warnings.append(
                    f"an event at {shown} lies outside of {self.segment.span}: left out"
                )
                return None
        clipped = (min(max(first, start), end), max(min(last, end), start))
        slack = max(self.spacing, _TOLERANCE_SECONDS)
        if first < start - slack or last > end + slack:
            self.warnings.append(f"an event at {shown} was clipped to {self.segment.span}")
        return Event(
            *clipped,
            written.description,
            self.reply.confidence_between(written.start, written.stop),
        )


def _joined(events: Sequence[Event], bounds: Sequence[float], slack: float) -> Iterator[Event]:
    """The events, with one in the place of two that meet where windows meet, with equal words."""
    open_events: dict[str, Event] = {}
    found: list[Event] = []
    for event in events:
        words = _key(event.description)
        before = open_events.get(words) if words else None  # without words, nothing tells
        meets = before is not None and any(
            before.end_seconds >= bound - slack
            and before.start_seconds < bound <= event.start_seconds + slack
            and event.start_seconds - slack <= bound < event.end_seconds + slack
            for bound in bounds
        )
        if before is not None and meets:
            known = [each for each in (before.confidence, event.confidence) if each is not None]
            event = replace(  # noqa: PLW2901
                before,
                end_seconds=max(before.end_seconds, event.end_seconds),
                confidence=min(known, default=None),
            )
            found.remove(before)
        open_events[words] = event
        found.append(event)
    yield from sorted(found, key=lambda each: (each.start_seconds, each.end_seconds))


def _key(description: str) -> str:
    return "".join(mark for mark in description.casefold() if mark.isalnum())


def _overlaps(events: Iterable[Event]) -> Iterator[str]:
    """A message about events that overlap the one before them."""
    latest, number = float("-inf"), 0
    for event in events:
        number += event.start_seconds < latest - 1e-6
        latest = max(latest, event.end_seconds)
    if number:
        yield f"{number} events begin before an earlier one ends"
