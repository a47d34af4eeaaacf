"""The events of a watch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.results import Reply


@dataclass(frozen=True, kw_only=True)
class WatchEvent:
    """One question about the last seconds of a source, with its answer. `str(event)` is its text.

    Attributes:
        index: the number of the event in the watch, from 0 on.
        started_at, ended_at: the wall-clock times at which the first and the last frame that the
            model saw were captured, with time zone.
        start_seconds, end_seconds: the times of these frames, in seconds from the first frame of
            the source; in a film its own time, at any playing speed.
        num_frames: the number of frames that the model saw.
        num_skipped: the number of questions that were skipped since the last event, as the model
            was busy.
        asked_at, answered_at: the wall-clock times of the question and of the complete answer.
        reply: the answer; None if it failed.
        error: the error; None if it was answered.
    """

    index: int
    started_at: datetime
    ended_at: datetime
    start_seconds: float
    end_seconds: float
    num_frames: int
    num_skipped: int
    asked_at: datetime
    answered_at: datetime
    reply: Reply | None = None
    error: QwenVLKitError | None = None

    def __str__(self) -> str:
        return str(self.error) if self.reply is None else self.reply.text

    @property
    def delay_seconds(self) -> float:
        """The seconds from the last frame to the complete answer, by the wall clock."""
        return (self.answered_at - self.ended_at).total_seconds()
