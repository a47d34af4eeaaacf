"""Files that somebody made to do harm; all of them are made here, and none is stored."""

from __future__ import annotations

import base64
import functools
import io
import struct
import zlib
from collections.abc import Iterator

import PIL.Image
import pypdfium2

from qwenvl_kit.errors import (
    DocumentPasswordError,
    MediaDecodeError,
    MediaError,
    MediaForbiddenError,
    MediaSizeError,
)
from tests.hostile.cases import Hostile
from tests.hostile.growing import growing
from tests.media.test_pages import _locked, pdf_of


def corpus() -> Iterator[Hostile]:
    """All of them."""
    yield from _bombs()
    yield from _hidden_bombs()
    yield from _endless()
    yield from _lies()
    yield from _masks()
    yield from _cut()
    yield from _videos()
    yield from _documents()
    yield from _data_urls()
    yield from growing()


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _png(width: int, height: int, rows: bytes = b"", *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header), *extra, _chunk(b"IDAT", rows), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@functools.cache
def _zeros(num_bytes: int) -> bytes:
    """Zlib's form of so many zeros, made without holding them."""
    packer, made = zlib.compressobj(9), []
    piece = bytes(2**20)
    for start in range(0, num_bytes, len(piece)):
        made.append(packer.compress(piece[: num_bytes - start]))
    return b"".join([*made, packer.flush()])


def _saved(format_name: str, width: int = 24, height: int = 16, **options: object) -> bytes:
    buffer = io.BytesIO()
    image = PIL.Image.effect_noise((width, height), 80).convert("RGB")
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def _bmp(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(head), 0, 0, 54) + head


def _directory(width: int, height: int, *more: tuple[int, int, int, int]) -> bytes:
    """What a TIFF says of a picture, without where the next one is."""
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (262, 3, 1, 1), *more]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + packed


def _tiff(width: int, height: int, *more: tuple[int, int, int, int]) -> bytes:
    at = struct.pack("<I", 8)
    return b"II*\0" + at + _directory(width, height, *more) + at


