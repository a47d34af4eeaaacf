"""Small files that take much memory or time where their headers do not say so."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator

import PIL.Image

from qwenvl_kit.errors import MediaDecodeError, MediaError, MediaSizeError, MediaTimeoutError
from tests.hostile.cases import Hostile
from tests.hostile.films import films
from tests.pdfs import stream, written

LIMITS = {"max_pixels": 1_000_000, "max_bytes": 16 * 2**20}
HUGE = 46_336
"""Squared it is just below 2**31, which a decoder would count as negative."""


def growing() -> Iterator[Hostile]:
    """All of them."""
    for name, content, ends in (*_tiles(), *_inner_sizes()):
        case = Hostile("picture", "growth", name, content, ends, LIMITS, is_bounded_here=False)
        yield case._replace(may_be_taken=name.startswith("AVIF"))  # where memory was let go before
    for name, content, ends in _slow_pictures():
        limits = {**LIMITS, "max_pixels": 2**27, "image_timeout_seconds": 2.0}
        yield Hostile("picture", "slow", name, content, ends, limits, is_bounded_here=False)
    scan = b"II*\0" + struct.pack("<I", 8) + _pages()
    yield Hostile("document", "growth", "TIFF with tiles in page 2", scan, MediaSizeError, LIMITS)
    for name, content, ends in _documents():
        limits = {**LIMITS, "image_timeout_seconds": 2.0}
        yield Hostile("document", "slow", name, content, ends, limits, is_bounded_here=False)
    for name, content, ends in films():
        yield Hostile("video", "growth", name, content, ends, LIMITS, is_bounded_here=False)


def directory(*entries: tuple[int, int, int, int]) -> bytes:
    """A directory of a TIFF: tags, types, counts and values."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + packed


def _tiff(*entries: tuple[int, int, int, int]) -> bytes:
    small = ((256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1))
    known = {entry[0]: entry for entry in (*small, *entries)}
    return b"II*\0" + struct.pack("<I", 8) + directory(*known.values()) + bytes(1_004)


def _tiles() -> Iterator[tuple[str, bytes, type[MediaError] | None]]:
    """Pictures of 16 x 16 pixels, in pieces of two gigabytes."""
    tile = ((322, 4, 1, HUGE), (323, 4, 1, HUGE), (324, 4, 1, 134), (325, 4, 1, 1_000))
    for name, packing in (("LZW", 5), ("Deflate", 8), ("PackBits", 32_773), ("LZMA", 34_925)):
        yield f"TIFF of a tile of 2 GB, {name}", _tiff((259, 3, 1, packing), *tile), MediaSizeError
    twice = _tiff((259, 3, 1, 8), *tile)[:-1_004]
    again = struct.pack("<HHII", 322, 4, 1, 16) + struct.pack("<HHII", 323, 4, 1, 16)
    more = twice[:8] + struct.pack("<H", 12) + again + twice[10:] + bytes(1_004)
    yield "TIFF that says twice how large a tile is", more, MediaError
    strip = ((273, 4, 1, 134), (279, 4, 1, 1_000), (259, 3, 1, 5))
    yield "TIFF of a strip of 4 gigarows", _tiff(*strip, (278, 4, 1, 2**32 - 1)), MediaError
    for name, tag in (("samples", 277), ("bits", 258)):
        yield f"TIFF of 65,535 {name} a pixel", _tiff(*strip, (tag, 3, 1, 65_535)), MediaError


def _inner_sizes() -> Iterator[tuple[str, bytes, type[MediaError] | None]]:
    """Small outside and large inside."""
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (6_000, 6_000)).save(buffer, "AVIF", speed=10, quality=1)
    avif = bytearray(buffer.getvalue())
    struct.pack_into(">II", avif, avif.index(b"ispe") + 8, 16, 16)
    yield "AVIF of 36 megapixels that says 16 x 16", bytes(avif), MediaError
    buffer = io.BytesIO()
    PIL.Image.new("L", (900, 800)).save(buffer, "PNG")
    yield "ICO of a PNG that is larger", _ico(buffer.getvalue()), None
    png = zlib.compress(bytes(1_000))
    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", head), (b"IDAT", png), (b"IEND", b""))
    )
    yield "ICO of a PNG of 900 megapixels", _ico(b"\x89PNG\r\n\x1a\n" + chunks), MediaError
    buffer = io.BytesIO()
    PIL.Image.new("L", (16, 16)).save(buffer, "JPEG2000", no_jp2=True)
    jpeg2000 = bytearray(buffer.getvalue())
    at = jpeg2000.index(b"\xff\x51") + 4 + 2 + 16
    struct.pack_into(">II", jpeg2000, at, 2**31, 2**31)
    yield "JPEG 2000 of tiles of 4 exapixels", bytes(jpeg2000), None
    yield "WebP of 268 megapixels that says 16 x 16", _webp(), MediaError
    frame = b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\2\2D\1\0;"
    gif = b"GIF89a" + struct.pack("<HHBBB", 16, 16, 0x80, 0, 0) + bytes(6) + frame
    yield "GIF of 3,600 megapixels that says 16 x 16", gif, MediaSizeError


def _ico(png: bytes) -> bytes:
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(png), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + png


