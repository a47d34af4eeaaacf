"""Pictures of phones (HEIC), with pillow-heif and without it."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path
from typing import Any

import numpy
import PIL.Image
import pytest

from qwenvl_kit import MediaPolicy, Size, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MediaDecodeError, MediaSizeError, MissingPackageError
from qwenvl_kit.media.images import decode_image, measure_image
from tests.by_hand import picture
from tests.media import colour_profiles as profiles

POLICY = MediaPolicy()
pillow_heif = pytest.importorskip("pillow_heif")


def _heic(image: PIL.Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image or picture(64, 48, 3)).save(buffer, quality=-1, **options)
    return buffer.getvalue()


HEIC = _heic()


def _is_the_picture(source: Any, policy: MediaPolicy = POLICY) -> bool:
    shown = numpy.asarray(decode_image(source, policy)).astype(int)
    close = numpy.abs(shown - numpy.asarray(picture(64, 48, 3))).mean() < 12
    return bool(close) and measure_image(source, policy) == Size(48, 64)


def test_a_picture_of_a_phone_is_read_from_every_source(tmp_path: Path) -> None:
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(HEIC)
    encoded = base64.b64encode(HEIC).decode()
    for source in (path, HEIC, f"data:image/heic;base64,{encoded}", encoded, io.BytesIO(HEIC)):
        assert _is_the_picture(source)
    assert _is_the_picture(path, MediaPolicy(image_formats=["HEIF"]))


def test_it_is_read_in_the_decoding_process_too() -> None:
    apart = MediaPolicy(isolate_images=True)
    assert decode_image(HEIC, apart).tobytes() == decode_image(HEIC, POLICY).tobytes()
    assert measure_image(HEIC, apart) == Size(48, 64)


def test_it_stands_upright_and_once() -> None:
    image = picture(64, 48, 3)
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    turned = _heic(image, exif=exif.tobytes())
    assert measure_image(turned, POLICY) == Size(64, 48)
    assert decode_image(turned, POLICY).size == (48, 64)


def test_its_colours_are_those_of_its_profile() -> None:
    image = PIL.Image.new("RGB", (64, 48), (220, 30, 30))
    image.info["icc_profile"] = profiles.exchanged()
    shown = decode_image(_heic(image), POLICY).getpixel((20, 20))
    assert numpy.abs(numpy.array(shown) - (30, 30, 220)).max() <= 6


def test_its_transparent_parts_are_white() -> None:
    clear = PIL.Image.new("RGBA", (64, 48), (10, 10, 10, 0))
    assert min(decode_image(_heic(clear), POLICY).getpixel((5, 5))) > 250


def test_pillow_does_not_know_the_format_afterwards() -> None:
    decode_image(HEIC, POLICY)
    assert "HEIF" not in PIL.Image.OPEN


def test_an_object_that_the_caller_opened_is_read_and_stays_as_it_was() -> None:
    image = pillow_heif.HeifImageFile(io.BytesIO(HEIC))
    assert decode_image(image, POLICY).tobytes() == decode_image(HEIC, POLICY).tobytes()
    assert image.convert("RGB").tobytes() == decode_image(HEIC, POLICY).tobytes()


def test_a_policy_that_leaves_it_out_says_so_and_never_that_it_is_a_film() -> None:
    with pytest.raises(MediaDecodeError, match="HEIF") as caught:
        decode_image(HEIC, MediaPolicy(image_formats=["JPEG"]))
    assert "VideoPart" not in str(caught.value)
    assert '"HEIF"' in caught.value.hint


@pytest.mark.parametrize("isolated", [False, True])
def test_without_the_package_the_command_that_installs_it_is_told(
    isolated: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if isolated:  # a module of that name that cannot be imported
        (tmp_path / "pillow_heif.py").write_text("raise ImportError('none')")
        monkeypatch.syspath_prepend(tmp_path)
        from qwenvl_kit.media.isolation.process_pool import POOL

        POOL.close()
    else:
        monkeypatch.setitem(sys.modules, "pillow_heif", None)
    policy = MediaPolicy(isolate_images=isolated)
    chat = VisionChat(ScriptedBackend(["x"]), media=policy)
    with pytest.raises(MissingPackageError) as caught:
        chat.ask("What is this?", HEIC)
    assert caught.value.hint == "pip install 'qwenvl-kit[heic]'"
    assert "VideoPart" not in str(caught.value)
    assert decode_image(_png(), policy).size == (64, 48)  # other pictures need nothing
    if isolated:
        POOL.close()


@pytest.mark.parametrize("cut", [20, 40, 100, 300, len(HEIC) // 2, len(HEIC) - 50])
def test_one_that_is_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(MediaDecodeError):
        decode_image(HEIC[:cut], POLICY)


def test_one_that_is_too_large_is_refused_by_its_header() -> None:
    with pytest.raises(MediaSizeError, match="3072 pixels"):
        measure_image(HEIC, MediaPolicy(max_pixels=1000))


def test_avif_is_still_read_by_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    buffer = io.BytesIO()
    picture(64, 48, 3).save(buffer, "AVIF", quality=95)
    assert _is_the_picture(buffer.getvalue())


def test_a_film_in_the_same_container_is_still_called_a_film() -> None:
    with pytest.raises(MediaDecodeError) as caught:
        decode_image(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(50), POLICY)
    assert "VideoPart" in caught.value.hint


def _png() -> bytes:
    buffer = io.BytesIO()
    picture(64, 48, 3).save(buffer, "PNG")
    return buffer.getvalue()
