"""Pages that are drawn in the decoding process: what is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from qwenvl_kit.media.isolation.asking import ask_apart, source_of
from qwenvl_kit.media.policy import MediaPolicy

if TYPE_CHECKING:
    import PIL.Image

    from qwenvl_kit.media.pages import Page

_PAGES = "document pages"
DOCUMENTS = (_PAGES,)
"""Kinds of requests that are about documents."""


def read_pages_apart(
    source: Any, policy: MediaPolicy, pages: Sequence[int] | None, dpi: float, password: str | None
) -> Iterator[Page]:
    """As `read_pages`, of an encoded document, in the decoding process.

    Raises:
        MediaError: as there; the process died, or took too long or too much memory.
    """
    from qwenvl_kit.media.pages import Page

    wanted = {"pages": pages, "dpi": dpi, "password": password}
    for facts, image in ask_apart(_PAGES, source, policy, **wanted):
        yield Page(facts["number"], cast("PIL.Image.Image", image))


def answer_document(
    request: Mapping[str, Any], payload: bytes
) -> Iterator[tuple[dict[str, Any], PIL.Image.Image]]:
    """What the decoding process draws of a document.

    Raises:
        MediaError: it cannot be used.
    """
    from qwenvl_kit.media.pages import draw_pages

    source, policy = source_of(request, payload)
    asked = request["pages"], request["dpi"], request["password"]
    for number, image in draw_pages(source, policy, *asked):
        yield {"number": number}, image
