"""Pictures and films of rows are found in each form in which makers of benchmarks write them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy
import PIL.Image
import pytest

from qwenvl_kit.errors import EvaluationError, MediaError
from qwenvl_kit.evaluation.data.cells import media_of
from qwenvl_kit.evaluation.data.rows import Row
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.policy import DEFAULT_POLICY
from qwenvl_kit.messages.message import ImagePart, VideoPart
from tests.evaluation.data.files import in_base64, png

CONTENT = png()
PICTURE = in_base64(CONTENT)
PIXELS = PIL.Image.open(io.BytesIO(CONTENT)).convert("RGB").tobytes()


def media(value: Any, folder: Path | None = None, column: str = "image") -> tuple[Any, ...]:
    return media_of(Row({column: value}, "a.tsv:2", None, folder), ("image",), ("video",))


def pixels(part: ImagePart) -> bytes:
    return decode_image(part.source, DEFAULT_POLICY).tobytes()


@pytest.mark.parametrize(
    "value",
    [
        PICTURE,
        f" {PICTURE}\n",
        "\n".join(PICTURE[at : at + 76] for at in range(0, len(PICTURE), 76)),
        PICTURE.rstrip("="),
        f"data:image/png;base64,{PICTURE}",
        CONTENT,
        bytearray(CONTENT),
        memoryview(CONTENT),
        {"bytes": CONTENT, "path": None},
        {"bytes": CONTENT, "path": "elsewhere.png"},
        {"bytes": CONTENT},
        [PICTURE],
        f"['{PICTURE}']",
        json.dumps([PICTURE]),
        PIL.Image.open(io.BytesIO(CONTENT)),
        numpy.asarray(PIL.Image.open(io.BytesIO(CONTENT)).convert("RGB")),
        numpy.array([PICTURE], dtype=object),
        "a.png",
        Path("a.png"),
        {"bytes": None, "path": "a.png"},
        ["a.png"],
        "['a.png']",
    ],
    ids=range(22),
)
def test_a_picture_is_read_in_each_form(value: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(CONTENT)
    (part,) = media(value, tmp_path)
    assert isinstance(part, ImagePart)
    assert pixels(part) == PIXELS


@pytest.mark.parametrize(
    "value",
    [
        [PICTURE, PICTURE],
        f"['{PICTURE}', '{PICTURE}']",
        json.dumps([PICTURE, PICTURE]),
        ["a.png", PICTURE],
        [{"bytes": CONTENT, "path": None}, None, {"bytes": CONTENT, "path": None}],
    ],
    ids=range(5),
)
def test_a_list_is_several_pictures(value: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(CONTENT)
    assert [pixels(part) for part in media(value, tmp_path)] == [PIXELS, PIXELS]


@pytest.mark.parametrize(
    "value", [None, "", " ", float("nan"), [], [None], {"bytes": None, "path": None}]
)
def test_an_empty_cell_has_no_picture(value: Any) -> None:
    assert media(value) == ()


def test_the_first_column_that_is_filled_counts() -> None:
    row = Row({"image": "", "image_path": "a.png"}, "a.tsv:2", None, Path("pictures"))
    (part,) = media_of(row, ("decoded_image", "image", "image_path"), ())
    assert part == ImagePart(str(Path("pictures/a.png")))
    row = Row({"image": PICTURE, "image_path": "a.png"}, "a.tsv:2")
    assert media_of(row, ("image", "image_path"), ()) == (ImagePart(PICTURE),)


def test_a_film_is_a_file_or_its_frames() -> None:
    assert media("a/film.mp4", Path("films"), "video") == (
        VideoPart(str(Path("films/a/film.mp4"))),
    )
    (frames,) = media([CONTENT, CONTENT], None, "video")
    assert isinstance(frames, VideoPart)
    assert frames == VideoPart([CONTENT, CONTENT])


def test_pictures_stand_before_films() -> None:
    row = Row({"image": PICTURE, "video": "film.mp4"}, "a.tsv:2")
    kinds = [type(part) for part in media_of(row, ("image",), ("video",))]
    assert kinds == [ImagePart, VideoPart]


def test_an_absolute_path_and_an_address_stay_as_they_are() -> None:
    absolute = str(Path("/pictures/a.png").absolute())
    assert media(absolute, Path("other")) == (ImagePart(absolute),)
    address = "https://example.org/a.png"
    assert media(address, Path("other")) == (ImagePart(address),)


@pytest.mark.parametrize(
    "value",
    [PICTURE[9:4000], "A" * 5000, PICTURE[::-1] * 2, "x y" * 2000, "=" * 6000],
    ids=["cut in front", "no picture", "backwards", "no base64", "signs"],
)
def test_a_text_that_is_no_picture_fails_with_its_row(value: str) -> None:
    """VLMEvalKit's SimpleVQA and TextVQA had such cells (its issues 1380 and 237)."""
    with pytest.raises(MediaError, match="no base64 of a picture") as caught:
        media(value)
    assert caught.value.where == "a.tsv:2"
    assert len(str(caught.value)) < 300


def test_half_a_picture_fails_when_it_is_opened() -> None:
    (part,) = media(PICTURE[: len(PICTURE) // 2 // 4 * 4])
    with pytest.raises(MediaError):
        pixels(part)


@pytest.mark.parametrize("value", [7, True, {"url": "a"}, {"a": 1}, object()])
def test_a_cell_of_another_kind_is_refused(value: Any) -> None:
    with pytest.raises(EvaluationError, match="a picture or film is") as caught:
        media(value)
    assert caught.value.where == "a.tsv:2"
