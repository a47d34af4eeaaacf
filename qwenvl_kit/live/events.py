"""What a watch tells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.results import Reply


@dataclass(frozen=True, kw_only=True)
class WatchEvent:
    """One question about the last seconds of a source, with its answer. `str(event)` is its text.

    Attributes:
        index: its place among the events of the watch, from 0 on.
        started_at, ended_at: when the first and the last frame that the model saw came in, by the
            clock on the wall, with its time zone.
        start_seconds, end_seconds: the same from the first frame of the source on; for a film
            its own time, whatever the speed at which it plays.
        num_frames: how many frames the model saw.
        num_skipped: questions that fell due while the model was busy and were not asked.
        asked_at, answered_at: when the question was put and the answer was complete.
        reply: the answer; None if it failed.
        error: why it failed; None if it did not.
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
        """From the last frame to the answer, by the clock on the wall."""
        return (self.answered_at - self.ended_at).total_seconds()