def _webp() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (16, 16)).save(buffer, "WEBP", lossless=True)
    inner = bytearray(buffer.getvalue()[12:])
    struct.pack_into("<I", inner, 9, 0x0FFFFFFF)  # the sides, less one, in 14 bits each
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + struct.pack("<I", 15)[:3] * 2
    return b"RIFF" + struct.pack("<I", 4 + len(canvas) + len(inner)) + b"WEBP" + canvas + inner


def _slow_pictures() -> Iterator[tuple[str, bytes, type[MediaError] | None]]:
    yield (
        "PPM of 10 MB of comments",
        b"P6 " + b"#" * 10_000_000 + b"\n1 1 255\n123",
        MediaDecodeError,
    )
    lines = b"P6 " + b"#\n" * 5_000_000 + b"1 1 255\n123"
    yield "PPM of 5 million comments", lines, MediaDecodeError
    head = struct.pack("<IiiHHIIiiII", 40, 2**27 - 8, 1, 1, 8, 1, 0, 0, 0, 256, 0) + bytes(1_024)
    rows = b"\x01\x07" + b"\0\0" * 9
    bmp = b"BM" + struct.pack("<IHHI", 14 + len(head) + len(rows), 0, 0, 14 + len(head)) + head
    yield "BMP that is filled up byte by byte", bmp + rows, MediaError
    tags = b"".join(struct.pack("<HHII", 1_000 + n, 1, 60_000, 8) for n in range(5_000))
    exif = b"II*\0" + struct.pack("<IH", 8, 5_000) + tags + bytes(4)
    image = io.BytesIO()
    PIL.Image.new("RGB", (16, 16)).save(image, "PNG", exif=exif)
    yield "PNG whose EXIF holds itself 5,000 times", image.getvalue(), None


def _pages() -> bytes:
    """Two directories, the second of which has tiles of 2 GB."""
    plain = ((256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1))
    pixels = ((259, 3, 1, 1), (273, 4, 1, 8), (278, 4, 1, 16), (279, 4, 1, 256))
    tile = ((322, 4, 1, HUGE), (323, 4, 1, HUGE), (324, 4, 1, 8), (325, 4, 1, 100))
    first = directory(*plain, *pixels)
    second = directory(*plain, (259, 3, 1, 8), *tile)
    return first + struct.pack("<I", 8 + len(first) + 4) + second + bytes(1_004)


def _documents() -> Iterator[tuple[str, bytes, type[MediaError] | None]]:
    """Pages that are drawn for ever, or in gigabytes."""
    yield "PDF of a pattern of tiny tiles", endless_pdf(), MediaTimeoutError
    form, box = b"/Type/XObject/Subtype/Form", b"/BBox[0 0 99 99]"
    forms = [
        stream(b"/F Do /F Do", form + box + b"/Resources<</XObject<</F %d 0 R>>>>" % (6 + n))
        for n in range(24)
    ]
    nested = pdf(b"/F Do", b"/XObject<</F 5 0 R>>", *forms, stream(b"0 0 9 9 re f", form + box))
    yield "PDF of forms in forms, 16 million in all", nested, MediaError
    yield "PDF of 200 MB of curves", pdf(b"0 0 m 99 99 l S\n" * 8_000_000), MediaError
    picture = b"/Type/XObject/Subtype/Image/Width 20000/Height 20000/BitsPerComponent 8"
    zeros = zlib.compress(zlib.compress(bytes(20_000 * 2_000), 9), 9)
    filters = b"/ColorSpace/DeviceGray/Filter[/FlateDecode/FlateDecode]"
    large = pdf(
        b"q 99 0 0 99 0 0 cm /I Do Q", b"/XObject<</I 5 0 R>>", stream(zeros, picture + filters)
    )
    yield "PDF with a picture of 400 megapixels", large, MediaSizeError
    inline = b"q 99 0 0 99 0 0 cm BI /W 30000 /H 30000 /BPC 8 /CS /G /F /RL ID \x80 EI Q"
    yield "PDF with a picture of 900 megapixels in its text", pdf(inline), MediaSizeError
    yield "PDF of 5 million states on its stack", pdf(b"q " * 5_000_000), MediaError


def endless_pdf() -> bytes:
    """A page of one square, filled with a pattern of tiles that are far too small to be seen."""
    step = b"/XStep 0.0001/YStep 0.0001/Resources<<>>"
    pattern = b"/Type/Pattern/PatternType 1/PaintType 1/TilingType 1/BBox[0 0 1 1]" + step
    return pdf(
        b"/Pattern cs /P scn 0 0 99 99 re f",
        b"/Pattern<</P 5 0 R>>",
        stream(b"0 0 1 1 re f", pattern),
    )


def pdf(content: bytes, resources: bytes = b"", *more: bytes) -> bytes:
    """A page with its content; further objects have the numbers from 5 on."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<<%s>>>>"
    pages = b"<</Type/Pages/Count 1/Kids[3 0 R]>>"
    drawn = stream(zlib.compress(content, 9), b"/Filter/FlateDecode")
    return written([b"<</Type/Catalog/Pages 2 0 R>>", pages, page % resources, drawn, *more])
