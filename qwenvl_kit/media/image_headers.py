"""Image headers: encoded bytes become a Pillow image with its header read, or a clear error."""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING, BinaryIO

from qwenvl_kit.errors import MediaDecodeError, MediaSizeError, QwenVLKitError
from qwenvl_kit.media.base64_text import is_start_in_base64
from qwenvl_kit.media.pillow_objects import png_exif
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.signatures import (
    HEAD_BYTES,
    NETPBM_STARTS,
    PLAIN_FORMATS,
    VIDEO_HINT,
    described,
    is_heif,
    is_video,
    picture_format,
)
from qwenvl_kit.media.tiff_tiles import check_tiles

if TYPE_CHECKING:
    import PIL.Image

_START_OF_SCAN = b"\xff\xda"
_MAX_NETPBM_HEADER = 65_536
_MAX_PASSES = 100
"""Most passes of a progressive JPEG; encoders write about ten, and the file may hold thumbnails."""


def open_bytes(data: bytes, policy: MediaPolicy, name: str = "the source") -> PIL.Image.Image:
    """Open encoded bytes as a Pillow image with its header read; errors as `identify_stream`."""
    policy.check_num_bytes(len(data))
    return identify_stream(io.BytesIO(data), policy, name)


def identify_stream(stream: BinaryIO, policy: MediaPolicy, name: str) -> PIL.Image.Image:
    """Open a stream as a Pillow image with its header read; the pixels are not.

    Raises:
        MediaDecodeError: it is no picture, one that the policy leaves out, or damaged.
        MediaSizeError: Pillow finds it too large to decode.
        MissingPackageError: it is HEIF, and pillow-heif is not installed.
    """
    import PIL.Image

    try:
        image = _open_stream(stream, policy, name)
    except QwenVLKitError:
        raise
    except PIL.UnidentifiedImageError as error:
        raise _not_a_picture(stream, policy, name) from error
    except PIL.Image.DecompressionBombError as error:
        raise MediaSizeError(
            f"{name} is too large to decode ({error})",
            hint="if you trust it: PIL.Image.MAX_IMAGE_PIXELS and MediaPolicy(max_pixels=...)",
        ) from error
    except Exception as error:  # decoders raise nearly anything on damaged headers
        raise MediaDecodeError(
            f"{name} has a damaged header ({error})", hint="fetch or save it again"
        ) from error
    if image.format == "PNG" and "Raw profile type exif" not in image.info:
        # Without this entry Pillow decodes the whole picture to look for it behind the pixels.
        image.info.setdefault("exif", png_exif(stream))
    return image


def _open_stream(stream: BinaryIO, policy: MediaPolicy, name: str) -> PIL.Image.Image:
    import PIL.Image

    start = stream.read(HEAD_BYTES)
    stream.seek(0)
    if is_heif(start):
        from qwenvl_kit.media.heif import open_heif

        return open_heif(stream, policy, name)
    _check_netpbm(stream, start, name)
    image = PIL.Image.open(stream, formats=_decoders(policy))
    check_tiles(image, policy)
    return image


def _check_netpbm(stream: BinaryIO, start: bytes, name: str) -> None:
    """Refuse a header of endless comments, which Pillow reads byte by byte."""
    if not start.startswith(NETPBM_STARTS):
        return
    head = stream.read(_MAX_NETPBM_HEADER)
    stream.seek(0)
    uncommented = re.sub(rb"#[^\r\n]*[\r\n]?", b" ", head)
    # The kind, the sides, and the value of white; a fifth piece shows that they are complete.
    if len(head) == _MAX_NETPBM_HEADER and len(uncommented.split(maxsplit=4)) < 5:
        raise MediaDecodeError(
            f"{name} has a header of more than {_MAX_NETPBM_HEADER} bytes",
            expected="fewer comments in the header",
            hint="save it again, as PNG",
        )


def _decoders(policy: MediaPolicy) -> tuple[str, ...]:
    """The formats to try: only the plain ones if others are read in the decoding process."""
    is_plain_only = policy.isolate_images is None
    return tuple(
        known
        for known in policy.image_formats
        if known != "HEIF" and (not is_plain_only or known in PLAIN_FORMATS)
    )


def check_passes(image: PIL.Image.Image, data: bytes, name: str) -> None:
    """Refuse a progressive JPEG of too many passes over its pixels.

    A pass may take ten bytes of a file and a second of CPU time, so that 300 KB last minutes.
    """
    is_progressive = "progressive" in image.info and image.format in ("JPEG", "MPO")
    num_passes = data.count(_START_OF_SCAN) if is_progressive else 1
    if num_passes > _MAX_PASSES:
        raise MediaSizeError(
            f"{name} is a JPEG in {num_passes} passes",
            expected=f"at most {_MAX_PASSES}",
            hint="save it again, if you trust it",
        )


def _not_a_picture(stream: BinaryIO, policy: MediaPolicy, name: str) -> MediaDecodeError:
    num_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    start = stream.read(HEAD_BYTES)
    formats = f"one of {', '.join(policy.image_formats)}"
    if not num_bytes:
        return MediaDecodeError(f"{name} is empty (0 bytes)", expected="a picture")
    known = picture_format(start)
    if known and known not in policy.image_formats:
        return MediaDecodeError(f"{name} is {known}, which the policy leaves out", expected=formats)
    if known:
        return MediaDecodeError(
            f"{name} begins as {known}, and is damaged or of a kind that Pillow does not read",
            expected=f"{known} of 8 bits, whole",
            hint="save it again, as PNG",
        )
    if start.startswith(b"data:") or is_start_in_base64(start):
        return MediaDecodeError(
            f"{name} is a picture as text ({num_bytes} bytes of base64)",
            expected="the text as a string, or its decoded bytes",
            hint="source.decode()",
        )
    return MediaDecodeError(
        f"{name} is not a picture ({num_bytes} bytes, {described(start)})",
        expected=formats,
        hint=VIDEO_HINT if is_video(start) else "",
    )
