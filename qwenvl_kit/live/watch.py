"""The watch: it asks a question about the newest frames of a source at regular times."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from qwenvl_kit.conversation import Asks
from qwenvl_kit.errors import InputError, MediaTimeoutError, QwenVLKitError, release_frames
from qwenvl_kit.live.events import WatchEvent
from qwenvl_kit.live.frame_sources import FrameSource, LiveFrame, as_source
from qwenvl_kit.live.frame_window import FrameWindow
from qwenvl_kit.messages.message import Message, VideoPart
from qwenvl_kit.options import BudgetChoice, Fit, Sampling
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Reply

if TYPE_CHECKING:
    from typing_extensions import Self

_JOIN_SECONDS = 5.0
"""The longest time for which `stop` waits for a source that does not end when it is closed."""


class Watch:
    """Iterates over events: each is a question about the last seconds, with its answer.

    Frames are read while the model answers. If the model is slower than the interval of the
    questions, the next question is about the newest frames; the questions between are skipped and
    counted. So a watch is late by one answer at most, and no frames pile up.

    It ends at the end of its source, or when it is stopped. If the source breaks off, it raises
    that error, after all events before it. If an answer fails, the event holds the error.

    Example:
        with chat.watch("film.mp4", "Is somebody at the door?", every_seconds=5) as watch:
            for event in watch:
                print(event.ended_at, event)

    Args:
        chat: the model to ask.
        source: a video file, the number of a camera, a `FrameSource`, or an iterator of frames.
        question: the question.
        every_seconds: the interval between two questions.
        window_seconds: the length of video that the model sees each time; None takes
            `every_seconds`.
        max_frames: the most frames that the model sees at a time.
        sampling: the generation settings; None takes the default of the chat.
        budget: the `PixelBudget` of each group of frames, or a preset such as "quick".
        fit: the treatment of a window that is longer than the context; see `ask`.
        timeout_seconds: the longest time without a frame; then the source is given up.

    Raises:
        InputError: an argument cannot be used.
    """

    def __init__(
        self,
        chat: Asks,
        source: Any,
        question: str,
        *,
        every_seconds: float = 5.0,
        window_seconds: float | None = None,
        max_frames: int = 16,
        sampling: Sampling | None = None,
        budget: BudgetChoice | None = None,
        fit: Fit | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        window_seconds = every_seconds if window_seconds is None else window_seconds
        _check(every_seconds, window_seconds, max_frames, timeout_seconds)
        Message.user(question)  # raises before the camera opens if the question is unusable
        self._chat = chat
        self._question = question
        self._every_seconds = every_seconds
        self._settings = Request("", sampling=sampling, budget=budget, fit=fit)
        self._timeout_seconds = timeout_seconds
        self._num_events = 0
        self._last_due = 0
        self._asked_seconds = -math.inf
        self._feed = _Feed(as_source(source, chat.policy), FrameWindow(window_seconds, max_frames))
        self._feed.start(max_fps=max_frames / window_seconds)

    def __iter__(self) -> Iterator[WatchEvent]:
        return self

    def __next__(self) -> WatchEvent:
        """Wait for the next event.

        Raises:
            MediaError: the source could not be opened, broke off, or gave no frame in time.
        """
        frames, due = self._wait()
        if not frames:
            self.stop()
            self._feed.raise_error()
            raise StopIteration
        return self._ask(frames, due)

    def stop(self) -> None:
        """End the watch and release its source. It may be called from any thread, and again."""
        self._feed.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __del__(self) -> None:
        if hasattr(self, "_feed"):
            self._feed.stop()

    def _wait(self) -> tuple[Sequence[LiveFrame], int]:
        """The frames of the next question, and its number; no frames at the end."""
        while True:
            with self._feed.changed:
                due = self._due()
                if due > self._last_due:
                    return self._feed.window.frames(), due
                if self._feed.is_ended:
                    return self._rest(), self._last_due + 1
                if not self._feed.wait(self._timeout_seconds):
                    break
        self.stop()
        raise MediaTimeoutError(
            f"the source gave no frame for {self._timeout_seconds:g} s",
            expected="a source that is running",
            hint="watch(..., timeout_seconds=...) if it may pause for longer",
        )

    def _due(self) -> int:
        """The number of questions that are due by now, by the times of the frames."""
        newest = self._feed.window.newest_seconds
        first = self._feed.first_seconds
        if newest is None or first is None or self._feed.is_stopped:
            return 0
        return math.floor((newest - first) / self._every_seconds + 1e-9)

    def _rest(self) -> Sequence[LiveFrame]:
        """The frames that are left when a source has ended."""
        if self._feed.is_stopped or self._feed.error is not None:
            return ()
        return [f for f in self._feed.window.frames() if f.seconds > self._asked_seconds]

    def _ask(self, frames: Sequence[LiveFrame], due: int) -> WatchEvent:
        skipped, self._last_due = due - self._last_due - 1, due
        self._asked_seconds = frames[-1].seconds
        asked_at = _now()
        result = self._answer(frames)
        event = WatchEvent(
            index=self._num_events,
            started_at=frames[0].captured_at,
            ended_at=frames[-1].captured_at,
            start_seconds=frames[0].seconds,
            end_seconds=frames[-1].seconds,
            num_frames=len(frames),
            num_skipped=skipped,
            asked_at=asked_at,
            answered_at=_now(),
            reply=result if isinstance(result, Reply) else None,
            error=None if isinstance(result, Reply) else result,
        )
        self._num_events += 1
        return event

    def _answer(self, frames: Sequence[LiveFrame]) -> Reply | QwenVLKitError:
        start = frames[0].seconds
        times = tuple(frame.seconds - start for frame in frames)
        video = VideoPart([frame.image for frame in frames], timestamps_seconds=times)
        try:
            return self._chat.ask(
                replace(self._settings, messages=Message.user(video, self._question))
            )
        except QwenVLKitError as error:
            release_frames(error)
            return error


class _Feed:
    """Reads a source in its own thread, and holds the state that it shares with the watch."""

    def __init__(self, source: FrameSource, window: FrameWindow) -> None:
        self._source = source
        self.window = window
        self.changed = threading.Condition()
        self.first_seconds: float | None = None
        self.error: BaseException | None = None
        self.is_ended = self.is_stopped = False
        self._num_frames = 0

    def start(self, max_fps: float) -> None:
        """Begin to read."""
        self._thread = threading.Thread(
            target=self._run, args=(max_fps,), name="qwenvl_kit watch", daemon=True
        )
        self._thread.start()

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for a frame or the end; False if none comes in time. The caller holds `changed`."""
        seen, deadline = self._num_frames, time.monotonic() + timeout_seconds
        while self._num_frames == seen and not self.is_ended:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.changed.wait(left)
        return True

    def stop(self) -> None:
        """Stop reading and release the source."""
        with self.changed:
            self.is_stopped = self.is_ended = True
            self.changed.notify_all()
        with suppress(Exception):  # the caller's own source may raise; it is released anyway
            self._source.close()
        if threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_SECONDS)

    def raise_error(self) -> None:
        """Raise the error of the source, once."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # it holds this frame in its traceback: a reference cycle

    def _run(self, max_fps: float) -> None:
        try:
            for frame in self._source.frames(max_fps):
                with self.changed:
                    if self.is_stopped:
                        return
                    self._take(frame)
        except BaseException as error:  # raised in the thread that waits for events
            release_frames(error)
            if not self.is_stopped:
                self.error = error
        finally:
            with self.changed:
                self.is_ended = True
                self.changed.notify_all()

    def _take(self, frame: LiveFrame) -> None:
        if self.first_seconds is None:
            self.first_seconds = frame.seconds
        self.window.add(frame)
        self._num_frames += 1
        self.changed.notify_all()


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _check(
    every_seconds: object, window_seconds: object, max_frames: object, timeout_seconds: object
) -> None:
    times = {
        "every_seconds": every_seconds,
        "window_seconds": window_seconds,
        "timeout_seconds": timeout_seconds,
    }
    for name, value in times.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not 0 < value < math.inf:  # type: ignore[operator]
            raise InputError(f"{name}={value!r} was given", expected="a number of seconds above 0")
    if type(max_frames) is not int or max_frames < 1:
        raise InputError(f"max_frames={max_frames!r} was given", expected="a whole number above 0")
