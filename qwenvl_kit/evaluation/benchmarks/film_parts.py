"""Films of items, and the frames of them that a model is shown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.film_folders import frames_of
from qwenvl_kit.messages.message import VideoPart

FPS = 2.0
MAX_FRAMES = 768
"""The frames of a film: 2 per second (`FPS` of qwen-vl-utils), and at most 768 (report of
Qwen2.5-VL, arXiv:2502.13923, quoted in QwenLM/Qwen3-VL, issue 1248). The figures of Qwen3-VL were
measured with up to 2,048 frames (QwenLM/Qwen3-VL, issue 1540)."""


@dataclass(frozen=True)
class Film:
    """A film of an item.

    Attributes:
        path: a file, or a folder of frames.
        start_seconds: the beginning of the part that is shown; None for that of the film.
        end_seconds: the end of the part; None for that of the film.
        frames_per_second: the rate of the frames in a folder; the frame at t seconds has the number
            t times the rate, rounded, and the first frame the number 1.
    """

    path: Path
    start_seconds: float | None = None
    end_seconds: float | None = None
    frames_per_second: float = 1.0


@dataclass(frozen=True)
class FilmSampling:
    """The frames of a film that are shown.

    Attributes:
        fps: frames per second; None if `num_frames` decides.
        max_frames: the most frames; None if `num_frames` decides.
        num_frames: a number of frames, evenly spread; None leaves it to `fps`.
    """

    fps: float | None = FPS
    max_frames: int | None = MAX_FRAMES
    num_frames: int | None = None

    def part(self, film: Film) -> VideoPart:
        """Return the part of a message that shows a film.

        Raises:
            EvaluationError: a folder of frames cannot be read, or has none at the given times.
        """
        if film.path.is_dir():
            return self._frames(film)
        return VideoPart(
            os.fspath(film.path),
            fps=self.fps,
            max_frames=self.max_frames,
            num_frames=self.num_frames,
            start_seconds=film.start_seconds,
            end_seconds=film.end_seconds,
        )

    def _frames(self, film: Film) -> VideoPart:
        """The frames of a folder at the rate that is asked for, each with its time."""
        inside = _frames_inside(film)
        step = max(1.0, film.frames_per_second / (self.fps or film.frames_per_second))
        places = [round(at * step) for at in range(max(1, round(len(inside) / step)))]
        shown = [at for at in places if at < len(inside)]
        return VideoPart(
            [os.fspath(inside[at]) for at in shown],
            timestamps_seconds=tuple(at / film.frames_per_second for at in shown),
            max_frames=self.max_frames,
            num_frames=self.num_frames,
        )


def _frames_inside(film: Film) -> Sequence[Path]:
    """The frames between the start and the end of a film, as MVBench's own code takes them."""
    every, rate = frames_of(film.path), film.frames_per_second
    first = max(1, round((film.start_seconds or 0.0) * rate))
    last = len(every) if film.end_seconds is None else round(film.end_seconds * rate)
    inside = every[first - 1 : last]
    if not inside:
        raise EvaluationError(
            f"the folder {os.fspath(film.path)!r} has {len(every):,} frames, none of them between "
            f"{film.start_seconds} and {film.end_seconds} s",
            expected=f"{rate:g} frames for each second",
        )
    return inside


def chosen_sampling(
    fps: float | None, max_frames: int | None, num_frames: int | None
) -> FilmSampling:
    """Return the sampling that a caller chooses; the settings of Qwen's reports fill the rest.

    Args:
        fps: frames per second; None for 2.
        max_frames: the most frames; None for 768.
        num_frames: a number of frames in place of the other two; None if they decide.

    Raises:
        EvaluationError: `num_frames` and one of the others were given.
        VideoTimingError: a value is out of its range.
    """
    if num_frames is not None and (fps is not None or max_frames is not None):
        raise EvaluationError(
            f"num_frames={num_frames} was given with fps={fps}, max_frames={max_frames}",
            expected="num_frames, or fps and max_frames",
        )
    VideoPart("film.mp4", fps=fps, max_frames=max_frames, num_frames=num_frames)  # checks them
    if num_frames is not None:
        return FilmSampling(None, None, num_frames)
    return FilmSampling(FPS if fps is None else fps, max_frames or MAX_FRAMES)
