"""Thumbnails of a conversation: its first pictures, small, and the middle frames of its films."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit.errors import MediaDecodeError
from qwenvl_kit.geometry import Region
from qwenvl_kit.media.policy import DEFAULT_POLICY
from qwenvl_kit.media.thumbnails import draw_thumbnails
from qwenvl_kit.messages.message import ImagePart, Message, VideoPart
from tests.videos import read_number, write_video


def drawn(*parts: Any) -> list[PIL.Image.Image]:
    pictures = draw_thumbnails([Message.user(*parts, "?")], DEFAULT_POLICY).pictures
    return [PIL.Image.open(io.BytesIO(each)) for each in pictures]


def halves(width: int = 400, height: int = 200) -> PIL.Image.Image:
    """A picture that is red on the left and blue on the right."""
    picture = PIL.Image.new("RGB", (width, height), "red")
    picture.paste("blue", (width // 2, 0, width, height))
    return picture


def colour(picture: PIL.Image.Image, at: tuple[float, float]) -> str:
    pixel: Any = picture.getpixel((int(at[0] * picture.width), int(at[1] * picture.height)))
    return "red" if pixel[0] > pixel[2] else "blue"


def test_a_picture_is_small_and_keeps_its_shape() -> None:
    (found,) = drawn(ImagePart(halves()))
    assert found.format == "JPEG"
    assert found.size == (192, 96)
    assert (colour(found, (0.2, 0.5)), colour(found, (0.8, 0.5))) == ("red", "blue")


def test_a_small_picture_stays_as_it_is() -> None:
    assert drawn(ImagePart(halves(40, 20)))[0].size == (40, 20)


def test_a_strip_keeps_a_pixel() -> None:
    assert drawn(ImagePart(PIL.Image.new("RGB", (3000, 4))))[0].size == (192, 1)


def test_a_crop_is_what_is_shown() -> None:
    (found,) = drawn(ImagePart(halves(), crop=Region(200, 0, 400, 200)))
    assert found.size == (192, 192)
    assert colour(found, (0.1, 0.5)) == "blue"


def test_the_first_four_are_drawn_and_all_are_counted() -> None:
    parts = [ImagePart(halves(40, 20)) for _ in range(6)]
    found = draw_thumbnails([Message.user(*parts, "?")], DEFAULT_POLICY)
    assert (len(found.pictures), found.num_all) == (4, 6)


def test_frames_that_are_no_film_show_their_middle_one() -> None:
    frames = [PIL.Image.new("RGB", (64, 64), each) for each in ("red", "blue", "red")]
    (found,) = drawn(VideoPart(frames, fps=1))
    assert colour(found, (0.5, 0.5)) == "blue"


@pytest.mark.parametrize(
    ("times", "middle"),
    [
        ({}, 25),
        ({"start_seconds": 1.0}, 38),
        ({"end_seconds": 1.0}, 13),
        ({"start_seconds": 1.0, "end_seconds": 1.6}, 33),
    ],
)
def test_a_film_shows_the_middle_of_the_part_that_is_asked_about(
    tmp_path: Path, times: dict[str, float], middle: int
) -> None:
    film = write_video(tmp_path / "film.mp4", 50)
    (found,) = drawn(VideoPart(film, **times))  # type: ignore[arg-type]
    assert abs(read_number(found) - middle) <= 1


def test_a_damaged_picture_is_an_error_with_its_place() -> None:
    with pytest.raises(MediaDecodeError, match=r"parts\[1\]"):
        drawn(ImagePart(halves()), ImagePart(b"\x89PNG\r\n\x1a\nnothing more"))
