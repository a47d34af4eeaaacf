"""The pages of a source, each as a picture that is opened alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.documents.pictures import PagePictures
from qwenvl_kit.errors import MessageError
from qwenvl_kit.journal import fingerprint
from qwenvl_kit.media.documents import DocumentPage
from qwenvl_kit.media.fingerprints import identify_content
from qwenvl_kit.media.policy import MediaPolicy
from qwenvl_kit.messages.document_parts import DocumentPart
from qwenvl_kit.messages.message import ImagePart
from qwenvl_kit.options import as_budget
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.shown_pages import shown_pages


@dataclass(frozen=True)
class SourcePage:
    """A page that is to be read.

    Attributes:
        number: its number, from 1.
        part: its picture.
    """

    number: int
    part: ImagePart

    @property
    def fresh_part(self) -> ImagePart:
        """Its picture, which lives as long as the request that shows it.

        A document keeps the pages that were drawn for as long as it is held.
        """
        source: Any = self.part.source
        if not isinstance(source, DocumentPage):
            return self.part
        anew: Any = replace(source, document=source.document.anew())
        return replace(self.part, source=anew)


def source_pages(
    chat: VisionChat,
    source: Media | Sequence[Media],
    pages: Iterable[int] | None,
    password: str | None,
) -> list[SourcePage]:
    """Return the pages of a document or of a list of pictures; none is drawn.

    Raises:
        MessageError: there are none, or one is a video.
        MediaError: a document cannot be used.
    """
    shown = shown_pages(source, chat.policy, pages=pages, password=password, page_name="Page {}:")
    found = []
    for page in shown:
        if not isinstance(page.part, ImagePart):
            raise MessageError(
                "a video was given",
                expected="pages as pictures",
                where=f"source[{page.number - 1}]",
            )
        found.append(SourcePage(page.number, page.part))
    if not found:
        raise MessageError("no pages were given", expected="at least one", where="source")
    return found


def name_of(source: object) -> str:
    """Return the name of the file of a source; empty if it has none."""
    given = source.source if isinstance(source, (DocumentPart, ImagePart)) else source
    if isinstance(given, str) and given[:5].lower() == "data:":
        return ""
    if not isinstance(given, (str, os.PathLike)):
        return ""
    return Path(os.fsdecode(given).split("?")[0]).name


def pictures_of(pages: Sequence[SourcePage], policy: MediaPolicy) -> PagePictures:
    """Return the sources of the pictures of pages."""
    return PagePictures({page.number: page.part.source for page in pages}, policy)


def identify_pages(pages: Sequence[SourcePage], policy: MediaPolicy) -> str:
    """Return a text that tells a source from another; a document is read once.

    Raises:
        MediaError: a picture cannot be read.
    """
    first: Any = pages[0].part.source
    if isinstance(first, DocumentPage):
        document = first.document
        facts: Any = [identify_content(DocumentPart(document.source), policy), document.dpi]
        if (budget := pages[0].part.budget) is not None:
            facts.append(asdict(as_budget(budget)))
    else:
        facts = [identify_content(page.part, policy) for page in pages]
    return fingerprint(facts)
