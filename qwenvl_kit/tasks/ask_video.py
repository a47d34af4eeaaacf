"""Ask a question about a video, or about a part of it."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import MessageError
from qwenvl_kit.messages.message import VideoPart, VideoSource
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.tasks.task_result import Answer


@dataclass(frozen=True)
class VideoAnswer(Answer):
    """The answer to a question about a video."""

    @property
    def timestamps_seconds(self) -> tuple[float, ...]:
        """The times of the frames that the model saw, from the first frame of the video on."""
        return self.reply.plan.videos[0].timestamps_seconds


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
    """Ask a question about a video; one that is too long for the context is shown in fewer frames.

    What was given up for that stands in `reply.plan.degradations`. For a film of hours,
    `summarize_video` goes through all of it.

    Args:
        chat: who answers.
        video: a file, a sequence of frames, or a `VideoPart`, which has its own times.
        question: what to ask, in whatever language; it is sent as it is.
        fps: how many frames of a second are shown; see `VideoPart`.
        num_frames: at most so many, evenly spread.
        start_seconds: leave out what comes before.
        end_seconds: leave out what comes after.
        sampling: how to generate.
        budget: what each group of frames may cost.

    Raises:
        MessageError: no question, or times beside a `VideoPart`.
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
                f"{', '.join(given)} were given beside a VideoPart", expected="them in the part"
            )
        part = video
    else:
        part = VideoPart(video, **given)  # type: ignore[arg-type]
    return VideoAnswer(chat.ask(question, part, sampling=sampling, budget=budget, fit="shrink"))
