"""Pages of a document as parts of a message: they replace the `DocumentPart` once it is opened."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

from qwenvl_kit.messages.message import ImagePart, TextPart


class PagePlace(NamedTuple):
    """The place of a page in its message.

    Attributes:
        part_index: index of the document among the parts of the message as it was given.
        number: number of the page, from 1; None for the text before a page.
    """

    part_index: int
    number: int | None = None


@dataclass(frozen=True)
class PageName(TextPart):
    """The text before a page, such as "Page 3:"."""

    page_place: PagePlace


@dataclass(frozen=True, eq=False, repr=False)
class PageImage(ImagePart):
    """One page of a document, as a picture."""

    _: KW_ONLY
    page_place: PagePlace
