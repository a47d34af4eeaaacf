"""Pictures that are read in the decoding process: what is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from qwenvl_kit.geometry import Size
from qwenvl_kit.media.isolation.client import ask_apart, num_bytes_of, source_of
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.worker.limits import picture_bytes, within

if TYPE_CHECKING:
    import PIL.Image

    from qwenvl_kit.media.images import ImageHeader

_HEADER, _PIXELS = "picture header", "picture pixels"
PICTURES = (_HEADER, _PIXELS)
"""Kinds of requests that are about pictures."""


def read_header_apart(opened: Path | bytes, policy: MediaPolicy) -> ImageHeader:
    """As `read_header`, of a file or bytes, in the decoding process.

    Raises:
        MediaError: as there; the process died, or took too long or too much memory.
    """
    from qwenvl_kit.media.images import ImageHeader

    ((facts, _),) = ask_apart(_HEADER, opened, policy, policy.image_timeout_seconds)
    size = Size(height_px=facts["height_px"], width_px=facts["width_px"])
    return ImageHeader(size, facts["orientation"], facts["is_plain"], facts["format"])


def decode_image_apart(opened: Path | bytes, policy: MediaPolicy) -> PIL.Image.Image:
    """As `decode_image`, of a file or bytes, in the decoding process; errors as above."""
    ((_, image),) = ask_apart(_PIXELS, opened, policy, policy.image_timeout_seconds)
    return cast("PIL.Image.Image", image)


def answer_picture(
    request: Mapping[str, Any], payload: bytes
) -> Iterator[tuple[dict[str, Any], bytes | PIL.Image.Image]]:
    """What the decoding process says of a picture.

    Raises:
        MediaError: it cannot be used.
    """
    from qwenvl_kit.media.images import decode_image, read_header

    source, policy = source_of(request, payload)
    most = request["max_memory_bytes"]
    num_bytes = num_bytes_of(source)
    with within(most, picture_bytes(num_bytes, 0)):
        header = read_header(source, policy)
    if request["kind"] == _HEADER:
        sides = {"height_px": header.size.height_px, "width_px": header.size.width_px}
        facts = {"orientation": header.orientation, "is_plain": header.is_plain}
        yield {**sides, **facts, "format": header.format}, b""
        return
    with within(most, picture_bytes(num_bytes, header.size.area_pixels)):
        yield {}, decode_image(source, policy)
