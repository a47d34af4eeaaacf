"""Pictures and documents as data URLs, for those who send them elsewhere."""

from __future__ import annotations

import base64
import io
import os
from typing import Any

from qwenvl_kit.errors import MediaSourceError
from qwenvl_kit.media.images import decode_image
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.scans import is_tiff
from qwenvl_kit.media.sources import named_path, open_image


def source_url(source: Any) -> str:
    """A URL for a picture: URLs as they are, paths as `file://`, anything in memory as a data URL.

    Encoded bytes are kept byte for byte; pixels are written as PNG, which loses none.

    Raises:
        MediaError: the source is no picture.
    """
    if isinstance(source, str) and source.partition(":")[0].lower() in _URL_SCHEMES:
        return source
    if isinstance(source, (str, os.PathLike)):
        path = named_path(source)
        try:
            return path.expanduser().absolute().as_uri()
        except (OSError, ValueError, RuntimeError) as error:  # half a character, an odd ~
            raise MediaSourceError(
                f"{str(path)[:100]!r} cannot be written as a URL", expected="the path of a file"
            ) from error
    if isinstance(source, (bytes, bytearray, memoryview)):
        import PIL.Image

        image_format = open_image(source, MediaPolicy()).format or "PNG"
        return _data_url(bytes(source), PIL.Image.MIME.get(image_format, "image/png"))
    buffer = io.BytesIO()
    decode_image(source, MediaPolicy()).save(buffer, "PNG")
    return _data_url(buffer.getvalue(), "image/png")


def document_url(source: Any) -> str:
    """A URL for a document, as `source_url`: bytes become a data URL.

    Raises:
        MediaError: a path that cannot be written as a URL.
    """
    if not isinstance(source, (bytes, bytearray, memoryview)):
        return source_url(source)
    data = bytes(source)
    return _data_url(data, "image/tiff" if is_tiff(data) else "application/pdf")


_URL_SCHEMES = ("http", "https", "file", "data")


def _data_url(data: bytes, mime_type: str) -> str:
    return f"data:{mime_type};base64,{base64.b64encode(data).decode('ascii')}"
