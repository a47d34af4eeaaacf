"""What a summary of a video holds."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.results import Failure, Reply, Usage


@dataclass(frozen=True)
class VideoSegment:
    """What was answered about one stretch of a video.

    Attributes:
        start_seconds: where it begins, from the first frame of the whole video on.
        end_seconds: where it ends.
        text: the answer, without white space around it; empty if there is none.
        reply: the whole reply; None if it failed.
        failure: why it failed; None if it did not.
    """

    start_seconds: float
    end_seconds: float
    text: str
    reply: Reply | None = None
    failure: Failure | None = None

    @property
    def span(self) -> str:
        """Its place in the whole video, such as `0:05:00 - 0:10:00`."""
        return format_span(self.start_seconds, self.end_seconds)

    @property
    def confidence(self) -> float | None:
        """How sure the model was, in [0, 1]; None if it failed or gave no scores."""
        return None if self.reply is None else self.reply.confidence

    def __str__(self) -> str:
        if self.failure is None:
            return f"[{self.span}] {self.text}"
        return f"[{self.span}] no answer: {self.failure.error}"


@dataclass(frozen=True)
class VideoSummary:
    """An answer about a whole video. `str(summary)` is its text.

    Attributes:
        text: the answer; where the answers about parts could not be merged, those one after
            another, each after its span.
        segments: what was answered about each part, in order; a single one where the whole video
            fits in one request.
        duration_seconds: from the first frame that was shown to the last.
        reply: the reply whose text this is; None where the parts could not be merged.
        merges: the replies that merged answers, in order; empty where nothing was merged.
        warnings: what is missing or was cut, in words; empty if nothing.
    """

    text: str
    segments: tuple[VideoSegment, ...]
    duration_seconds: float
    reply: Reply | None = None
    merges: tuple[Reply, ...] = ()
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text

    @property
    def confidence(self) -> float | None:
        """How sure the model was of the final text; see `Reply.confidence`.

        Where answers were merged it says how sure the merging was; each segment has a confidence
        of its own.
        """
        return None if self.reply is None else self.reply.confidence

    @property
    def failures(self) -> tuple[VideoSegment, ...]:
        """The parts that could not be answered."""
        return tuple(segment for segment in self.segments if segment.failure is not None)

    @property
    def usage(self) -> Usage:
        """Tokens of all requests together, those taken from a journal included."""
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
    """A stretch of time, such as `0:05:00 - 0:10:00`."""
    return f"{format_time(start_seconds)} - {format_time(end_seconds)}"
