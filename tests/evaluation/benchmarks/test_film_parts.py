"""Films are shown at two frames a second, at most 768, unless a caller says otherwise."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.errors import EvaluationError, VideoTimingError
from qwenvl_kit.evaluation.benchmarks.film_parts import Film, FilmSampling, chosen_sampling
from qwenvl_kit.evaluation.benchmarks.media_facts import shown_times
from qwenvl_kit.messages.message import VideoPart
from tests.evaluation.benchmarks.film_files import with_films
from tests.videos import write_video


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None, None), FilmSampling(2.0, 768, None)),
        ((1, None, None), FilmSampling(1, 768, None)),
        ((None, 64, None), FilmSampling(2.0, 64, None)),
        ((0.5, 2048, None), FilmSampling(0.5, 2048, None)),
        ((None, None, 8), FilmSampling(None, None, 8)),
    ],
)
def test_what_is_not_given_is_as_in_qwens_reports(
    given: tuple[Any, Any, Any], expected: FilmSampling
) -> None:
    assert chosen_sampling(*given) == expected


def test_a_number_of_frames_goes_with_no_rate() -> None:
    with pytest.raises(EvaluationError, match="num_frames=8 was given with fps=1"):
        chosen_sampling(1, None, 8)


@pytest.mark.parametrize(
    "given", [(0, None, None), (-1, None, None), (None, 0, None), (None, None, 0)]
)
def test_a_sampling_out_of_range_is_refused(given: tuple[Any, Any, Any]) -> None:
    with pytest.raises(VideoTimingError):
        chosen_sampling(*given)


def test_a_part_of_a_film_is_cut(tmp_path: Path) -> None:
    part = FilmSampling().part(Film(tmp_path / "a.mp4", 11.1, 19.6))
    assert part == VideoPart(
        str(tmp_path / "a.mp4"), fps=2.0, max_frames=768, start_seconds=11.1, end_seconds=19.6
    )


def _frames(folder: Path, number: int) -> Path:
    return with_films(folder, [f"{at:05d}.jpg" for at in range(1, number + 1)])


def _numbers(part: VideoPart) -> list[int]:
    return [int(Path(source).stem) for source in part.source]  # type: ignore[union-attr, arg-type]


def test_frames_in_a_folder_are_taken_between_the_times_of_mvbench(tmp_path: Path) -> None:
    film = Film(_frames(tmp_path / "clip", 30), 2.0, 5.0, frames_per_second=3.0)
    part = FilmSampling(3.0, 768).part(film)
    # `read_frame` of MVBench: from max(1, round(start * fps)) to min(round(end * fps), all).
    assert _numbers(part) == list(range(6, 16))
    assert part.timestamps_seconds == pytest.approx([at / 3 for at in range(10)])


def test_frames_in_a_folder_are_thinned_to_the_rate(tmp_path: Path) -> None:
    film = Film(_frames(tmp_path / "clip", 30), frames_per_second=3.0)
    part = FilmSampling().part(film)
    assert len(_numbers(part)) == 20
    assert _numbers(part)[:5] == [1, 3, 4, 5, 7]
    times = part.timestamps_seconds or ()
    assert all(later - earlier < 0.67 for earlier, later in pairwise(times))


def test_a_rate_above_that_of_the_frames_shows_each_once(tmp_path: Path) -> None:
    film = Film(_frames(tmp_path / "clip", 7), frames_per_second=3.0)
    assert _numbers(FilmSampling(10.0, 768).part(film)) == list(range(1, 8))


def test_frames_that_end_before_the_start_are_told(tmp_path: Path) -> None:
    film = Film(_frames(tmp_path / "clip", 3), 60.0, 70.0, frames_per_second=3.0)
    with pytest.raises(
        EvaluationError, match=r"has 3 frames, none of them between 60.0 and 70.0 s"
    ):
        FilmSampling().part(film)


def test_the_times_of_shown_frames_are_those_that_the_model_sees(tmp_path: Path) -> None:
    film = write_video(tmp_path / "a.mp4", 50, width=64, height=64, fps=10)
    times = shown_times(FilmSampling(2.0, 768).part(Film(film)), None)
    assert len(times) == 10
    assert times[0] == 0.0
    assert times[-1] == pytest.approx(4.9)
