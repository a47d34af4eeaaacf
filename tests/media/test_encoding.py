from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as arrays

from qwenvl_kit import MediaPolicy
from qwenvl_kit.errors import MediaArrayError, MediaDecodeError, MediaSourceError
from qwenvl_kit.media.encoding import source_url
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.policy import DEFAULT_POLICY


@pytest.mark.parametrize(
    "url",
    ["https://example.com/a.png?b=c#d", "http://a/b", "file:///a%20b.png", "data:image/png,x"],
)
def test_a_url_stays_as_it_is(url):
    assert source_url(url, DEFAULT_POLICY) == url


def test_a_path_becomes_a_file_url_from_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert source_url("a b.png", DEFAULT_POLICY) == (tmp_path / "a b.png").as_uri()
    assert source_url(Path("a#b.png"), DEFAULT_POLICY) == (tmp_path / "a#b.png").as_uri()


@given(arrays.arrays("uint8", (3, 5, 3)))
@settings(max_examples=30, deadline=None)
def test_pixels_in_memory_lose_nothing(array):
    image = PIL.Image.fromarray(array)
    for source in (array, image):
        decoded = decode_image(source_url(source, DEFAULT_POLICY), MediaPolicy())
        assert numpy.array_equal(numpy.asarray(decoded), array)


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_encoded_bytes_are_kept_byte_for_byte_with_their_type(format_name, kind):
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (4, 4)).save(buffer, format_name)
    head, _, payload = source_url(kind(buffer.getvalue()), DEFAULT_POLICY).partition(",")
    assert head == f"data:image/{format_name.lower()};base64"
    assert base64.b64decode(payload) == buffer.getvalue()


def test_a_turned_picture_in_memory_is_sent_upright():
    image = PIL.Image.new("RGB", (4, 2))
    image.getexif()[0x0112] = 6
    sent = decode_image(source_url(image, DEFAULT_POLICY), MediaPolicy())
    assert sent.size == (2, 4)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (b"", MediaDecodeError),
        (b"text", MediaDecodeError),
        (None, MediaSourceError),
        (numpy.zeros((2, 2, 2)), MediaArrayError),
        ("s3://bucket/a.png", MediaSourceError),
    ],
)
def test_what_is_no_picture_has_no_url(source, error):
    with pytest.raises(error):
        source_url(source, DEFAULT_POLICY)


@pytest.mark.parametrize("path", ["\ud800.png", "~no such user here/a.png"])
def test_a_path_that_no_url_can_hold_is_a_typed_error(path):
    with pytest.raises(MediaSourceError):
        source_url(path, DEFAULT_POLICY)
