"""What is cut short is refused, whatever others have told Pillow for all of the process."""

from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import PIL.Image
import pytest
from PIL import ImageFile

from qwenvl_kit import MediaPolicy
from qwenvl_kit.errors import MediaDecodeError
from qwenvl_kit.media.images import decode_image, measure_image
from tests.by_hand import picture

POLICY = MediaPolicy()
FORMATS = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"]


def _encoded(format_name: str) -> bytes:
    buffer = io.BytesIO()
    picture(320, 240, 1).save(buffer, format_name)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def _others_accept_what_is_cut() -> Iterator[None]:
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    yield
    ImageFile.LOAD_TRUNCATED_IMAGES = False


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_picture_that_is_cut_short_is_refused_all_the_same(
    format_name: str, tmp_path: Path
) -> None:
    content = _encoded(format_name)
    cut = content[: len(content) * 2 // 3]
    (tmp_path / "a").write_bytes(cut)
    for source in (cut, tmp_path / "a", io.BytesIO(cut)):
        with pytest.raises(MediaDecodeError):
            decode_image(source, POLICY)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize("format_name", FORMATS)
def test_a_whole_picture_is_the_same_picture(format_name: str) -> None:
    content = _encoded(format_name)
    shown = decode_image(content, POLICY).tobytes()
    assert measure_image(content, POLICY).area_pixels == 320 * 240
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    assert shown == decode_image(content, POLICY).tobytes()


def test_an_object_that_was_not_read_yet_is_refused_too() -> None:
    content = _encoded("JPEG")
    image = PIL.Image.open(io.BytesIO(content[: len(content) // 2]))
    with pytest.raises(MediaDecodeError, match="damaged or cut short"):
        decode_image(image, POLICY)


def test_what_the_caller_has_read_by_that_rule_is_shown_as_it_is() -> None:
    content = _encoded("JPEG")
    image = PIL.Image.open(io.BytesIO(content[: len(content) // 2]))
    image.load()
    assert decode_image(image, POLICY).tobytes() == image.tobytes()


def test_the_setting_is_nobodys_to_change_while_others_decode() -> None:
    content = _encoded("JPEG")
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(decode_image, content, POLICY) for _ in range(3)]
        seen = {ImageFile.LOAD_TRUNCATED_IMAGES for _ in range(10_000)}
        assert len({future.result().tobytes() for future in futures}) == 1
    assert seen == {True}
