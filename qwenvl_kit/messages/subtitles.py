"""Subtitles of a film: lines with their times, and the forms in which a model reads them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import IO, Any, Literal, TypeAlias, Union

from qwenvl_kit.arguments.checks import explains_wrong_arguments
from qwenvl_kit.errors import MessageError, VideoTimingError
from qwenvl_kit.safe_text import shown_source

OWN = "auto"
"""The subtitles that belong to a film: a file of its name beside it, else a track within it."""

LISTING_HEAD = "This video's subtitles are listed below:\n"
"""The line above a list of subtitles, after the film. Source: QwenLM/Qwen3-VL,
evaluation/VideoMME/dataset_utils.py, `build_videomme_prompt`; VLMEvalKit and lmms-eval use it, too.
Those lists have no times. Here each line begins with its time."""

SHIFTED_HEAD = LISTING_HEAD.replace(":\n", " (0 is the first frame that is shown):\n")
"""The same line where the film is shown from a later frame on, and the model counts from there. It
says so, as a question may name times of the whole film (`summarize_video`)."""


@explains_wrong_arguments
@dataclass(frozen=True)
class Subtitle:
    """A line that is spoken, sung or written in a film.

    Attributes:
        start_seconds: the time at which it begins; 0 is the first frame of the film.
        end_seconds: the time at which it ends.
        text: its words. Line ends in it become blanks where a model reads it.

    Raises:
        VideoTimingError: a time is no finite number, or the end comes before the start.
        MessageError: the text is no string, or cannot be encoded as UTF-8.
    """

    start_seconds: float
    end_seconds: float
    text: str

    def __post_init__(self) -> None:
        for name in ("start_seconds", "end_seconds"):
            object.__setattr__(self, name, _seconds(name, getattr(self, name)))
        if self.end_seconds < self.start_seconds:
            raise VideoTimingError(
                f"start_seconds={self.start_seconds:g}, end_seconds={self.end_seconds:g} "
                "were given",
                expected="an end that is not before the start",
            )
        if not isinstance(self.text, str):
            raise MessageError(
                f"text of type {type(self.text).__name__} was given", expected="a string"
            )
        try:
            self.text.encode()
        except UnicodeEncodeError as error:
            raise MessageError(
                f"the text holds {self.text[error.start]!r} at position {error.start}",
                expected="text that can be encoded as UTF-8",
            ) from error

    @property
    def words(self) -> str:
        """Its text in one line."""
        return " ".join(self.text.split())


SubtitleSource: TypeAlias = Union[
    Literal["auto"], str, "os.PathLike[str]", bytes, "IO[bytes]", Sequence[Subtitle]
]
"""The subtitles of a film: "auto" for its own, a file (.srt, .vtt, .ass, .ssa) as a path, URL,
bytes or open file, or the lines themselves."""


def as_subtitles(given: Any) -> Any:
    """Return subtitles in the form in which a `VideoPart` keeps them: lines as a tuple.

    Raises:
        MessageError: they are neither a file, nor lines, nor "auto".
    """
    if given is None or isinstance(given, (os.PathLike, bytes)) or hasattr(given, "read"):
        return given
    if isinstance(given, (bytearray, memoryview)):
        return bytes(given)
    if isinstance(given, str) and given.strip():
        return given
    is_lines = isinstance(given, Iterable) and not isinstance(given, (str, Mapping))
    lines = tuple(given) if is_lines else (None,)
    wrong = next((line for line in lines if not isinstance(line, Subtitle)), None)
    if wrong is not None or not is_lines:
        raise MessageError(
            f"subtitles={shown_source(given)} was given",
            expected='"auto", the path of a file (.srt, .vtt, .ass), or a list of lines',
            hint='subtitles=[Subtitle(12.0, 14.5, "the words")]',
            where="subtitles",
        )
    return lines


def listed(lines: Sequence[Subtitle], *, in_seconds: bool, zero_seconds: float = 0.0) -> str:
    """Return lines as a list that stands after the film, with the time at which each begins.

    Args:
        lines: the lines, in the order of their times.
        in_seconds: True for `<12.5 seconds>`, the form in which Qwen3-VL reads the times of frames
            (`replace_video_token` of its processor); False for `00:12.50`, the form in which
            Qwen2.5-VL's cookbook has it write times.
        zero_seconds: the time of the film at which the model's own clock begins; a line that began
            before has the time 0.
    """
    clock = seconds_text if in_seconds else minutes_text
    head = LISTING_HEAD if zero_seconds <= 0 else SHIFTED_HEAD
    return head + "".join(
        f"{clock(line.start_seconds - zero_seconds)} {line.words}\n" for line in lines
    )


def at_frame(lines: Iterable[Subtitle]) -> str:
    """Return the lines that stand after the frames at which they are heard.

    LongVideoBench (arXiv:2407.15754) puts subtitles between frames in this way; the word before
    each line tells it from text that is seen in the frame.
    """
    return "".join(f"Subtitle: {line.words}\n" for line in lines)


def seconds_text(seconds: float) -> str:
    """Return a time such as `<12.5 seconds>`."""
    return f"<{max(0.0, seconds):.1f} seconds>"


def minutes_text(seconds: float) -> str:
    """Return a time such as `01:05.50`, or `1:02:05.50` from an hour on."""
    minutes, rest = divmod(round(max(0.0, seconds) * 100), 6000)
    clock = f"{rest // 100:02}.{rest % 100:02}"
    hours = f"{minutes // 60}:{minutes % 60:02}" if minutes >= 60 else f"{minutes:02}"
    return f"{hours}:{clock}"


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise VideoTimingError(f"{name}={value!r} was given", expected="a number of seconds")
    return float(value)
