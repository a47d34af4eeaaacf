from __future__ import annotations

import base64
import contextlib
import io
import os
import pathlib
import struct
import zlib
from urllib.parse import quote_from_bytes

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import MediaPolicy, Size
from qwenvl_kit.errors import (
    MediaDecodeError,
    MediaError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaSizeError,
    MediaSourceError,
)
from qwenvl_kit.media.images import decode_image, measure_image

POLICY = MediaPolicy()


def _png(width: int = 3, height: int = 2, **options) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (width, height), "red").save(buffer, "PNG", **options)
    return buffer.getvalue()


def _is_the_red_picture(source) -> bool:
    image = decode_image(source, POLICY)
    size = measure_image(source, POLICY)
    return (image.size, size, image.getpixel((0, 0))) == ((3, 2), Size(2, 3), (255, 0, 0))


NAMES = [
    "a.png",
    "a b.png",
    "a%20b.png",
    "a#b.png",
    "a?b=c.png",
    "\u732b.png",
    "a;b,c.png",
    "[a].png",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_is_opened_by_its_path_and_by_its_url(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(_png())
    assert _is_the_red_picture(path)
    assert _is_the_red_picture(str(path))
    assert _is_the_red_picture(path.as_uri())


@pytest.mark.parametrize("name", ["a b.png", "a#b.png", "a?b=c.png", "a#b?c.png", "\u732b.png"])
def test_a_file_url_may_be_written_without_percent_signs(tmp_path, name):
    (tmp_path / name).write_bytes(_png())
    assert _is_the_red_picture(f"file://{tmp_path}/{name}")
    assert _is_the_red_picture(f"FILE://localhost{tmp_path}/{name}")


def test_a_file_url_may_be_written_with_some_percent_signs(tmp_path):
    (tmp_path / "a b#c d?e f.png").write_bytes(_png())
    assert _is_the_red_picture(f"file://{tmp_path}/a%20b#c%20d?e%20f.png")


def test_a_relative_path_starts_at_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(_png())
    monkeypatch.chdir(tmp_path)
    assert _is_the_red_picture("a.png")
    assert _is_the_red_picture(pathlib.PurePath("a.png"))


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(_png())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _is_the_red_picture("~/a.png")


def test_a_link_is_followed(tmp_path):
    (tmp_path / "a.png").write_bytes(_png())
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert _is_the_red_picture(tmp_path / "b.png")


def test_a_file_whose_name_looks_like_a_url_is_opened(tmp_path, monkeypatch):
    (tmp_path / "scan:1.png").write_bytes(_png())
    monkeypatch.chdir(tmp_path)
    assert _is_the_red_picture("scan:1.png")


def test_the_extension_of_a_file_does_not_matter(tmp_path):
    (tmp_path / "picture.txt").write_bytes(_png())
    assert _is_the_red_picture(tmp_path / "picture.txt")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_encoded_bytes_are_a_picture(kind):
    data = kind(_png())
    assert _is_the_red_picture(data)
    assert bytes(data) == _png()


@pytest.mark.parametrize(
    "url",
    [
        "data:image/png;base64," + base64.b64encode(_png()).decode(),
        "DATA:image/png;BASE64," + base64.b64encode(_png()).decode(),
        "data:;base64," + base64.b64encode(_png()).decode(),
        "data:image/png;base64," + base64.encodebytes(_png()).decode(),
        "data:image/png;base64," + base64.b64encode(_png()).decode().replace("=", "%3D"),
        "data:image/png," + quote_from_bytes(_png()),
        "data:," + quote_from_bytes(_png(), safe=""),
    ],
)
def test_a_data_url_is_a_picture_in_base64_or_with_percent_signs(url):
    assert _is_the_red_picture(url)


@given(st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_a_picture_measures_the_same_however_it_is_given(width, height):
    data = _png(width, height)
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    for source in (data, url, PIL.Image.open(io.BytesIO(data))):
        assert measure_image(source, POLICY) == Size(height, width)


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("data:image/png;base64", MediaDecodeError),
        ("data:image/png;base64,", MediaDecodeError),
        ("data:image/png;base64,###", MediaDecodeError),
        ("data:image/png;base64,AAA", MediaDecodeError),
        ("data:image/png;base64,\u00e4\u00f6\u00fc", MediaDecodeError),
        ("data:image/png;base64,\ud800", MediaDecodeError),
        ("data:image/png,\ud800", MediaDecodeError),
        ("data:text/plain,hello", MediaDecodeError),
        ("data:", MediaDecodeError),
        ("http://example.com/a.png", MediaForbiddenError),
        ("HTTPS://example.com/a.png", MediaForbiddenError),
        ("http://[half-an-address", MediaForbiddenError),
        ("http:", MediaForbiddenError),
        ("file://server/share/a.png", MediaForbiddenError),
        ("file://[half-an-address", MediaSourceError),
        ("file:///no/such/file.png", MediaNotFoundError),
        ("file:///%00.png", MediaNotFoundError),
        ("s3://bucket/a.png", MediaSourceError),
        ("ftp://example.com/a.png", MediaSourceError),
        ("javascript:alert(1)", MediaSourceError),
    ],
)
def test_a_url_that_cannot_be_opened_is_refused_with_what_can(url, error):
    with pytest.raises(error) as caught:
        measure_image(url, POLICY)
    assert type(caught.value) is error
    assert caught.value.expected or caught.value.hint


def test_the_password_and_the_query_of_a_refused_url_are_not_repeated():
    with pytest.raises(MediaForbiddenError, match=r"example\.com") as caught:
        measure_image("https://me:secret@example.com/a.png?token=secret", POLICY)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "source", [None, 3, 2.5, True, object(), {"url": "a"}, {"a"}, iter("a"), open, ["a.png"], ()]
)
def test_a_source_of_another_kind_is_refused_with_the_known_kinds(source):
    with pytest.raises(MediaSourceError) as caught:
        measure_image(source, POLICY)
    assert type(source).__name__ in caught.value.problem
    assert "path" in caught.value.expected


