"""Pages of a document in the message that shows it, once it is known which there are."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

from qwenvl_kit.messages.message import ImagePart, TextPart


class PagePlace(NamedTuple):
    """Where a page stands.

    Attributes:
        part_index: of its document among the parts of the message as it was given.
        number: of the page; None for what stands before one.
    """

    part_index: int
    number: int | None = None


@dataclass(frozen=True)
class PageName(TextPart):
    """What a page is called, before it."""

    page_place: PagePlace


@dataclass(frozen=True, eq=False, repr=False)
class PageImage(ImagePart):
    """A page, as a picture."""

    _: KW_ONLY
    page_place: PagePlace
