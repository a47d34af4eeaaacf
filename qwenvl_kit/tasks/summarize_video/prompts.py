"""The prompts about the parts of a video, and about merging their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qwenvl_kit.errors import MessageError
from qwenvl_kit.tasks.summarize_video.segments import VideoSegment, format_span, format_time

QUESTION = "Summarize what happens in this video."

WINDOW_PROMPT = (
    "This is part {part} of {parts} of a video. It runs from {start} to {end} of the whole video "
    "(h:mm:ss), that is from second {start_seconds} to second {end_seconds}. Give times as "
    "h:mm:ss in the whole video.\n{question}"
)
"""The prompt about one window. It states the times, as many models' prompts for videos hold
none."""

MERGE_PROMPT = (
    "These are answers about consecutive parts of one video, each after the time of its part in "
    "the whole video (h:mm:ss).\n\n{answers}\n\nMerge them into one answer about all of "
    "{start} to {end}, and keep the times. The question was:\n{question}"
)
"""The prompt that merges answers."""


@dataclass(frozen=True)
class Wording:
    """The question and the two prompts that it is put into.

    Raises:
        MessageError: one of them is no text, or a prompt lacks its placeholder.
    """

    question: str
    window_prompt: str
    merge_prompt: str

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, str) or not value.strip():
                raise MessageError(f"{name}={value!r} was given", expected="a text")
        for name, mark in (("window_prompt", "{question}"), ("merge_prompt", "{answers}")):
            if mark not in getattr(self, name):
                raise MessageError(f"{name} lacks {mark}", expected=f"a text with {mark} in it")

    def about_window(self, span: tuple[float, float], part: int, parts: int) -> str:
        """The prompt for one window.

        If one window shows the whole video from its beginning, the prompt is the question alone, as
        times would add nothing.

        Args:
            span: start and end of the window in seconds.
            part: the number of the window, from 1 on.
            parts: the number of windows.
        """
        start, end = span
        if parts == 1 and start == 0:
            return self.question
        values = {
            "part": str(part),
            "parts": str(parts),
            "start": format_time(start),
            "end": format_time(end),
            "start_seconds": f"{round(start, 1):g}",
            "end_seconds": f"{round(end, 1):g}",
        }
        return _filled(self.window_prompt, values, "question", self.question)

    def about_answers(self, segments: Sequence[VideoSegment]) -> str:
        """The prompt that merges answers about consecutive windows."""
        values = {
            "start": format_time(segments[0].start_seconds),
            "end": format_time(segments[-1].end_seconds),
            "question": self.question,
        }
        return _filled(self.merge_prompt, values, "answers", join(segments))


def join(segments: Sequence[VideoSegment]) -> str:
    """Join answers, each after its span, one per line."""
    return "\n".join(
        f"[{format_span(segment.start_seconds, segment.end_seconds)}] {segment.text}"
        for segment in segments
    )


def _filled(template: str, values: dict[str, str], last: str, text: str) -> str:
    """Fill the template; `text` goes into the placeholder `last`, and its own braces stay."""
    before, _, after = template.partition(f"{{{last}}}")
    for name, value in values.items():
        before = before.replace(f"{{{name}}}", value)
        after = after.replace(f"{{{name}}}", value)
    return f"{before}{text}{after}"