@pytest.mark.parametrize(
    "path",
    ["/no/such/file.png", "a\x00b.png", "a" * 5000, "~nobody_of_that_name/a.png", "\ud800.png"],
)
def test_a_path_that_leads_nowhere_is_not_found_and_not_printed_at_length(path):
    with pytest.raises(MediaNotFoundError) as caught:
        measure_image(path, POLICY)
    assert len(str(caught.value)) < 1000
    assert caught.value.expected or caught.value.hint


def test_a_path_through_a_file_is_not_found(tmp_path):
    (tmp_path / "a.png").write_bytes(_png())
    with pytest.raises(MediaNotFoundError):
        measure_image(tmp_path / "a.png" / "b.png", POLICY)


@pytest.mark.parametrize("path", ["", "."])
def test_a_directory_is_no_picture(path):
    with pytest.raises(MediaSourceError, match="directory"):
        measure_image(path, POLICY)


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="needs a device file")
def test_a_device_is_refused_before_it_is_read_because_reading_it_might_never_end():
    with pytest.raises(MediaSourceError, match="device"):
        measure_image("/dev/null", POLICY)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(MediaDecodeError, match=r"a\.png is empty"):
        measure_image(tmp_path / "a.png", POLICY)


@pytest.mark.parametrize(
    "data",
    [
        b"Dear Sir or Madam, please find attached the picture that you asked for.",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"GIF89a",
        b"RIFF\x00\x00\x00\x00WEBP",
        b"\x00",
        b"\x00" * 1000,
        _png()[:20],
    ],
)
def test_bytes_that_are_no_picture_are_refused(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    for source in (data, tmp_path / "a.png"):
        with pytest.raises(MediaDecodeError) as caught:
            decode_image(source, POLICY)
        assert caught.value.expected or caught.value.hint


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@given(
    st.binary(max_size=60),
    st.sampled_from([b"", _png(), b"\xff\xd8\xff\xe0", b"GIF89a", b"II*\x00"]),
)
@settings(max_examples=150, deadline=None)
def test_any_bytes_at_all_are_a_picture_or_an_error_of_the_kit(tail, head):
    for source in (head + tail, head[: len(head) // 2] + tail):
        with contextlib.suppress(MediaError):
            assert decode_image(source, POLICY).mode == "RGB"


@given(st.text(max_size=40), st.sampled_from(["", "data:", "file://", "http://", "file:///"]))
@settings(max_examples=150, deadline=None)
def test_any_string_at_all_is_a_picture_or_an_error_of_the_kit(text, scheme):
    with pytest.raises(MediaError):
        measure_image(scheme + text, POLICY)


def _bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises far more pixels than its few bytes hold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (2**31 - 1, 1), (12_800, 12_800)])
def test_a_decompression_bomb_is_refused_by_its_header(width, height):
    for open_it in (measure_image, decode_image):
        with pytest.raises(MediaSizeError):
            open_it(_bomb(width, height), POLICY)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_large_picture_within_the_policy_is_measured():
    assert measure_image(_bomb(11_500, 11_500), POLICY) == Size(11_500, 11_500)


@pytest.mark.parametrize("as_source", ["bytes", "path", "data URL"])
def test_more_bytes_than_the_policy_allows_are_refused(tmp_path, as_source):
    path = tmp_path / "a.png"
    path.write_bytes(_png())
    url = f"data:image/png;base64,{base64.b64encode(_png()).decode()}"
    source = {"bytes": _png(), "path": path, "data URL": url}[as_source]
    with pytest.raises(MediaForbiddenError, match="bytes"):
        measure_image(source, MediaPolicy(max_bytes=len(_png()) - 3))
    assert measure_image(source, MediaPolicy(max_bytes=len(_png()) + 3)) == Size(2, 3)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(_png())
    monkeypatch.setattr(pathlib.Path, "read_bytes", lambda _: pytest.fail("read"))
    with pytest.raises(MediaForbiddenError):
        measure_image(path, MediaPolicy(max_bytes=10))


def test_opening_a_picture_leaves_no_file_open(tmp_path):
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    (tmp_path / "a.png").write_bytes(_png())
    before = len(os.listdir("/proc/self/fd"))
    images = [decode_image(tmp_path / "a.png", POLICY) for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert len(images) == 5
