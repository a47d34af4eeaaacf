"""Pages that are drawn in the decoding process: the child's side of `isolation.documents`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from qwenvl_kit.media.isolation.protocol import PAGE_SIZES
from qwenvl_kit.media.memory_bounds import Bound
from qwenvl_kit.media.pages import draw_pages, size_pages
from qwenvl_kit.media.worker.limits import picture_bytes, within
from qwenvl_kit.media.worker.requests import Answer, num_bytes_of, source_of


def answer_document(request: Mapping[str, Any], payload: bytes) -> Iterator[Answer]:
    """Answer a request for the sizes or the pictures of a document's pages, one by one.

    Raises:
        MediaError: the document cannot be used.
    """
    source, policy = source_of(request, payload)
    bound = _bound(request, num_bytes_of(source))
    asked = request["pages"], request["dpi"], request["password"]
    if request["kind"] == PAGE_SIZES:
        for number, size in size_pages(source, policy, *asked, bound=bound):
            sides = {"page_height_px": size.height_px, "page_width_px": size.width_px}
            yield {"number": number, **sides}, b""
        return
    for number, image in draw_pages(source, policy, *asked, bound=bound):
        yield {"number": number}, image


def _bound(request: Mapping[str, Any], num_bytes: int) -> Bound:
    def bound(num_pixels: int) -> AbstractContextManager[None]:
        return within(request["max_memory_bytes"], picture_bytes(num_bytes, num_pixels))

    return bound
