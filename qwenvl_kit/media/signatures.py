"""Signatures: kinds of files by their first bytes, in words that may be shown; never the bytes."""

from __future__ import annotations

HEAD_BYTES = 64
"""Number of first bytes that are enough to recognize a file."""

VIDEO_HINT = "VideoPart(...) for a video"

_HEVC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs")
_AVIF_BRANDS = {b"avif", b"avis"}
_CONTAINER_BRANDS = (b"mif1", b"msf1")
"""Brands of pictures with any codec; their compatible brands name it (ISO/IEC 23008-12)."""

_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    (b"II\x00*", "TIFF"),  # bytes in the wrong order, which Pillow reads
    (b"MM*\x00", "TIFF"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
PLAIN_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
NETPBM_STARTS = tuple(b"P%c" % letter for letter in b"0123456fy")
"""First bytes of the Netpbm formats, as Pillow knows them; a text may begin so, too."""
_ICO_START = b"\0\0\1\0"

_UNPACKED_BMP = (bytes(4), b"\3\0\0\0")
"""Compression fields of a BMP without compression: none, or bit masks (headers from 40 bytes)."""

_OLDEST_BMP = b"\x0c\0\0\0"
"""The header length of a BMP that has no field for a compression."""

_OTHERS = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "packed by gzip"),
    (b"8BPS", "a file of Photoshop"),
    (b"%!PS", "PostScript"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML, perhaps SVG"),
    (b"<!doctype html", "a page of the web"),
    (b"<html", "a page of the web"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself"),
    (b"<PIL.", "the printed name of an object"),
    (b"b'", "the printed form of bytes"),
)


def picture_format(start: bytes) -> str:
    """Return Pillow's name of the format that a picture begins as; empty for anything else."""
    for signature, name in _PICTURES:
        if start.startswith(signature):
            return name
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[:2] == b"BM" and start[6:10] == bytes(4):  # reserved, and zero
        return "BMP"
    if is_heif(start):
        return "HEIF"
    return "AVIF" if _brands(start) & _AVIF_BRANDS else ""


def is_other_picture(start: bytes) -> bool:
    """True if a file begins as a picture that is not plain.

    Plain formats have decoders whose time and memory are proportional to the size in the header:
    JPEG, PNG, GIF, WebP, and BMP without compression, which Pillow unpacks byte by byte.
    """
    known = picture_format(start)
    if known == "BMP":
        return start[30:34] not in _UNPACKED_BMP and start[14:18] != _OLDEST_BMP
    is_picture = bool(known) or start.startswith((_ICO_START, *NETPBM_STARTS))
    return is_picture and known not in PLAIN_FORMATS


def is_heif(start: bytes) -> bool:
    """True if a file begins as a HEIF picture, as phones write them (HEIC), and not as AVIF."""
    if start[4:8] != b"ftyp":
        return False
    brands = _brands(start)
    is_still = start[8:12] in (*_HEVC_BRANDS, *_CONTAINER_BRANDS)
    return is_still and (bool(brands & set(_HEVC_BRANDS)) or not brands & _AVIF_BRANDS)


def is_video(start: bytes) -> bool:
    """True if a file begins as MP4, MOV, Matroska, WebM or AVI, and is no picture."""
    if start[4:8] == b"ftyp":
        return not picture_format(start)
    return start[:4] == b"\x1a\x45\xdf\xa3" or (start[:4] == b"RIFF" and start[8:12] == b"AVI ")


def described(start: bytes) -> str:
    """Describe a file that is no picture, in a few words."""
    if is_video(start):
        return "a video"
    begins = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, words in _OTHERS:
        if start.startswith(signature) or begins.startswith(signature.lower()):
            return words
    is_text = bool(start) and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in start)
    return "text" if is_text else "of a kind that is not known"


def _brands(start: bytes) -> set[bytes]:
    """The brands in the first box of an ISO file: its major brand, and the compatible ones."""
    if start[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(start[:4], "big"), len(start))
    return {start[8:12], *(start[at : at + 4] for at in range(16, end - 3, 4))}
