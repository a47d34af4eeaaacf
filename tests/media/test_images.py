from __future__ import annotations

import io

import numpy
import PIL.Image
import PIL.ImageOps
import PIL.PngImagePlugin
import pytest

from qwenvl_kit import MediaPolicy, Size
from qwenvl_kit.errors import MediaDecodeError, MediaSizeError
from qwenvl_kit.media.images import decode_image, measure_image, resize_image

POLICY = MediaPolicy()
MODES = [
    "1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB",
    "I", "F", "I;16", "I;16B", "I;16L", "I;16N",
]  # fmt: skip
ORIENTATIONS = range(1, 9)


def _encoded(image: PIL.Image.Image, format_name: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def _corners() -> PIL.Image.Image:
    """A picture, wider than high, that no turn or flip maps onto itself."""
    image = PIL.Image.new("RGB", (48, 32), "black")
    image.paste("red", (0, 0, 16, 16))
    image.paste("lime", (32, 0, 48, 16))
    image.paste("blue", (0, 16, 16, 32))
    return image


def _turned(orientation: int, format_name: str = "PNG") -> bytes:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return _encoded(_corners(), format_name, exif=exif)


def _upright(orientation: int) -> PIL.Image.Image:
    """What EXIF 2.32 says of tag 274, by rows and columns."""
    pixels = numpy.asarray(_corners())
    turned = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: pixels[::-1].transpose(1, 0, 2),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: pixels[:, ::-1].transpose(1, 0, 2),
    }
    return PIL.Image.fromarray(numpy.ascontiguousarray(turned[orientation]))


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_every_mode_becomes_rgb_of_the_same_size(mode):
    image = PIL.Image.new(mode, (5, 3))
    decoded = decode_image(image, POLICY)
    assert (decoded.mode, decoded.size) == ("RGB", (5, 3))
    assert measure_image(image, POLICY) == Size(height_px=3, width_px=5)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"]
)
def test_colours_keep_their_meaning_in_every_mode(mode):
    white = PIL.Image.new("RGB", (4, 4), "white").convert(mode)
    black = PIL.Image.new("RGB", (4, 4), "black").convert(mode)
    assert numpy.asarray(decode_image(white, POLICY)).min() >= 254
    assert numpy.asarray(decode_image(black, POLICY)).max() <= 1


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBA", "RGBa"])
def test_what_is_transparent_is_white(mode):
    clear = PIL.Image.new("RGBA", (3, 3), (0, 0, 0, 0))
    steps = {"La": ["LA", "La"]}.get(mode, [mode])
    for step in steps:
        clear = clear.convert(step)
    assert clear.mode == mode
    assert decode_image(clear, POLICY).getpixel((1, 1)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_of_a_picture_without_alpha_is_white(mode):
    image = PIL.Image.new("L", (2, 1), 0).convert(mode)
    image.putpixel(
        (1, 0), 0 if mode == "P" else PIL.Image.new(mode, (1, 1), "gray").getpixel((0, 0))
    )
    transparent = {"P": 0, "L": 0, "RGB": (0, 0, 0)}[mode]
    decoded = decode_image(_encoded(image, transparency=transparent), POLICY)
    assert decoded.getpixel((0, 0)) == (255, 255, 255)


def test_what_is_half_transparent_is_half_white():
    image = PIL.Image.new("RGBA", (2, 2), (255, 0, 0, 128))
    red, green, blue = decode_image(image, POLICY).getpixel((0, 0))
    assert (red, green, blue) == (255, pytest.approx(127, abs=1), pytest.approx(127, abs=1))


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L", "I"])
def test_grey_of_16_bits_is_scaled_and_not_clipped(mode):
    values = numpy.array([[0, 16384, 32768, 65535]], "uint16")
    image = PIL.Image.new(mode, (4, 1))
    for x, value in enumerate(values[0]):
        image.putpixel((x, 0), int(value))
    decoded = numpy.asarray(decode_image(image, POLICY))[0, :, 0].astype(int)
    assert numpy.abs(decoded - [0, 64, 128, 255]).max() <= 1


@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
def test_a_file_with_grey_of_16_bits_is_scaled_and_not_clipped(format_name):
    values = numpy.linspace(0, 65535, 64).astype("uint16").reshape(8, 8)
    data = _encoded(PIL.Image.fromarray(values), format_name)
    decoded = numpy.asarray(decode_image(data, POLICY))[:, :, 0]
    assert numpy.abs(decoded - values / 257.0).max() <= 1


def test_grey_in_floats_from_0_to_1_is_scaled():
    image = PIL.Image.fromarray(numpy.array([[0.0, 0.5, 1.0]], "float32"))
    decoded = numpy.asarray(decode_image(image, POLICY))[0, :, 0].astype(int)
    assert numpy.abs(decoded - [0, 127, 255]).max() <= 1


@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_exif_orientation_is_applied_once(orientation, format_name):
    options = {"lossless": True} if format_name == "WEBP" else {}
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = _encoded(_corners(), format_name, exif=exif, **options)
    expected = numpy.asarray(_upright(orientation))
    assert numpy.array_equal(numpy.asarray(decode_image(data, POLICY)), expected)


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_measured_size_is_the_decoded_size(orientation, format_name):
    data = _turned(orientation, format_name)
    decoded = decode_image(data, POLICY)
    assert measure_image(data, POLICY) == Size(decoded.height, decoded.width)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_the_orientation_of_a_picture_that_the_user_opened_is_applied_once(orientation):
    image = PIL.Image.open(io.BytesIO(_turned(orientation)))
    for _ in range(2):
        decoded = decode_image(image, POLICY)
        assert numpy.array_equal(numpy.asarray(decoded), numpy.asarray(_upright(orientation)))
        assert measure_image(image, POLICY) == Size(decoded.height, decoded.width)


def test_a_picture_that_the_user_turned_upright_already_is_not_turned_again():
    image = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(_turned(6))))
    decoded = decode_image(image, POLICY)
    assert numpy.array_equal(numpy.asarray(decoded), numpy.asarray(_upright(6)))