def _bombs() -> Iterator[Hostile]:
    """Few bytes that stand for very many pixels."""
    jpeg = bytearray(_saved("JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 65_500, 65_500)
    gif = bytearray(_saved("GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    canvas = struct.pack("<I", 16_383)[:3] * 2
    webp = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    frame = b"ANIM" + struct.pack("<I", 6) + bytes(6)
    riff = b"RIFF" + struct.pack("<I", 4 + len(webp) + len(frame)) + b"WEBP" + webp + frame
    siz = struct.pack(">HHIIIIIIIIH", 41, 0, 2**31, 2**31, 0, 0, 2**31, 2**31, 0, 0, 1) + b"\7\1\1"
    for name, content in (
        ("PNG of 164 megapixels in 477 KB", _png(12_800, 12_800, _zeros(12_800 * 38_401))),
        ("PNG of 4,611 petapixels", _png(2**31 - 1, 2**31 - 1)),
        ("JPEG of 4,290 megapixels", bytes(jpeg)),
        ("GIF of 4,294 megapixels", bytes(gif)),
        ("BMP of 10 gigapixels", _bmp(100_000, 100_000)),
        ("TIFF of 16 gigapixels", _tiff(2**17, 2**17, (273, 4, 1, 8), (279, 4, 1, 9))),
        ("PPM of a terapixel", b"P6 1000000 1000000 255\n"),
        ("JPEG 2000 of 4 exapixels", b"\xff\x4f\xff\x51" + siz),
        ("WebP of 268 megapixels", riff),
    ):
        # An older libwebp says first that there is no frame.
        ends = MediaError if name.startswith("WebP") else MediaSizeError
        yield Hostile("picture", "bomb", name, content, ends)


def _hidden_bombs() -> Iterator[Hostile]:
    """Few bytes that grow elsewhere than in the pixels."""
    rows = zlib.compress(bytes(10 * 31))
    text = b"Comment\0\0" + _zeros(256 * 2**20)
    profile = b"icc\0\0" + _zeros(256 * 2**20)
    huge_exif = struct.pack(">I", 2**31 - 1) + b"eXIf" + b"II*\0"
    for name, content in (
        ("PNG whose comment grows to 256 MB", _png(10, 10, rows, _chunk(b"zTXt", text))),
        ("PNG whose colour profile grows to 256 MB", _png(10, 10, rows, _chunk(b"iCCP", profile))),
        ("PNG that says it has 2 GB of EXIF", _png(10, 10, rows)[:-12] + huge_exif),
    ):
        yield Hostile("picture", "hidden bomb", name, content, MediaDecodeError)
    comments = _png(10, 10, rows, _chunk(b"tEXt", b"a\0b") * 20_000)
    yield Hostile("picture", "hidden bomb", "PNG of 20,000 comments", comments, None)


def _endless() -> Iterator[Hostile]:
    """What takes long rather than much."""
    frames = [PIL.Image.new("L", (16, 16), shade % 256) for shade in range(3_000)]
    for format_name in ("GIF", "PNG"):
        buffer = io.BytesIO()
        frames[0].save(buffer, format_name, save_all=True, append_images=frames[1:])
        name = f"{format_name} of 3,000 pictures"
        yield Hostile("picture", "endless", name, buffer.getvalue(), None)
    yield Hostile("picture", "endless", "TIFF of 3,000 pictures", _pictures(3_000), None)
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (1_600, 1_200)).save(buffer, "JPEG", progressive=True)
    jpeg = buffer.getvalue()
    passes = jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xda") : -2] * 10_000 + b"\xff\xd9"
    yield Hostile("picture", "endless", "JPEG in 10,000 passes", passes, MediaSizeError)
    loop = bytearray(_saved("TIFF"))
    yield Hostile("picture", "endless", "TIFF whose directory follows itself", _looped(loop), None)


def _pictures(count: int) -> bytes:
    """A TIFF with so many directories, all of the same 16 x 16 pixels, written in a moment."""
    pixels = ((259, 3, 1, 1), (273, 4, 1, 8), (278, 4, 1, 16), (279, 4, 1, 256))
    directory = _directory(16, 16, *pixels)
    first, step = 8 + 256, len(directory) + 4
    following = [first + (n + 1) * step for n in range(count - 1)] + [0]
    directories = b"".join(directory + struct.pack("<I", at) for at in following)
    return b"II*\0" + struct.pack("<I", first) + bytes(256) + directories


def _looped(tiff: bytearray) -> bytes:
    (at,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, at)
    struct.pack_into("<I", tiff, at + 2 + 12 * count, at)
    return bytes(tiff)


def _lies() -> Iterator[Hostile]:
    """What says one thing and is another."""
    rows = zlib.compress(bytes(10 * 31))
    png = _png(10, 10, rows)
    wrong = bytearray(png)
    wrong[-20] ^= 255
    exif = bytearray(_saved("JPEG", exif=_exif()))
    at = exif.index(b"Exif\0\0") + 6
    exif[at + 4 : at + 8] = b"\xff\xff\xff\x7f"
    for name, content, ends in (
        ("PNG of more rows than it holds", _png(10, 900, rows), None),
        ("PNG of more bytes than its rows take", _png(10, 10, _zeros(10**7)), None),
        ("PNG with a wrong checksum", bytes(wrong), MediaDecodeError),
        ("PNG without pixels", _png(0, 10, rows), MediaError),
        ("BMP that stands on its head", _bmp(10, -10), MediaDecodeError),
        ("BMP of negative width", _bmp(-10, 10), MediaError),
        ("TIFF whose pixels lie beyond its end", _tiff(8, 8, (273, 4, 1, 2**31)), MediaDecodeError),
        ("TIFF with a tag of 4 GB", _tiff(8, 8, (270, 2, 2**32 - 1, 8)), MediaDecodeError),
        ("JPEG whose EXIF points out of it", bytes(exif), None),
    ):
        yield Hostile("picture", "lie", name, content, ends)


def _exif() -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    return exif


def _masks() -> Iterator[Hostile]:
    """What is no picture at all, and could do something if it were opened as what it is."""
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    for name, content in (
        ("PostScript", postscript),
        ("SVG", svg),
        ("HTML", b"<html><img src=http://169.254.169.254/></html>"),
        ("ImageMagick's MVG", b"push graphic-context\nimage over 0,0 0,0 'https://a.example'\n"),
        ("pickle", b"\x80\x04cposix\nsystem\n(S'true'\ntR."),
        ("ELF", b"\x7fELF" + bytes(60)),
        ("ZIP", b"PK\3\4" + bytes(60)),
        ("PDF", pdf_of("red")),
        ("WMF", b"\xd7\xcd\xc6\x9a" + bytes(60)),
        ("FITS", b"SIMPLE  =                    T" + bytes(60)),
        ("PSD", b"8BPS\0\1" + bytes(60)),
    ):
        yield Hostile("picture", "mask", name, content, MediaDecodeError)
    both = _saved("PNG") + b"PK\3\4" + bytes(60)
    yield Hostile("picture", "mask", "PNG with a ZIP behind it", both, None)


def _cut() -> Iterator[Hostile]:
    """Whole formats, cut in the middle."""
    for format_name in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF", "ICO"):
        whole = _saved(format_name, 96, 96)
        for share in (0.02, 0.5):
            content = whole[: max(9, int(len(whole) * share))]
            name = f"{format_name}, {share:.0%} of it"
            yield Hostile("picture", "cut short", name, content, MediaDecodeError)


def _videos() -> Iterator[Hostile]:
    """Files that would show other files, or that are no videos."""
    playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    manifest = b'<?xml version="1.0"?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>'
    for name, content in (
        ("HLS playlist of a local file", playlist),
        ("HLS playlist of a private address", playlist.replace(b"file:///etc", b"http://10.0.0.1")),
        ("FFmpeg's list of files", b"ffconcat version 1.0\nfile /etc/passwd\n"),
        ("DASH manifest", manifest),
        ("SDP that waits for packets", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n"),
        ("subtitles", b"1\n00:00:00,000 --> 00:00:01,000\n<img src=/etc/passwd>\n"),
        ("MP4 that is nothing but its first box", b"\0\0\0\x18ftypisom" + bytes(12)),
        ("MP4 with a box of 4 GB", b"\0\0\0\x18ftypisom" + bytes(12) + b"\xff\xff\xff\xffmoov"),
        ("Matroska of nothing", b"\x1a\x45\xdf\xa3" + b"\xff" * 40),
    ):
        yield Hostile("video", "mask", name, content, MediaError)


def _documents() -> Iterator[Hostile]:
    """PDFs that are large, endless or locked, or that want to do something."""
    many = pypdfium2.PdfDocument.new()
    for _ in range(10_000):
        many.new_page(9, 9)
    buffer = io.BytesIO()
    many.save(buffer)
    many.close()
    page = b"/Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]"
    script = b"/OpenAction<</S/JavaScript/JS(app.launchURL('http://a.example'))>>"
    for name, content, ends in (
        ("PDF of 10,000 pages", buffer.getvalue(), MediaSizeError),
        (
            "PDF of a page of 40 gigapixels",
            _pdf(page.replace(b"99 99", b"99999 99999")),
            MediaSizeError,
        ),
        (
            "PDF whose pages contain themselves",
            _pdf(b"/Type/Pages/Count 1/Kids[3 0 R]"),
            MediaError,
        ),
        ("PDF that runs a script", _pdf(page, script), None),
        ("PDF that starts a program", _pdf(page, b"/OpenAction<</S/Launch/F(/bin/sh)>>"), None),
        ("PDF with a password", _locked(b"secret"), DocumentPasswordError),
        ("PDF cut short", pdf_of("red")[:300], MediaError),
        ("PDF that is a PNG", _saved("PNG"), MediaDecodeError),
    ):
        yield Hostile("document", "document", name, content, ends)


def _pdf(page: bytes, catalogue: bytes = b"") -> bytes:
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R"
        + catalogue
        + b">>endobj 2 0 obj<</Type/Pages"
        b"/Count 1/Kids[3 0 R]>>endobj 3 0 obj<<" + page + b">>endobj trailer<</Root 1 0 R>>"
    )


def _data_urls() -> Iterator[Hostile]:
    """URLs that hold what they stand for."""
    encoded = base64.b64encode(_saved("PNG"))
    for name, content, ends, limits in (
        ("of 24 MB where 1 MB may be", b"data:;base64," + b"A" * 2**25, MediaForbiddenError, 2**20),
        ("in percent signs, of 11 MB", b"data:," + b"%41" * 2**22, MediaForbiddenError, 2**20),
        ("without a comma", b"data:image/png;base64", MediaDecodeError, None),
        ("of what is no base64", b"data:;base64,!!!!", MediaDecodeError, None),
        (
            "of a page",
            b"data:text/html;base64," + base64.b64encode(b"<html>"),
            MediaDecodeError,
            None,
        ),
        (
            "that says it is a page and is a picture",
            b"data:text/html;base64," + encoded,
            None,
            None,
        ),
    ):
        limit = {} if limits is None else {"max_bytes": limits}
        yield Hostile("data URL", "data URL", name, content, ends, limit)
