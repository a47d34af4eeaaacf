"""Pictures are shown in the colours that their profile says, and damaged profiles do no harm."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy
import PIL.Image
import pytest
from PIL import ImageCms

from qwenvl_kit import MediaPolicy, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.media.fingerprints import identify_source
from qwenvl_kit.media.images import decode_image, read_header
from tests.by_hand import picture
from tests.media import colour_profiles as profiles

POLICY = MediaPolicy()
RED, BLUE = (220, 30, 30), (30, 30, 220)


def _encoded(image: PIL.Image.Image, format_name: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def _pixels(source: Any, policy: MediaPolicy = POLICY) -> numpy.ndarray[Any, Any]:
    return numpy.asarray(decode_image(source, policy)).astype(int)


def _by_hand(image: PIL.Image.Image, profile: bytes) -> numpy.ndarray[Any, Any]:
    """As Pillow's own documentation converts a picture."""
    target = ImageCms.createProfile("sRGB")
    shown = ImageCms.profileToProfile(image, profiles.opened(profile), target, outputMode="RGB")
    return numpy.asarray(shown).astype(int)


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("profile", [profiles.exchanged(), profiles.display_p3()])
def test_a_picture_has_the_colours_that_its_profile_says(format_name: str, profile: bytes) -> None:
    content = _encoded(picture(48, 32, 3), format_name, icc_profile=profile)
    stored = PIL.Image.open(io.BytesIO(content)).convert("RGB")
    assert numpy.abs(_pixels(content) - _by_hand(stored, profile)).max() <= 1
    assert numpy.abs(_pixels(content) - numpy.asarray(stored)).max() > 4


@pytest.mark.parametrize("as_object", [False, True])
def test_a_profile_counts_in_files_and_in_pillow_objects(as_object: bool) -> None:
    content = _encoded(PIL.Image.new("RGB", (8, 8), RED), icc_profile=profiles.exchanged())
    source = PIL.Image.open(io.BytesIO(content)) if as_object else content
    assert numpy.abs(_pixels(source)[0, 0] - BLUE).max() <= 2
    if as_object:
        assert source.info["icc_profile"] == profiles.exchanged()  # the caller's own is as it was


def test_a_profile_of_srgb_changes_no_pixel() -> None:
    image = picture(64, 48, 5)
    content = _encoded(image, icc_profile=profiles.srgb())
    assert decode_image(content, POLICY).tobytes() == image.tobytes()
    assert read_header(content, POLICY).is_plain


def test_a_picture_of_other_colours_is_not_one_that_every_program_shows_alike() -> None:
    assert not read_header(
        _encoded(picture(8, 8, 1), icc_profile=profiles.display_p3()), POLICY
    ).is_plain


def test_transparent_parts_are_white_after_the_colours_are_converted() -> None:
    image = PIL.Image.new("RGBA", (4, 1), (*RED, 255))
    image.putpixel((0, 0), (*RED, 0))
    image.putpixel((1, 0), (*RED, 128))
    clear, half, full = _pixels(_encoded(image, icc_profile=profiles.exchanged()))[0, :3]
    assert clear.tolist() == [255, 255, 255]
    assert numpy.abs(full - BLUE).max() <= 2
    assert numpy.abs(half - (full + 255) / 2).max() <= 2


@pytest.mark.parametrize("mode", ["P", "RGBA", "RGBX", "YCbCr", "PA", "RGBa"])
def test_a_profile_counts_in_every_mode_of_colour(mode: str) -> None:
    image = PIL.Image.new("RGBA" if mode in ("PA", "RGBa") else "RGB", (4, 4), RED)
    image = image.quantize(4) if mode == "P" else image.convert(mode)
    image.info["icc_profile"] = profiles.exchanged()
    assert numpy.abs(_pixels(image)[0, 0] - BLUE).max() <= 4


def test_a_transparent_colour_is_white_beside_colours_that_are_converted() -> None:
    image = PIL.Image.new("RGB", (2, 1), RED)
    image.putpixel((0, 0), (0, 0, 0))
    content = _encoded(image, transparency=(0, 0, 0), icc_profile=profiles.exchanged())
    clear, full = _pixels(content)[0]
    assert clear.tolist() == [255, 255, 255]
    assert numpy.abs(full - BLUE).max() <= 2


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_of_a_profile_has_the_lightness_that_it_says(mode: str) -> None:
    image = PIL.Image.new("L", (4, 4), 55).convert(mode)
    image.info["icc_profile"] = profiles.linear_grey()
    lightness = _pixels(image)[0, 0]
    assert set(lightness) == ({0} if mode == "1" else {128})  # 0.2158 of light is 0.5 in sRGB