def test_an_orientation_that_stands_behind_the_pixels_of_a_png_counts():
    data = _turned(6)
    at = data.index(b"eXIf") - 4
    length = 12 + int.from_bytes(data[at : at + 4], "big")
    chunk, rest = data[at : at + length], data[:at] + data[at + length :]
    end = rest.index(b"IEND") - 4
    late = rest[:end] + chunk + rest[end:]
    assert measure_image(late, POLICY) == Size(height_px=48, width_px=32)
    assert numpy.array_equal(numpy.asarray(decode_image(late, POLICY)), numpy.asarray(_upright(6)))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
@pytest.mark.parametrize("exif", [b"Exif\x00\x00garbage", b"Exif\x00\x00MM\x00*\xff\xff\xff\xff"])
def test_damaged_exif_is_no_reason_to_refuse_a_sound_picture(exif):
    data = _encoded(_corners(), "JPEG", exif=exif)
    assert decode_image(data, POLICY).size == (48, 32)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_does_not_exist_is_ignored(orientation):
    assert decode_image(_turned(orientation), POLICY).size == (48, 32)


@pytest.mark.parametrize(
    "format_name", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000"]
)
def test_the_formats_of_photographs_and_screenshots_are_read(format_name):
    data = _encoded(PIL.Image.new("RGB", (20, 10), "red"), format_name)
    assert measure_image(data, POLICY) == Size(height_px=10, width_px=20)
    red, green, blue = decode_image(data, POLICY).getpixel((5, 5))
    assert red > 240
    assert max(green, blue) < 15


def test_a_picture_of_several_pictures_is_its_first():
    """As Samsung's and Apple's cameras write them (MPO)."""
    frames = [PIL.Image.new("RGB", (20, 10), colour) for colour in ("red", "blue")]
    data = _encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert decode_image(data, POLICY).getpixel((5, 5))[0] > 240


def test_an_animated_gif_is_its_first_frame():
    frames = [PIL.Image.new("RGB", (20, 10), colour) for colour in ("red", "blue", "lime")]
    data = _encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(data, POLICY).getpixel((5, 5)) == (255, 0, 0)


def test_formats_that_run_other_programs_are_not_read():
    with pytest.raises(MediaDecodeError, match="not a picture"):
        decode_image(_encoded(_corners(), "EPS"), POLICY)


@pytest.mark.parametrize("with_exif", [True, False])
def test_measuring_reads_the_header_and_decodes_nothing(monkeypatch, with_exif):
    data = _turned(6) if with_exif else _encoded(_corners())
    monkeypatch.setattr(PIL.PngImagePlugin.PngImageFile, "load", lambda _: pytest.fail("decoded"))
    long_side, short_side = 48, 32
    expected = Size(long_side, short_side) if with_exif else Size(short_side, long_side)
    assert measure_image(data, POLICY) == expected


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "BMP", "GIF"])
def test_a_picture_cut_off_after_its_header_measures_but_does_not_decode(format_name):
    data = _encoded(PIL.Image.effect_noise((64, 48), 50).convert("RGB"), format_name)
    data = data[: len(data) // 2]
    assert measure_image(data, POLICY) == Size(height_px=48, width_px=64)
    with pytest.raises(MediaDecodeError, match="damaged or cut short"):
        decode_image(data, POLICY)


@pytest.mark.parametrize("mode", MODES)
def test_a_users_picture_stays_as_it_was(mode):
    image = PIL.Image.new(mode, (5, 3))
    before = (image.mode, image.size, image.tobytes(), dict(image.info))
    decoded = resize_image(decode_image(image, POLICY), Size(2, 2))
    decoded.paste("red", (0, 0, 2, 2))
    assert (image.mode, image.size, image.tobytes(), dict(image.info)) == before


def test_a_picture_that_the_user_opened_keeps_its_orientation_and_its_pixels():
    image = PIL.Image.open(io.BytesIO(_turned(6)))
    decode_image(image, POLICY)
    assert image.getexif()[0x0112] == 6
    assert image.size == (48, 32)
    assert numpy.array_equal(numpy.asarray(image), numpy.asarray(_corners()))


def test_a_picture_that_the_user_closed_is_refused():
    image = PIL.Image.open(io.BytesIO(_encoded(_corners())))
    image.close()
    with pytest.raises(MediaDecodeError):
        decode_image(image, POLICY)


def test_a_picture_above_the_policys_limit_is_refused_by_its_header(monkeypatch):
    data = _encoded(PIL.Image.new("1", (2000, 1000)))
    monkeypatch.setattr(PIL.PngImagePlugin.PngImageFile, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(MediaSizeError, match="2000 x 1000 px") as caught:
        decode_image(data, MediaPolicy(max_pixels=10_000))
    assert "MediaPolicy(max_pixels=...)" in caught.value.hint


def test_a_picture_is_resized_to_the_size_asked_for():
    assert resize_image(_corners(), Size(height_px=28, width_px=56)).size == (56, 28)


def test_grey_of_16_bits_is_scaled_by_the_range_of_its_type_whatever_it_holds():
    for value, expected in ((0, 0), (8192, 32), (8193, 32), (32768, 128), (65535, 255)):
        picture = PIL.Image.new("I;16", (4, 4), value)
        assert decode_image(picture, MediaPolicy()).getpixel((0, 0)) == (expected,) * 3
