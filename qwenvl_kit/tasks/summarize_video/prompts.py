"""How a model is asked about parts of a video, and to merge what it answered."""

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
"""How a part is asked about; the prompts of many models hold no times, so that it states them."""

MERGE_PROMPT = (
    "These are answers about consecutive parts of one video, each after the time of its part in "
    "the whole video (h:mm:ss).\n\n{answers}\n\nMerge them into one answer about all of "
    "{start} to {end}, and keep the times. The question was:\n{question}"
)
"""How answers are merged."""


@dataclass(frozen=True)
class Wording:
    """The question and how it is put.

    Raises:
        MessageError: one is no text, or a prompt leaves out what it is for.
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
                raise MessageError(f"{name} does not hold {mark}", expected=f"{mark} in it")

    def about_window(self, span: tuple[float, float], part: int, parts: int) -> str:
        """The prompt for one window.

        A video that is shown whole, from its beginning on, is asked about without a frame of
        words: there is nothing that they would add.

        Args:
            span: its start and end in seconds.
            part: which window it is, from 1 on.
            parts: how many there are.
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
    """Answers one after another, each after its span."""
    return "\n".join(
        f"[{format_span(segment.start_seconds, segment.end_seconds)}] {segment.text}"
        for segment in segments
    )


def _filled(template: str, values: dict[str, str], last: str, text: str) -> str:
    """The template with its places filled; what is put in last may hold braces of its own."""
    before, _, after = template.partition(f"{{{last}}}")
    for name, value in values.items():
        before = before.replace(f"{{{name}}}", value)
        after = after.replace(f"{{{name}}}", value)
    return f"{before}{text}{after}"
