"""The pages of a document that a task shows to the model, with their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from qwenvl_kit.errors import MediaError, MessageError, located
from qwenvl_kit.media.documents import DocumentPage, document_pages, has_pages
from qwenvl_kit.media.error_mapping import mapped_errors
from qwenvl_kit.media.loader import fetch_part
from qwenvl_kit.media.pages import DEFAULT_DPI, check_pages, is_pdf
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart, Message, TextPart, VideoPart
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.task_input import as_image_part, as_media, one_picture

PAGE_NAMES = MappingProxyType({"en": "Page {}:", "zh": "第{}页："})
"""The words before each page, if there are several."""


class ShownPage(NamedTuple):
    """A page of the document: its number, its name in the prompt, and its picture."""

    number: int
    name: str
    part: ImagePart | VideoPart


def shown_pages(
    document: Media | Sequence[Media],
    policy: MediaPolicy,
    *,
    pages: Iterable[int] | None,
    password: str | None,
    page_name: str,
) -> list[ShownPage]:
    """The pages of a document or of a list; a picture is its own only page.

    An error of a picture is not raised here, but by each request that shows the picture.

    Raises:
        MessageError: pages or a password were given for something else than a document, or a list
            of pages holds a document of several pages.
        MediaError: a document cannot be used.
    """
    found = _as_document(document, policy)
    if isinstance(found, DocumentPart):
        found = _with_settings(found, document, pages, password, policy)
        page_name = found.page_name if found is document else page_name
    elif pages is not None or password is not None:
        raise MessageError(
            f"{'pages were' if pages is not None else 'a password was'} given with pictures",
            expected="pages or a password only with a PDF or a TIFF",
        )
    given = [*_listed(found, policy)] if isinstance(found, list) else _numbered(found, policy)
    return [ShownPage(at, page_name.replace("{}", str(at)), page) for at, page in given]


def fresh_part(page: ShownPage) -> ImagePart | VideoPart:
    """The picture of a page, which is kept no longer than the request that shows it.

    A document keeps the pages that were drawn for as long as it is held: hundreds of them would
    fill the memory.
    """
    source: Any = page.part.source
    if not isinstance(source, DocumentPage):
        return page.part
    anew: Any = replace(source, document=source.document.anew())
    return replace(page.part, source=anew)


def message_about(shown: Sequence[ShownPage], question: str) -> Message:
    """The message of one question: the pages, named if there are several, and the question."""
    parts: list[Any] = []
    for page in shown:
        parts += [page.part] if len(shown) == 1 else [TextPart(page.name), page.part]
    return Message.user(*parts, question)


def _as_document(document: Any, policy: MediaPolicy) -> DocumentPart | ImagePart | list[Any]:
    """A document, a picture that is not one, or a list of pages."""
    if isinstance(document, DocumentPart):
        return document
    if isinstance(document, (list, tuple, VideoPart)):
        return list(as_media(document))
    part = as_image_part(document)
    if is_pdf(part.source):
        part = fetch_part(part, policy)
    else:
        try:
            part = fetch_part(part, policy)
            if not has_pages(part.source, policy):
                return [part]
        except MediaError:  # raised again by each request that shows it
            return [part]
    return part if isinstance(document, ImagePart) else DocumentPart(part.source)  # type: ignore[arg-type]


def _with_settings(
    part: DocumentPart,
    document: object,
    pages: Iterable[int] | None,
    password: str | None,
    policy: MediaPolicy,
) -> DocumentPart:
    if pages is None and password is None:
        return part
    if part is document:
        raise MessageError(
            "pages or a password were given together with a DocumentPart",
            expected="these settings in the DocumentPart",
        )
    numbers = check_pages(pages, DEFAULT_DPI, policy)
    return replace(part, pages=None if numbers is None else tuple(numbers), password=password)


def _numbered(
    part: DocumentPart | ImagePart, policy: MediaPolicy
) -> list[tuple[int, ImagePart | VideoPart]]:
    with mapped_errors():
        pages = document_pages(fetch_part(part, policy), policy)
    if pages is None:  # a TIFF of a single page
        return [(1, part)]  # type: ignore[list-item]
    return [(page.source.number, page) for page in pages]  # type: ignore[union-attr]


def _listed(
    items: Sequence[Any], policy: MediaPolicy
) -> Iterator[tuple[int, ImagePart | VideoPart]]:
    """The items of a list; a document among them must have exactly one page."""
    for number, item in enumerate(items, 1):
        if isinstance(item, VideoPart):
            yield number, item
            continue
        with located(f"document[{number - 1}]"):
            yield number, _only_page(item, policy)


def _only_page(item: Any, policy: MediaPolicy) -> ImagePart:
    if isinstance(item, DocumentPart):
        return one_picture(policy, fetch_part(item, policy), "")
    part = as_image_part(item)
    try:
        return one_picture(policy, part, "")
    except MediaError:  # raised again by each request that shows it
        return part
