"""Pages that are drawn in the decoding process: what is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from qwenvl_kit.geometry import Size
from qwenvl_kit.media.isolation.client import ask_apart, num_bytes_of, source_of
from qwenvl_kit.media.memory_bounds import Bound
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.media.worker.limits import picture_bytes, within

if TYPE_CHECKING:
    import PIL.Image

    from qwenvl_kit.media.pages import Page, PageSize

_SIZES, _PAGES = "document page sizes", "document pages"
DOCUMENTS = (_SIZES, _PAGES)
"""Kinds of requests that are about documents."""


def measure_pages_apart(
    opened: Path | bytes,
    policy: MediaPolicy,
    pages: Sequence[int] | None,
    dpi: float,
    password: str | None,
) -> list[PageSize]:
    """As `measure_pages`, of an encoded document, in the decoding process; errors as below."""
    from qwenvl_kit.media.pages import PageSize

    wanted = {"pages": pages, "dpi": dpi, "password": password}
    return [
        PageSize(facts["number"], Size(facts["page_height_px"], facts["page_width_px"]))
        for facts, _ in ask_apart(_SIZES, opened, policy, policy.timeout_seconds, **wanted)
    ]


def read_pages_apart(
    opened: Path | bytes,
    policy: MediaPolicy,
    pages: Sequence[int] | None,
    dpi: float,
    password: str | None,
) -> Iterator[Page]:
    """As `read_pages`, of an encoded document, in the decoding process.

    Raises:
        MediaError: as there; the process died, or took too long or too much memory.
    """
    from qwenvl_kit.media.pages import Page

    wanted = {"pages": pages, "dpi": dpi, "password": password}
    for facts, image in ask_apart(_PAGES, opened, policy, policy.timeout_seconds, **wanted):
        yield Page(facts["number"], cast("PIL.Image.Image", image))


def answer_document(
    request: Mapping[str, Any], payload: bytes
) -> Iterator[tuple[dict[str, Any], PIL.Image.Image | bytes]]:
    """What the decoding process says of a document, or draws of it.

    Raises:
        MediaError: it cannot be used.
    """
    from qwenvl_kit.media.pages import draw_pages, size_pages

    source, policy = source_of(request, payload)
    bound = _bound(request, num_bytes_of(source))
    asked = request["pages"], request["dpi"], request["password"]
    if request["kind"] == _SIZES:
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