def test_deep_grey_is_scaled_and_then_shown_by_its_profile() -> None:
    image = PIL.Image.new("I;16", (4, 4), 55 * 257)
    image.info["icc_profile"] = profiles.linear_grey()
    assert set(_pixels(image)[0, 0]) == {128}


def test_inks_are_shown_as_their_profile_says() -> None:
    image = PIL.Image.new("CMYK", (16, 16), (0, 0, 255, 0))
    plain = _pixels(_encoded(image, "JPEG", quality=95))[0, 0]
    shown = _pixels(_encoded(image, "JPEG", quality=95, icc_profile=profiles.printer()))[0, 0]
    assert plain[0] > 250
    assert plain[1] > 250
    assert shown[0] > 200
    assert shown[1] < 60
    white = PIL.Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    assert _pixels(_encoded(white, "TIFF", icc_profile=profiles.printer())).min() >= 250


HARMFUL = {
    "empty": b"",
    "no profile": b"not a profile at all",
    "cut": profiles.display_p3()[:200],
    "cut in its table": profiles.display_p3()[:140],
    "endless": profiles.display_p3()[:128] + b"\xff\xff\xff\xff" + profiles.display_p3()[132:],
    "huge": profiles.display_p3() + bytes(5 * 2**20),
    "of inks": profiles.printer(),
    "of grey": profiles.linear_grey(),
    "of Lab": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    "of XYZ": ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes(),
    "of a class that does not exist": profiles.display_p3().replace(b"mntr", b"zzzz"),
    "without its curves": profiles.display_p3().replace(b"rTRC", b"xTRC"),
    "zeros": bytes(3144),
}


@pytest.mark.parametrize("name", HARMFUL)
def test_a_profile_that_is_damaged_or_of_other_pixels_changes_nothing(name: str) -> None:
    image = picture(20, 10, 2)
    image.info["icc_profile"] = HARMFUL[name]
    assert decode_image(image, POLICY).tobytes() == image.tobytes()


@pytest.mark.parametrize("at", range(0, 560, 7))
def test_a_profile_with_any_byte_changed_is_a_picture_all_the_same(at: int) -> None:
    profile = bytearray(profiles.display_p3())
    profile[at] ^= 0xFF
    image = picture(20, 10, 2)
    image.info["icc_profile"] = bytes(profile)
    assert decode_image(image, POLICY).size == (20, 10)


def test_a_profile_for_colours_beside_grey_pixels_changes_nothing() -> None:
    image = picture(20, 10, 2).convert("L")
    image.info["icc_profile"] = profiles.exchanged()
    assert decode_image(image, POLICY).tobytes() == image.convert("RGB").tobytes()


def test_a_picture_whose_information_is_odd_is_a_picture_all_the_same() -> None:
    for odd in ("text", 3, None, bytearray(b"x")):
        image = picture(20, 10, 2)
        image.info["icc_profile"] = odd
        assert decode_image(image, POLICY).tobytes() == image.tobytes()


def test_the_decoding_process_shows_the_same_colours() -> None:
    content = _encoded(picture(48, 32, 3), icc_profile=profiles.display_p3())
    apart = MediaPolicy(isolate_images=True)
    assert (_pixels(content, apart) == _pixels(content)).all()


def test_colours_are_the_same_in_every_thread() -> None:
    contents = [
        _encoded(picture(200, 100, 3), icc_profile=profile)
        for profile in (profiles.display_p3(), profiles.exchanged(), profiles.srgb())
    ]
    expected = [decode_image(content, POLICY).tobytes() for content in contents]
    with ThreadPoolExecutor(8) as pool:
        decoded = list(
            pool.map(lambda index: decode_image(contents[index % 3], POLICY).tobytes(), range(48))
        )
    assert decoded == expected * 16


def test_pictures_of_the_same_numbers_and_other_profiles_have_other_identities() -> None:
    plain, wide = picture(20, 10, 2), picture(20, 10, 2)
    wide.info["icc_profile"] = profiles.display_p3()
    assert identify_source(plain, POLICY) != identify_source(wide, POLICY)


def test_what_was_converted_does_not_carry_its_old_profile_to_a_server() -> None:
    backend = ScriptedBackend(["yes"])
    wide = picture(56, 56, 2)
    wide.info["icc_profile"] = profiles.display_p3()
    VisionChat(backend).ask("What?", wide)
    (shown,) = backend.requests[0].media
    assert "icc_profile" not in shown.info
