"""Films are found by their names, wherever they lie, and never taken for another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.benchmarks.film_folders import FilmFolder, frames_of
from tests.evaluation.benchmarks.film_files import with_films


def _found(folder: Path, name: str, *parents: str) -> str | None:
    path = FilmFolder.of(folder).find(name, parents)
    return None if path is None else path.relative_to(folder).as_posix()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.mp4", "a"),
        ("a.mp4", "a.mp4"),
        ("a.MP4", "a.mp4"),
        ("a.mp4", "a.webm"),  # a film that was converted
        ("deep/er/a.mkv", "a"),
        ("NBMH9_21.4_37.6.mp4", "NBMH9_21.4_37.6"),  # dots that are no ending
        ("NBMH9_21.4_37.6.mp4", "NBMH9_21.4_37.6.mp4"),
        ("sub/a.mp4", "./sub/a.mp4"),
        ("sub/a.mp4", "sub\\a.mp4"),
        ("fFjv93ACGo8.mp4", "fFjv93ACGo8"),
        ("-0q2-3.mp4", "-0q2-3"),
        ("a b (1).mp4", "a b (1)"),
        ("电影.mp4", "电影"),
    ],
)
def test_a_film_is_found_at_any_depth_and_with_any_ending(
    tmp_path: Path, file: str, name: str
) -> None:
    with_films(tmp_path, [file])
    assert _found(tmp_path, name) == file


@pytest.mark.parametrize("name", ["b", "", "A", "a.", "aa", "a.txt", "/etc/passwd"])
def test_another_name_is_not_found(tmp_path: Path, name: str) -> None:
    with_films(tmp_path / "films", ["a.mp4", "a.txt", "aaa.mp4"])
    assert _found(tmp_path / "films", name) is None


def test_a_name_leads_to_no_file_outside_of_the_folder(tmp_path: Path) -> None:
    with_films(tmp_path / "films", ["a.mp4"])
    with_films(tmp_path, ["b.mp4", "a.mp4"])
    assert _found(tmp_path / "films", "../b.mp4") is None
    assert _found(tmp_path / "films", "../a.mp4") == "a.mp4"


def test_of_two_films_of_one_name_the_folder_decides(tmp_path: Path) -> None:
    with_films(tmp_path, ["clevrer/video_validation/video_1.mp4", "perception/videos/video_1.mp4"])
    assert _found(tmp_path, "video_1.mp4", "perception/videos") == "perception/videos/video_1.mp4"
    assert _found(tmp_path, "clevrer/video_validation/video_1.mp4") == (
        "clevrer/video_validation/video_1.mp4"
    )


def test_of_two_films_of_one_name_none_is_guessed(tmp_path: Path) -> None:
    with_films(tmp_path, ["a/video_1.mp4", "b/video_1.mp4"])
    with pytest.raises(EvaluationError, match="2 films are named 'video_1'"):
        _found(tmp_path, "video_1")


def test_of_two_endings_the_one_that_is_named_counts(tmp_path: Path) -> None:
    with_films(tmp_path, ["a.webm", "a.mp4"])
    assert _found(tmp_path, "a.webm") == "a.webm"
    with pytest.raises(EvaluationError, match=r"a.mp4 and a.webm"):
        _found(tmp_path, "a")


def test_a_folder_of_frames_is_a_film(tmp_path: Path) -> None:
    with_films(tmp_path, [f"tvqa/frames/clip_1/{at:05d}.jpg" for at in (2, 10, 1)])
    assert _found(tmp_path, "clip_1") == "tvqa/frames/clip_1"
    names = [path.name for path in frames_of(tmp_path / "tvqa/frames/clip_1")]
    assert names == ["00001.jpg", "00002.jpg", "00010.jpg"]


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    with_films(tmp_path, ["f/img2.png", "f/img10.png", "f/img1.png", "f/notes.txt"])
    assert [path.name for path in frames_of(tmp_path / "f")] == [
        "img1.png",
        "img2.png",
        "img10.png",
    ]


def test_linked_folders_are_followed_and_circles_end(tmp_path: Path) -> None:
    real = with_films(tmp_path / "elsewhere", ["a.mp4"])
    films = tmp_path / "films"
    films.mkdir()
    os.symlink(real, films / "linked")
    os.symlink(films, films / "circle")
    assert _found(films, "a") == "linked/a.mp4"


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="there is no folder"):
        FilmFolder.of(tmp_path / "none")
    with pytest.raises(EvaluationError, match="holds no frames"):
        frames_of(tmp_path)
