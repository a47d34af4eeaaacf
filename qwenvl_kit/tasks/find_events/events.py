"""The events of a film: values with their times in seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from qwenvl_kit.display.blocks import bar, facts, notes, table
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import clock, count, short_repr
from qwenvl_kit.messages.subtitles import Subtitle
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.summarize_video.segments import VideoSegment


@dataclass(frozen=True)
class Event:
    """An event of a film.

    Attributes:
        start_seconds: the time at which it begins; 0 is the first frame of the film.
        end_seconds: the time at which it ends; that of its start if only one time was written.
        description: the words of the model.
        confidence: the confidence in what the model wrote about it, in [0, 1]; None without scores.
    """

    start_seconds: float
    end_seconds: float
    description: str
    confidence: float | None = None

    @property
    def duration_seconds(self) -> float:
        """The length of the event in seconds."""
        return self.end_seconds - self.start_seconds

    @property
    def span(self) -> str:
        """Its times, such as `0:05.00 - 0:07.50`."""
        return f"{clock(self.start_seconds)} - {clock(self.end_seconds)}"

    def __str__(self) -> str:
        return f"[{self.span}] {self.description}"


class Events(Sequence[Event]):
    """The events that a model found in a film, in the order of time; a read-only sequence.

    Args:
        events: the events.
        segments: the answers that they were read from, one for each window of the film.
        duration_seconds: the time of the last frame that was shown.
        warnings: messages about times that could not be read or had to be corrected, and about
            windows without an answer.
    """

    def __init__(
        self,
        events: Sequence[Event],
        *,
        segments: Sequence[VideoSegment],
        duration_seconds: float,
        warnings: Sequence[str] = (),
    ) -> None:
        self._events = tuple(events)
        self.segments = tuple(segments)
        self.duration_seconds = duration_seconds
        self.warnings = tuple(warnings)

    @property
    def replies(self) -> tuple[Reply, ...]:
        """The replies of the windows that were answered."""
        return tuple(each.reply for each in self.segments if each.reply is not None)

    @property
    def failures(self) -> tuple[VideoSegment, ...]:
        """The windows whose requests failed."""
        return tuple(each for each in self.segments if each.failure is not None)

    @overload
    def __getitem__(self, index: int) -> Event: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Event, ...]: ...

    def __getitem__(self, index: int | slice) -> Event | tuple[Event, ...]:
        return self._events[index]

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def at(self, seconds: float) -> tuple[Event, ...]:
        """Return the events that take place at a time."""
        return tuple(each for each in self if each.start_seconds <= seconds <= each.end_seconds)

    def to_subtitles(self) -> tuple[Subtitle, ...]:
        """Return the descriptions as lines, which a `VideoPart` takes as its `subtitles`."""
        return tuple(
            Subtitle(each.start_seconds, each.end_seconds, each.description) for each in self
        )

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    def __repr__(self) -> str:
        first = "; ".join(map(str, self._events[:3]))
        return short_repr("Events", first, events=len(self), warnings=len(self.warnings) or None)

    def _repr_html_(self) -> str:
        rows = [(each.span, each.description, bar(each.confidence)) for each in self]
        length = f"film of {clock(self.duration_seconds)}"
        found = table(("time", "event", "confidence"), rows) if rows else ""
        return framed(found, facts(count(len(self), "event"), length), notes(self.warnings))
