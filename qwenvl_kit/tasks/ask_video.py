"""The question about a video, or about a part of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import MessageError
from qwenvl_kit.messages.message import VideoPart, VideoSource
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.tasks.task_result import Answer
from qwenvl_kit.tasks.video_times import written_times

_MOST_TOLD = 5


@dataclass(frozen=True, repr=False)
class VideoAnswer(Answer):
    """The answer to a question about a video. `str(answer)` is its text.

    Attributes:
        reply: the whole reply: tokens, usage, timing and plan.
        names_film_times: True if the model's prompt holds the times of frames in the whole film.
    """

    names_film_times: bool = True

    @property
    def timestamps_seconds(self) -> tuple[float, ...]:
        """The times of the frames that the model saw; 0 is the first frame of the video."""
        return self.reply.plan.videos[0].timestamps_seconds

    @property
    def times(self) -> tuple[float, ...]:
        """The times that the answer names, in seconds and in the order of its text.

        They are read as models write them: `0:12`, `12.5 s`, `<12.5 seconds>`, `第12秒`,
        `00:01:02,500`; see `qwenvl_kit.tasks.video_times`. Those beyond the frames that the model
        saw are left out: `warnings` names them. A family whose prompt holds no times (Qwen2-VL,
        Qwen2.5-VL) counts from the first frame that it saw, so that time is added for it.
        """
        return tuple(time for time in self._written if self._is_seen(time))

    @property
    def warnings(self) -> tuple[str, ...]:
        """The plan's warnings, and one about times of the answer that lie outside of the film."""
        beyond = [time for time in self._written if not self._is_seen(time)]
        told = ", ".join(f"{time:g} s" for time in beyond[:_MOST_TOLD])
        outside = (f"the answer names times that were not shown: {told}",) if beyond else ()
        return (*self.reply.plan.warnings, *outside)

    @cached_property
    def _written(self) -> tuple[float, ...]:
        """The times of the text on the time of the whole film."""
        times = [time.seconds for time in written_times(self.text)]
        start, end = self.timestamps_seconds[0], self.timestamps_seconds[-1]
        is_relative = not self.names_film_times and start > 0
        if is_relative and all(time <= end - start + self._slack for time in times):
            times = [time + start for time in times]
        return tuple(times)

    def _is_seen(self, time: float) -> bool:
        shown = self.timestamps_seconds
        return shown[0] - self._slack <= time <= shown[-1] + self._slack

    @property
    def _slack(self) -> float:
        """The longest time between two frames, and half a second for times in whole seconds."""
        spacing = max((b - a for a, b in pairwise(self.timestamps_seconds)), default=0.0)
        return max(spacing, 0.5)


def ask_video(
    chat: VisionChat,
    video: VideoPart | VideoSource,
    question: str,
    *,
    fps: float | None = None,
    num_frames: int | None = None,
    start_seconds: float | None = None,
    end_seconds: float | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> VideoAnswer:
    """Ask a question about a video; a video too long for the context is shown in fewer frames.

    `reply.plan.degradations` lists what was reduced for that. Use `summarize_video` for a film of
    hours: it goes through all of it.

    Example:
        print(ask_video(chat, "match.mp4", "Who scores?", start_seconds=60, end_seconds=120))

    Args:
        chat: the model to ask.
        video: a file, a sequence of frames, or a `VideoPart`, which has its own times.
        question: the question, in any language; it is sent unchanged.
        fps: the number of frames that are shown for each second; see `VideoPart`.
        num_frames: the largest number of frames, evenly spread.
        start_seconds: the time at which the part to show begins.
        end_seconds: the time at which it ends.
        sampling: the generation settings; None takes the default of the chat.
        budget: the `PixelBudget` of each group of frames, or a preset such as "quick".

    Returns:
        The answer, with the times that it names, and those of the frames that the model saw.

    Raises:
        MessageError: there is no question, or times were given together with a `VideoPart`.
        MediaError: the video cannot be used.
    """
    if not isinstance(question, str) or not question.strip():
        raise MessageError(f"{question!r} was given", expected="a question", where="question")
    times = {
        "fps": fps,
        "num_frames": num_frames,
        "start_seconds": start_seconds,
        "end_seconds": end_seconds,
    }
    given = {name: value for name, value in times.items() if value is not None}
    if isinstance(video, VideoPart):
        if given:
            raise MessageError(
                f"{', '.join(given)} were given together with a VideoPart",
                expected="these settings in the VideoPart",
            )
        part = video
    else:
        part = VideoPart(video, **given)  # type: ignore[arg-type]
    reply = chat.ask(question, part, sampling=sampling, budget=budget, fit="shrink")
    return VideoAnswer(reply, chat.family.video_layout == "timestamped groups")
