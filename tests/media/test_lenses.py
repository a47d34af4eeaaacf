"""The lens of a picture is read from its EXIF, and nothing is guessed where there is none."""

from __future__ import annotations

import io
from pathlib import Path

import numpy
import PIL.Image
import pytest

from qwenvl_kit import MediaPolicy, Size
from qwenvl_kit.media.lenses import Lens, read_lens

RED = PIL.Image.new("RGB", (64, 48), "red")


def picture(focal: object = 26, form: str = "JPEG", **tags: object) -> bytes:
    """A picture with a focal length in its EXIF, and other tags by number."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 1  # without a tag of its own, Pillow takes EXIF for empty
    folder = exif.get_ifd(0x8769)
    folder[0xA405] = focal
    for tag, value in tags.items():
        folder[int(tag.removeprefix("tag"), 16)] = value
    buffer = io.BytesIO()
    RED.save(buffer, form, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_the_equivalent_focal_length_is_that_of_the_exif(form: str) -> None:
    assert read_lens(picture(form=form), MediaPolicy()) == Lens(26.0, None)


def test_files_and_pillow_objects_tell_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(picture(tagA002=4000, tagA003=3000))
    expected = Lens(26.0, Size(height_px=3000, width_px=4000))
    assert read_lens(path, MediaPolicy()) == expected
    with PIL.Image.open(path) as opened:
        assert read_lens(opened, MediaPolicy()) == expected
        assert opened.getexif().get_ifd(0x8769)[0xA405] == 26


@pytest.mark.parametrize("focal", [0, 65535])
def test_an_unknown_or_impossible_focal_length_is_none(focal: int) -> None:
    assert read_lens(picture(focal), MediaPolicy()) is None


def test_pictures_without_exif_have_no_lens() -> None:
    plain = io.BytesIO()
    RED.save(plain, "JPEG")
    for source in (plain.getvalue(), RED, numpy.zeros((8, 8, 3), numpy.uint8)):
        assert read_lens(source, MediaPolicy()) is None


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_is_no_lens_and_no_error() -> None:
    whole = picture()
    at = whole.index(b"Exif")
    damaged = whole[: at + 10] + b"\xff" * 30 + whole[at + 40 :]
    assert read_lens(damaged, MediaPolicy()) is None
