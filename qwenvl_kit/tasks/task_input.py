"""What a task is given to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from qwenvl_kit.errors import MessageError
from qwenvl_kit.media.documents import document_pages
from qwenvl_kit.media.error_mapping import reading
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart
from qwenvl_kit.plans import ImagePlan
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply

_FIRST = "messages[0].parts[0]"
"""Where a task shows the picture that it is about."""


def as_image_part(image: Media) -> ImagePart:
    """A picture with the settings that it came with, if any."""
    return image if isinstance(image, ImagePart) else ImagePart(image)  # type: ignore[arg-type]


def one_picture(policy: MediaPolicy, image: Media, where: str = _FIRST) -> ImagePart:
    """The picture, or the only page of a document, with the settings that it came with, if any.

    Args:
        policy: what may be opened.
        image: the picture or document.
        where: its place in the request.

    Raises:
        MessageError: a document of several pages.
        MediaError: a document that cannot be used.
    """
    part = image if isinstance(image, DocumentPart) else as_image_part(image)
    with reading(where):
        pages = document_pages(part, policy)
    if pages is None:
        return cast(ImagePart, part)
    if len(pages) > 1:
        raise _several(len(pages))
    return pages[0]


def one_plan(reply: Reply) -> ImagePlan:
    """What was planned of the one picture that a request showed.

    Raises:
        MessageError: it turned out to be a document of several pages.
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
