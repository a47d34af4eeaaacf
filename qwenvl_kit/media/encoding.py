"""Pictures and documents as data URLs, to be sent to other programs."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any

from qwenvl_kit.errors import MediaSourceError
from qwenvl_kit.media.base64_text import is_picture_in_base64
from qwenvl_kit.media.images import decode_image, read_header
from qwenvl_kit.media.local_files import read_file
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.sources import (
    is_encoded,
    named_path,
    opened_source,
    resolve_source,
)
from qwenvl_kit.media.tiff_pages import is_tiff
from qwenvl_kit.safe_text import shown


def source_url(source: Any, policy: MediaPolicy) -> str:
    """Return a URL of a picture: URLs as they are, paths as `file://`, data in memory as data URLs.

    Encoded bytes are kept byte for byte; pixels are written as PNG, which loses none.

    Raises:
        MediaError: the source is no picture.
    """
    if isinstance(source, str) and source.partition(":")[0].lower() in _URL_SCHEMES:
        return source
    if is_encoded(source) and not _is_path(source):
        source = resolve_source(source, policy)
    if isinstance(source, (str, os.PathLike)):
        path = named_path(source, policy)
        try:
            return path.expanduser().absolute().as_uri()
        except (OSError, ValueError, RuntimeError) as error:  # a lone surrogate, an unknown ~
            raise MediaSourceError(
                f"{shown(str(path))} cannot be written as a URL", expected="the path of a file"
            ) from error
    if isinstance(source, (bytes, bytearray, memoryview)):
        import PIL.Image

        image_format = read_header(source, policy).format or "PNG"
        return _data_url(bytes(source), PIL.Image.MIME.get(image_format, "image/png"))
    buffer = io.BytesIO()
    decode_image(source, policy).save(buffer, "PNG")
    return _data_url(buffer.getvalue(), "image/png")


def document_url(source: Any, policy: MediaPolicy) -> str:
    """Return a URL for a document, as `source_url`; bytes become a data URL.

    Raises:
        MediaError: a path cannot be written as a URL.
    """
    if isinstance(source, (str, os.PathLike)) and _is_path(source):
        return source_url(source, policy)
    with opened_source(source, policy) as opened:
        source = read_file(opened, policy) if isinstance(opened, Path) else opened
    data = bytes(source)
    return _data_url(data, "image/tiff" if is_tiff(data) else "application/pdf")


def _is_path(source: object) -> bool:
    """True if a source is a path, which may be one of another machine."""
    if isinstance(source, str):
        return not is_picture_in_base64(source)
    return isinstance(source, (os.PathLike, bytes, bytearray, memoryview))


_URL_SCHEMES = ("http", "https", "file", "data")


def _data_url(data: bytes, mime_type: str) -> str:
    return f"data:{mime_type};base64,{base64.b64encode(data).decode('ascii')}"
