"""The summary of a video, and the segments that it was made from."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.display.blocks import bar, facts, notes, table
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count, percent, short_repr
from qwenvl_kit.display.tokens import Piece, text_block
from qwenvl_kit.results import Failure, Reply, Usage


@dataclass(frozen=True)
class VideoSegment:
    """The answer about one part of a video.

    Attributes:
        start_seconds: the start of the part, in seconds from the first frame of the video.
        end_seconds: its end.
        text: the answer, without white space around it; empty if there is none.
        reply: the whole reply; None if the request failed.
        failure: the failure of the request; None if it was answered.
    """

    start_seconds: float
    end_seconds: float
    text: str
    reply: Reply | None = None
    failure: Failure | None = None

    @property
    def span(self) -> str:
        """The times of the part, such as `0:05:00 - 0:10:00`."""
        return format_span(self.start_seconds, self.end_seconds)

    @property
    def confidence(self) -> float | None:
        """The confidence in the answer, in [0, 1]; None if it failed, or without scores."""
        return None if self.reply is None else self.reply.confidence

    def __str__(self) -> str:
        if self.failure is None:
            return f"[{self.span}] {self.text}"
        return f"[{self.span}] no answer: {self.failure.error}"


@dataclass(frozen=True)
class Chapter:
    """A chapter of a film.

    Attributes:
        start_seconds: the time at which it begins; 0 is the first frame of the film.
        end_seconds: the time at which it ends.
        title: its title; empty if it has none.
    """

    start_seconds: float
    end_seconds: float
    title: str

    @property
    def span(self) -> str:
        """Its times, such as `0:05:00 - 0:10:00`."""
        return format_span(self.start_seconds, self.end_seconds)

    def __str__(self) -> str:
        return f"[{self.span}] {self.title}"


@dataclass(frozen=True)
class VideoSummary:
    """The answer about a whole video. `str(summary)` is its text.

    Attributes:
        text: the answer. If the answers about the parts could not be merged, it is all of them,
            each after its span.
        segments: the answer about each part, in order; only one if the whole video fits in one
            request.
        duration_seconds: the time from the first frame that was shown to the last.
        reply: the reply that gave the text; None if the answers could not be merged.
        merges: the replies that merged answers, in order; empty if nothing was merged.
        warnings: messages about parts that are missing and answers that were cut off, about
            subtitles that were left out, and about chapters whose times had to be corrected.
        chapters: the chapters of the film, in the order of time; empty if they were not asked for.
    """

    text: str
    segments: tuple[VideoSegment, ...]
    duration_seconds: float
    reply: Reply | None = None
    merges: tuple[Reply, ...] = ()
    warnings: tuple[str, ...] = ()
    chapters: tuple[Chapter, ...] = ()

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return short_repr(
            "VideoSummary",
            self.text,
            confidence=self.confidence,
            segments=len(self.segments),
            failures=len(self.failures) or None,
            chapters=len(self.chapters) or None,
        )

    def _repr_html_(self) -> str:
        rows = [(each.span, each.text or str(each), bar(each.confidence)) for each in self.segments]
        sure = percent(self.confidence)
        return framed(
            text_block([Piece(self.text)]),
            facts(f"confidence {sure}" if sure else "", count(len(rows), "segment")),
            table(("time", "answer", "confidence"), rows),
            *self._chapter_table(),
            notes(self.warnings),
        )

    def _chapter_table(self) -> list[str]:
        rows = [(each.span, each.title) for each in self.chapters]
        return [table(("time", "chapter"), rows)] if rows else []

    @property
    def confidence(self) -> float | None:
        """The confidence in the final text; see `Reply.confidence`.

        If answers were merged, this is the confidence of the last merge only; each segment has its
        own.
        """
        return None if self.reply is None else self.reply.confidence

    @property
    def failures(self) -> tuple[VideoSegment, ...]:
        """The parts whose requests failed."""
        return tuple(segment for segment in self.segments if segment.failure is not None)

    @property
    def usage(self) -> Usage:
        """The token counts of all requests together, including those taken from a journal."""
        answers = [segment.reply for segment in self.segments if segment.reply is not None]
        used = [reply.usage for reply in (*answers, *self.merges)]
        return Usage(
            prompt_tokens=sum(usage.prompt_tokens for usage in used),
            visual_tokens=sum(usage.visual_tokens for usage in used),
            completion_tokens=sum(usage.completion_tokens for usage in used),
            reused_tokens=sum(usage.reused_tokens for usage in used),
        )


def format_time(seconds: float) -> str:
    """A time as h:mm:ss, to the nearest second."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def format_span(start_seconds: float, end_seconds: float) -> str:
    """A span of time, such as `0:05:00 - 0:10:00`."""
    return f"{format_time(start_seconds)} - {format_time(end_seconds)}"
