"""The pictures that a task is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from qwenvl_kit.errors import MessageError
from qwenvl_kit.media.documents import document_pages
from qwenvl_kit.media.error_mapping import mapped_errors
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart
from qwenvl_kit.plans import ImagePlan
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply

_FIRST = "messages[0].parts[0]"
"""The place of the only picture of a task in its request."""


def as_image_part(image: Media) -> ImagePart:
    """A picture as an `ImagePart`; one that is an `ImagePart` already keeps its settings."""
    return image if isinstance(image, ImagePart) else ImagePart(image)  # type: ignore[arg-type]


def one_picture(policy: MediaPolicy, image: Media, where: str = _FIRST) -> ImagePart:
    """The picture, or the only page of a document, as an `ImagePart` with its settings.

    Args:
        policy: the rules for sources that may be opened.
        image: the picture or document.
        where: its place in the request, for errors.

    Raises:
        MessageError: the document has several pages.
        MediaError: the document cannot be used.
    """
    part = image if isinstance(image, DocumentPart) else as_image_part(image)
    with mapped_errors(where):
        pages = document_pages(part, policy)
    if pages is None:
        return cast(ImagePart, part)
    if len(pages) > 1:
        raise _several(len(pages))
    return pages[0]


def one_plan(reply: Reply) -> ImagePlan:
    """The plan of the only picture of a request.

    Raises:
        MessageError: the picture was a document of several pages.
    """
    if len(reply.plan.images) != 1:
        raise _several(len(reply.plan.images))
    return reply.plan.images[0]


def as_media(given: Media | Sequence[Media]) -> tuple[Media, ...]:
    """One picture or video, or a list of them, as a tuple."""
    return tuple(given) if isinstance(given, (list, tuple)) else (cast(Media, given),)


def _several(count: int) -> MessageError:
    return MessageError(
        f"a document of {count} pages was given",
        expected="one picture, or one page",
        hint="DocumentPart(..., pages=[1])",
    )
