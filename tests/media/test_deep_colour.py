"""Colour of 16 bits, dark floats and values with a sign: refused where they would come black."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy
import PIL.Image
import pytest

from qwenvl_kit import MediaPolicy
from qwenvl_kit.errors import MediaArrayError
from qwenvl_kit.media.images import decode_image

POLICY = MediaPolicy()
RAMP = numpy.tile(numpy.linspace(0, 1, 64), (48, 1))
_COLOUR_TYPES = {2: 4, 3: 2, 4: 6}


def _channels(top: int, num_channels: int) -> Any:
    """A ramp of 16 bits in each channel; alpha, where there is one, is opaque."""
    values = numpy.repeat((RAMP * top).astype("uint16")[:, :, None], num_channels, axis=2)
    if num_channels != 3:
        values[:, :, -1] = 65535
    return values


def _png(values: Any) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width, num_channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[num_channels], 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def _tiff(values: Any, sample_format: int = 1) -> bytes:
    """An uncompressed TIFF of an array (H, W) or (H, W, 3), its bytes in little-endian order."""
    height, width, *more = values.shape
    num_channels, bits = (more or [1])[0], values.itemsize * 8
    at = 8 + 2 + 12 * 10 + 4
    tags = [
        (256, 1, width),
        (257, 1, height),
        (258, num_channels, bits if num_channels == 1 else at),
        (259, 1, 1),
        (262, 1, 2 if num_channels == 3 else 1),
        (273, 1, at + 8),
        (277, 1, num_channels),
        (278, 1, height),
        (279, 1, values.nbytes),
        (339, 1, sample_format),
    ]
    entries = b"".join(
        struct.pack("<HHII", number, 4 if number in (273, 279) else 3, count, value)
        for number, count, value in tags
    )
    deep = struct.pack("<4H", bits, bits, bits, bits)
    little = values.astype(values.dtype.newbyteorder("<")).tobytes()
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 10) + entries + bytes(4) + deep + little


def _sources(top: int) -> dict[str, bytes]:
    rgb = _channels(top, 3)
    return {
        "PNG of RGB": _png(rgb),
        "PNG of grey and alpha": _png(_channels(top, 2)),
        "PNG of RGBA": _png(_channels(top, 4)),
        "TIFF of RGB": _tiff(rgb),
    }


NAMES = list(_sources(0))


@pytest.mark.parametrize("top", [9, 255, 4095, 8000])
@pytest.mark.parametrize("name", NAMES)
def test_colour_of_16_bits_in_the_lowest_eighth_is_refused_and_not_shown_black(
    name: str, top: int
) -> None:
    content = _sources(top)[name]
    for source in (content, PIL.Image.open(io.BytesIO(content))):
        with pytest.raises(MediaArrayError, match="colour of 16 bits") as caught:
            decode_image(source, POLICY)
        assert "values / values.max()" in caught.value.hint


def test_12_bits_of_colour_in_a_ppm_of_16_are_refused() -> None:
    content = b"P6 64 48 65535\n" + _channels(4095, 3).astype(">u2").tobytes()
    with pytest.raises(MediaArrayError, match="colour of 16 bits"):
        decode_image(content, POLICY)


@pytest.mark.parametrize("name", NAMES)
def test_colour_of_16_bits_that_is_bright_or_all_black_is_shown(name: str) -> None:
    for top in (0, 9_000, 65_535):
        shown = numpy.asarray(decode_image(_sources(top)[name], POLICY)).astype(int)
        assert numpy.abs(shown[:, :, 0] - RAMP * top / 257).max() <= 1.1


def test_a_dark_picture_of_8_bits_is_shown_as_it_is() -> None:
    dark = numpy.repeat((RAMP * 12).astype("uint8")[:, :, None], 3, axis=2)
    for format_name in ("PNG", "TIFF", "BMP"):
        buffer = io.BytesIO()
        PIL.Image.fromarray(dark).save(buffer, format_name)
        assert (numpy.asarray(decode_image(buffer.getvalue(), POLICY)) == dark).all()


@pytest.mark.parametrize("form", ["array", "colour", "Pillow", "TIFF"])
def test_floats_that_were_divided_by_255_twice_are_refused_with_their_cure(form: str) -> None:
    values = (RAMP / 255).astype("float32")
    sources: dict[str, Any] = {
        "array": values,
        "colour": numpy.repeat(values[:, :, None], 3, axis=2),
        "Pillow": PIL.Image.fromarray(values),
        "TIFF": _tiff(values, sample_format=3),
    }
    with pytest.raises(MediaArrayError, match="all but black") as caught:
        decode_image(sources[form], POLICY)
    names = {"numpy": numpy, "array": sources[form], "image": PIL.Image.fromarray(values)}
    cured = decode_image(eval(caught.value.hint.partition(",")[0], names), POLICY)
    assert numpy.asarray(cured).max() == 255


def test_floats_of_a_dark_picture_are_shown_as_its_bytes_are() -> None:
    for top in (1, 3, 30):
        dark = numpy.rint(RAMP * top).astype("uint8")
        for kind in ("float32", "float64"):
            shown = numpy.asarray(decode_image((dark / 255).astype(kind), POLICY))
            assert (shown[:, :, 0] == dark).all()


def test_a_tiff_of_bytes_with_a_sign_is_refused_with_its_cure() -> None:
    content = _tiff((RAMP * 200 - 100).astype("int8"), sample_format=2)
    with pytest.raises(MediaArrayError, match="from -100 to 100") as caught:
        decode_image(content, POLICY)
    names = {"numpy": numpy, "image": PIL.Image.open(io.BytesIO(content))}
    cured = numpy.asarray(decode_image(eval(caught.value.hint, names), POLICY))[0, :, 0]
    assert (numpy.diff(cured.astype(int)) >= 0).all()
    assert (cured[0], cured[-1]) == (0, 255)


def test_a_tiff_of_32_bits_without_a_sign_is_told_and_cured_as_such() -> None:
    content = _tiff((RAMP * (2**32 - 1)).astype("uint32"))
    with pytest.raises(MediaArrayError, match="from 0 to 4294967295") as caught:
        decode_image(content, POLICY)
    names = {"numpy": numpy, "image": PIL.Image.open(io.BytesIO(content))}
    cured = numpy.asarray(decode_image(eval(caught.value.hint, names), POLICY))[0, :, 0]
    assert (numpy.diff(cured.astype(int)) >= 0).all()
    assert (cured[0], cured[-1]) == (0, 255)
