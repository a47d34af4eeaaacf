"""Pictures that are read in the decoding process: the child's side of `isolation.images`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from qwenvl_kit.media.images import decode_image, read_header
from qwenvl_kit.media.isolation.protocol import IMAGE_HEADER
from qwenvl_kit.media.worker.limits import picture_bytes, within
from qwenvl_kit.media.worker.requests import Answer, num_bytes_of, source_of


def answer_picture(request: Mapping[str, Any], payload: bytes) -> Iterator[Answer]:
    """Answer a request for the header or the pixels of a picture.

    Raises:
        MediaError: the picture cannot be used.
    """
    source, policy = source_of(request, payload)
    most = request["max_memory_bytes"]
    num_bytes = num_bytes_of(source)
    with within(most, picture_bytes(num_bytes, 0)):
        header = read_header(source, policy)
    if request["kind"] == IMAGE_HEADER:
        sides = {"height_px": header.size.height_px, "width_px": header.size.width_px}
        facts = {"orientation": header.orientation, "is_plain": header.is_plain}
        yield {**sides, **facts, "format": header.format}, b""
        return
    with within(most, picture_bytes(num_bytes, header.size.area_pixels)):
        yield {}, decode_image(source, policy)
