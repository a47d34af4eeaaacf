"""Colour profiles made for tests, as ICC.1:2022 lays them out."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping

from PIL import ImageCms


def srgb() -> bytes:
    """As LittleCMS writes it."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exchanged() -> bytes:
    """In which red is shown as blue and blue as red."""
    profile = bytearray(srgb())
    red, blue = _entry(profile, b"rXYZ"), _entry(profile, b"bXYZ")
    profile[red : red + 8], profile[blue : blue + 8] = (
        profile[blue : blue + 8],
        profile[red : red + 8],
    )
    return bytes(profile)


def display_p3() -> bytes:
    """The wide gamut of phones: colourants of P3 (SMPTE RP 431-2), adapted to D50."""
    profile = bytearray(srgb())
    colourants = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for name, values in colourants.items():
        offset = int.from_bytes(profile[_entry(profile, name) : _entry(profile, name) + 4], "big")
        profile[offset + 8 : offset + 20] = b"".join(map(_fixed, values))
    return bytes(profile)


def linear_grey() -> bytes:
    """Grey whose numbers are light itself."""
    white = b"XYZ \0\0\0\0" + b"".join(map(_fixed, (0.9642, 1.0, 0.8249)))
    straight = b"curv\0\0\0\0" + struct.pack(">I", 0)
    return _profile(b"mntr", b"GRAY", b"XYZ ", {b"wtpt": white, b"kTRC": straight})


def printer() -> bytes:
    """CMYK in which every ink takes light, and yellow alone leaves colour: red."""
    corners = bytearray()
    for point in range(16):  # the first ink varies slowest
        inks = [point >> 3 & 1, point >> 2 & 1, point >> 1 & 1, point & 1]
        is_yellow = inks == [0, 0, 1, 0]
        lightness = 136 if is_yellow else 255 if not any(inks) else 0
        corners += bytes([lightness, 208 if is_yellow else 128, 195 if is_yellow else 128])
    identity = b"".join(map(_fixed, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    table = bytes(range(256))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + table * 4 + bytes(corners) + table * 3
    white = b"XYZ \0\0\0\0" + b"".join(map(_fixed, (0.9642, 1.0, 0.8249)))
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"wtpt": white, b"A2B0": lut})


def _profile(kind: bytes, space: bytes, between: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0", **tags}
    offset, entries, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        entries += name + struct.pack(">II", offset + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = bytearray(128)
    header[0:4] = struct.pack(">I", offset + len(body))
    header[8:12] = b"\x02\x40\0\0"
    header[12:24] = kind + space + between
    header[36:40] = b"acsp"
    header[68:80] = b"".join(map(_fixed, (0.9642, 1.0, 0.8249)))
    return bytes(header) + struct.pack(">I", len(tags)) + entries + body


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _entry(profile: bytes | bytearray, name: bytes) -> int:
    """Where a tag's offset and length stand."""
    for at in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12):
        if profile[at : at + 4] == name:
            return at + 4
    raise KeyError(name)


def opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    """A profile as LittleCMS has it."""
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))
