"""Subtitles of films: files of SubRip, and the lines that are heard at given times."""

from __future__ import annotations

import hashlib
import html
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qwenvl_kit.errors import EvaluationError

_TIMES = re.compile(
    r"^\s*(\d+):(\d{1,2}):(\d{1,2})(?:[,.](\d{1,3}))?\s*-->\s*"
    r"(\d+):(\d{1,2}):(\d{1,2})(?:[,.](\d{1,3}))?"
)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>|\{\\[^{}]*\}")
"""Marks of style, which are no words: `<font color="white">`, `<i>`, and those of SubStation."""


@dataclass(frozen=True)
class Subtitle:
    """A subtitle.

    Attributes:
        start_seconds: the time at which it appears.
        end_seconds: the time at which it disappears.
        text: its words; lines of one subtitle are joined by a blank.
    """

    start_seconds: float
    end_seconds: float
    text: str

    def is_shown_at(self, seconds: float) -> bool:
        """Return True if it is there at a time; at its very start and end it is not."""
        return self.start_seconds < seconds < self.end_seconds


@dataclass(frozen=True)
class SubtitleFolder:
    """The subtitles of films in a folder.

    Attributes:
        folder: the folder.
        files: the names of its files, by those of their films.
    """

    folder: Path
    files: dict[str, str]

    @classmethod
    def of(cls, folder: str | os.PathLike[str]) -> SubtitleFolder:
        """List the subtitles (.srt) in a folder.

        Args:
            folder: the folder.

        Raises:
            EvaluationError: the folder cannot be read.
        """
        root = Path(folder)
        try:
            names = sorted(path.name for path in root.iterdir() if path.suffix.lower() == ".srt")
        except OSError as error:
            raise EvaluationError(
                f"the folder of subtitles {os.fspath(root)!r} cannot be read: {error.strerror}",
                expected="a folder of .srt files",
            ) from error
        return cls(root, {os.path.splitext(name)[0]: name for name in names})

    def file_of(self, film: str) -> str:
        """Return the name of the file of a film; empty if it has no subtitles."""
        name = film.replace("\\", "/").rpartition("/")[2]
        return self.files.get(name) or self.files.get(os.path.splitext(name)[0], "")

    def read(self, file: str) -> list[Subtitle]:
        """Return the subtitles of a file; see `read_subtitles`."""
        return read_subtitles(self.folder / file)

    def digest(self, file: str) -> str:
        """Return the SHA-256 of a file, as hex digits.

        Raises:
            EvaluationError: it cannot be read any more.
        """
        try:
            return hashlib.sha256((self.folder / file).read_bytes()).hexdigest()
        except OSError as error:
            raise EvaluationError(f"{file!r} cannot be read: {error.strerror}") from error


def read_subtitles(path: Path) -> list[Subtitle]:
    """Return the subtitles of a SubRip file (.srt), in the order of the file.

    Args:
        path: the file, in UTF-8.

    Raises:
        EvaluationError: it cannot be read, holds no subtitle, or a number with too many digits.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(
            f"the subtitles {os.fspath(path)!r} cannot be read: {error}",
            expected="a file of SubRip in UTF-8",
        ) from error
    try:
        found = list(_subtitles(text.splitlines()))
    except (ValueError, OverflowError) as error:  # numbers of hundreds of digits
        raise EvaluationError(
            f"the subtitles {os.fspath(path)!r} have a number that cannot be read: {error}",
            expected="times such as 00:00:01,200 --> 00:00:04,000",
        ) from error
    if text.strip() and not found:
        raise EvaluationError(
            f"{os.fspath(path)!r} holds no subtitle",
            expected="times such as 00:00:01,200 --> 00:00:04,000, and words below them",
        )
    return found


def shown_once(subtitles: Sequence[Subtitle], times: Sequence[float]) -> str:
    """Return the subtitles that are there at one of some times, each once, as Qwen's code does.

    Source: QwenLM/Qwen3-VL, evaluation/VideoMME/dataset_utils.py, `load_subtitles`.

    Args:
        subtitles: the subtitles.
        times: the times of the frames, in seconds.
    """
    shown = [each.text for each in subtitles if each.text and any(map(each.is_shown_at, times))]
    return " ".join(shown)


def shown_by_frame(subtitles: Sequence[Subtitle], times: Sequence[float]) -> str:
    """Return the first subtitle at each time, a line each, as VLMEvalKit does.

    One that lasts for several frames is repeated. Source: open-compass/VLMEvalKit,
    dataset/videomme.py, `build_prompt`.

    Args:
        subtitles: the subtitles.
        times: the times of the frames, in seconds.
    """
    first = (next((s.text for s in subtitles if s.is_shown_at(time)), "") for time in times)
    return "\n".join(text for text in first if text)


def _subtitles(lines: Sequence[str]) -> Iterator[Subtitle]:
    """The subtitles of lines: a line of times, then words up to the next blank line."""
    starts = [at for at, line in enumerate(lines) if _TIMES.match(line)]
    for at, following in zip(starts, [*starts[1:], len(lines)]):
        times = _TIMES.match(lines[at])
        if times is None:
            continue
        words = _words(lines[at + 1 : following], is_last=following == len(lines))
        yield Subtitle(_seconds(*times.groups()[:4]), _seconds(*times.groups()[4:]), words)


def _words(lines: Sequence[str], *, is_last: bool) -> str:
    """The words between two lines of times, without the number of the next subtitle."""
    kept = [line for line in lines if line.strip()]
    if kept and not is_last and kept[-1].strip().isdecimal():
        kept.pop()
    plain = (_TAG.sub("", line).replace("\\N", " ") for line in kept)
    return " ".join(" ".join(html.unescape(line).split()) for line in plain).strip()


def _seconds(hours: str, minutes: str, seconds: str, fraction: str | None) -> float:
    whole = int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    return whole + int((fraction or "0").ljust(3, "0")) / 1000
