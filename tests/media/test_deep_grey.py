"""Grey of more than 8 bits: one rule from every source, and what has no meaning is refused."""

from __future__ import annotations

import io
import itertools
import struct
from typing import Any

import numpy
import PIL.Image
import pytest

from qwenvl_kit import MediaPolicy, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MediaArrayError
from qwenvl_kit.media.images import decode_image

POLICY = MediaPolicy()
RAMP = numpy.tile(numpy.linspace(0, 1, 64), (48, 1))


def _grey(values: Any) -> PIL.Image.Image:
    return PIL.Image.fromarray(numpy.asarray(values))


def _encoded(image: PIL.Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def _decoded(source: Any, policy: MediaPolicy = POLICY) -> numpy.ndarray[Any, Any]:
    return numpy.asarray(decode_image(source, policy))[:, :, 0].astype(int)


def _as_mode(values: Any, mode: str) -> PIL.Image.Image:
    order = {"I": "int32", "I;16": "<u2", "I;16L": "<u2", "I;16B": ">u2", "I;16N": "=u2"}[mode]
    height, width = values.shape
    return PIL.Image.frombytes(mode, (width, height), values.astype(order).tobytes())


def _sources_of_16_bits(values: Any) -> dict[str, Any]:
    """The same values from everything that holds 16 bits of grey."""
    image = _grey(values)
    buffer = io.BytesIO()
    buffer.write(b"P5 %d %d 65535\n" % image.size + values.astype(">u2").tobytes())
    return {
        **{mode: _as_mode(values, mode) for mode in ("I", "I;16", "I;16L", "I;16B", "I;16N")},
        "PNG": _encoded(image, "PNG"),
        "TIFF": _encoded(image, "TIFF"),
        "TIFF, packed": _encoded(image, "TIFF", compression="tiff_adobe_deflate"),
        "JPEG 2000": _encoded(image, "JPEG2000"),
        "PGM": buffer.getvalue(),
    }


@pytest.mark.parametrize("top", [9_000, 16_383, 40_000, 65_535])
def test_16_bits_are_the_same_grey_from_files_and_from_pillow(top: int) -> None:
    values = (RAMP * top).astype("uint16")
    for name, source in _sources_of_16_bits(values).items():
        assert numpy.abs(_decoded(source) - values / 257).max() <= 0.51, name


def test_the_scale_does_not_depend_on_the_values() -> None:
    pictures = [PIL.Image.new("I", (4, 4), value) for value in range(8_192, 65_536, 97)]
    greys = [int(_decoded(image)[0, 0]) for image in pictures]
    assert greys == sorted(greys)
    assert max(b - a for a, b in itertools.pairwise(greys)) <= 1


@pytest.mark.parametrize("top", [1, 5, 255, 256, 1023, 4095, 8000])
def test_values_in_the_lowest_eighth_are_refused_and_not_shown_black(top: int) -> None:
    values = numpy.rint(RAMP * top).astype("uint16")
    for name, source in _sources_of_16_bits(values).items():
        with pytest.raises(MediaArrayError, match=f"{top} is the brightest of 65535") as caught:
            decode_image(source, POLICY)
        opened = PIL.Image.open(io.BytesIO(source)) if isinstance(source, bytes) else source
        cured = _decoded(eval(caught.value.hint, {"numpy": numpy, "image": opened}))
        assert (cured[0, 0], cured[0, -1]) == (0, 255), name


def test_a_picture_that_is_all_black_is_black() -> None:
    for mode in ("I", "I;16", "I;16B", "F"):
        assert _decoded(PIL.Image.new(mode, (4, 4))).max() == 0


def test_12_bits_that_a_tiff_declares_are_scaled_by_12_bits() -> None:
    values = (RAMP * 4095).astype("uint16")
    packed = bytearray()
    for first, second in values.reshape(-1, 2).tolist():
        packed += bytes([first >> 4, (first & 15) << 4 | second >> 8, second & 255])
    assert numpy.abs(_decoded(_tiff(bytes(packed), bits=12)) - values / 4095 * 255).max() <= 0.51


def test_a_tiff_that_counts_from_white_down_is_turned_over() -> None:
    values = (RAMP * 65535).astype("uint16")
    negative = _decoded(_tiff(values.tobytes(), bits=16, photometric=0))
    assert numpy.abs(negative - (255 - values / 257)).max() <= 0.51


def test_a_transparent_value_of_16_bits_is_white() -> None:
    values = (RAMP * 65535).astype("uint16")
    values[:4] = 30_000
    pixels = _decoded(_encoded(_grey(values), "PNG", transparency=30_000))
    assert set(pixels[:4].ravel()) == {255}
    assert pixels[8, 0] == 0


@pytest.mark.parametrize("form", ["object", "TIFF", "array"])
def test_floats_from_0_to_1_are_the_same_grey_from_every_source(form: str) -> None:
    values = RAMP.astype("float32")
    sources = {"object": _grey(values), "TIFF": _encoded(_grey(values), "TIFF"), "array": values}
    assert (_decoded(sources[form]) == numpy.rint(values * 255)).all()


BEYOND = {
    "slightly above": RAMP * 1.001,
    "slightly below": RAMP - 0.001,
    "metres": RAMP * 5,
    "bytes": numpy.rint(RAMP * 255),
    "16 bits": RAMP * 65535,
    "a million": RAMP * 1e6,
    "not a number": numpy.where(RAMP < 0.1, numpy.nan, RAMP),
    "far away": numpy.where(RAMP > 0.9, numpy.inf, RAMP * 3),
    "below everything": numpy.where(RAMP < 0.1, -numpy.inf, RAMP),
}


@pytest.mark.parametrize("name", BEYOND)
def test_floats_beyond_0_to_1_are_refused_alike_from_every_source(name: str) -> None:
    values = BEYOND[name].astype("float32")
    for source in (_grey(values), _encoded(_grey(values), "TIFF"), values):
        with pytest.raises(MediaArrayError) as caught:
            decode_image(source, POLICY)
        names = {"numpy": numpy, "image": _grey(values), "array": values}
        cured = _decoded(eval(caught.value.hint, names))
        assert cured.min() <= 30
        assert cured.max() == 255


@pytest.mark.parametrize(
    "values", [RAMP * 4000 - 1000, RAMP * 100_000, RAMP * -5, RAMP * 2**31 - 1]
)
def test_whole_numbers_beyond_16_bits_are_refused(values: Any) -> None:
    image = _grey(values.astype("int32"))
    for source in (image, _encoded(image, "TIFF")):
        with pytest.raises(MediaArrayError, match="expected whole numbers from 0") as caught:
            decode_image(source, POLICY)
        cured = _decoded(eval(caught.value.hint, {"numpy": numpy, "image": image}))
        assert (cured.min(), cured.max()) == (0, 255)


@pytest.mark.parametrize("mode", ["I", "I;16", "F"])
def test_the_decoding_process_keeps_the_same_rule(mode: str) -> None:
    apart = MediaPolicy(isolate_images=True)
    top = 1.0 if mode == "F" else 65535
    dtype = {"I": "int32", "I;16": "uint16", "F": "float32"}[mode]
    sound = _encoded(_grey((RAMP * top).astype(dtype)), "TIFF")
    assert (_decoded(sound, apart) == _decoded(sound)).all()
    beyond = _encoded(_grey((RAMP * top / 20 + (mode == "F") * 3).astype(dtype)), "TIFF")
    problems = []
    for policy in (POLICY, apart):
        with pytest.raises(MediaArrayError) as caught:
            decode_image(beyond, policy)
        problems.append((caught.value.problem, caught.value.hint))
    assert problems[0] == problems[1]


def test_a_question_about_a_depth_map_says_which_part_and_how_to_scale_it() -> None:
    chat = VisionChat(ScriptedBackend(["x"]))
    with pytest.raises(MediaArrayError) as caught:
        chat.ask("How far?", _grey((RAMP * 5).astype("float32")))
    assert caught.value.where == "messages[0].parts[0]"
    assert "(numpy.asarray(image) / 5.0).clip(0, 1)" in str(caught.value)


def _tiff(pixels: bytes, *, bits: int, photometric: int = 1) -> bytes:
    """An uncompressed TIFF of the ramp's size, its tags of two kinds: numbers of 16 and 32 bits."""
    short, long, at = 3, 4, 8 + 2 + 12 * 10 + 4
    tags = [
        (256, short, 64),
        (257, short, 48),
        (258, short, bits),
        (259, short, 1),
        (262, short, photometric),
        (273, long, at),
        (277, short, 1),
        (278, short, 48),
        (279, long, len(pixels)),
        (339, short, 1),
    ]
    entries = b"".join(struct.pack("<HHII", number, kind, 1, value) for number, kind, value in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + pixels
