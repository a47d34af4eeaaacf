"""The question about a video, or about a part of it."""

from __future__ import annotations

from dataclasses import dataclass

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import MessageError
from qwenvl_kit.messages.message import VideoPart, VideoSource
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.tasks.task_result import Answer


@dataclass(frozen=True, repr=False)
class VideoAnswer(Answer):
    """The answer to a question about a video. `str(answer)` is its text."""

    @property
    def timestamps_seconds(self) -> tuple[float, ...]:
        """The times of the frames that the model saw; 0 is the first frame of the video."""
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
        The answer, with the times of the frames that the model saw.

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
    return VideoAnswer(chat.ask(question, part, sampling=sampling, budget=budget, fit="shrink"))
