"""The encoding of pictures and frames as data URLs that are small enough for a network."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import PIL.Image

ImageEncoding: TypeAlias = Literal["auto", "png", "jpeg"]
"""The image format of requests: lossless PNG, or JPEG at a quality without visible loss. "auto"
takes the smaller of the two for each picture, which is PNG for text and drawings."""

ENCODINGS = ("auto", "png", "jpeg")

_JPEG = {"format": "JPEG", "quality": 95, "subsampling": 0}
_PNG = {"format": "PNG", "compress_level": 1}
_SAMPLE_PX = 64


def picture_url(image: PIL.Image.Image, encoding: ImageEncoding) -> str:
    """Encode a picture as a data URL."""
    mime, data = _encoded(image, encoding)
    return f"data:{mime};base64,{_as_text(data)}"


def frames_url(frames: Sequence[Any], encoding: ImageEncoding) -> str:
    """Encode frames as vLLM reads them: their pictures in a list, in whatever format each is.

    Args:
        frames: uint8 (frames, height, width, 3).
        encoding: the format of each frame.
    """
    pictures = (_encoded(PIL.Image.fromarray(frame), encoding)[1] for frame in frames)
    return f"data:video/jpeg;base64,{','.join(map(_as_text, pictures))}"


def _encoded(image: PIL.Image.Image, encoding: ImageEncoding) -> tuple[str, bytes]:
    if encoding == "png" or (encoding == "auto" and _has_few_colours(image)):
        return "image/png", _saved(image, _PNG)
    return "image/jpeg", _saved(image, _JPEG)


def _has_few_colours(image: PIL.Image.Image) -> bool:
    """True if PNG makes it smaller than JPEG, as it does for screenshots and drawings.

    Only a tile in the middle is encoded both ways: encoding the whole picture twice would cost more
    than it saves.
    """
    width, height = image.size
    side = 4 * _SAMPLE_PX
    left, top = max(0, (width - side) // 2), max(0, (height - side) // 2)
    tile = image.crop((left, top, min(width, left + side), min(height, top + side)))
    return len(_saved(tile, _PNG)) <= len(_saved(tile, _JPEG))


def _saved(image: PIL.Image.Image, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def _as_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
