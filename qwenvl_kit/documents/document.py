"""A document that was read: its pages and blocks, and the forms in which it is passed on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qwenvl_kit.display.text import count, short_repr
from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.joining import joined_blocks
from qwenvl_kit.documents.pages import Page
from qwenvl_kit.documents.pictures import PagePictures
from qwenvl_kit.errors import InputError

if TYPE_CHECKING:
    import PIL.Image


@dataclass(frozen=True, repr=False)
class Document:
    """A document as pages of blocks. `str(document)` is its Markdown.

    Attributes:
        pages: the pages that were read, in their order.
        name: the name of its file; empty if it has none.
        pictures: the pictures of its pages, opened when they are needed; None if it comes from
            JSON.
    """

    pages: tuple[Page, ...]
    name: str = ""
    pictures: PagePictures | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.to_markdown()

    def __repr__(self) -> str:
        pages, blocks = count(len(self.pages), "page"), count(len(self.blocks), "block")
        warned = len(self.warnings) or None
        return short_repr("Document", self.name, f"{pages}, {blocks}", warnings=warned)

    def _repr_html_(self) -> str:
        from qwenvl_kit.documents.showing import document_html

        return document_html(
            self.pages,
            self.pictures,
            name=self.name,
            warnings=self.warnings,
            markdown=self.to_markdown(),
        )

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks in reading order, each as it stands on its page."""
        return tuple(block for page in self.pages for block in page.blocks)

    @cached_property
    def joined(self) -> tuple[Block, ...]:
        """The blocks as one text: without margins, and joined where they go on over pages.

        The rules stand in `qwenvl_kit.documents.joining`.
        """
        return joined_blocks(self.pages)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings and errors of all pages, each with the number of its page."""
        return tuple(
            f"page {page.number}: {told}"
            for page in self.pages
            for told in (*page.warnings, *([str(page.error)] if page.error else []))
        )

    def to_markdown(self, folder: str | os.PathLike[str] | None = None) -> str:
        """Return the document as Markdown, with the tables of GitHub and formulas between `$$`.

        Text that would be HTML, a picture of the web or a script is kept as text.

        Args:
            folder: a folder for the pictures, which are cut from the original pixels of the pages
                and linked; it is made if it is not there. None leaves them out: a comment stands in
                the place of each.

        Raises:
            InputError: the folder cannot be written to, or the document has no pictures.
            MediaError: the source of the pages cannot be opened any more.
        """
        from qwenvl_kit.documents.writing.markdown import to_markdown

        return to_markdown(self.joined, self._files(folder))

    def to_html(self, folder: str | os.PathLike[str] | None = None) -> str:
        """Return the document as a page of HTML, which runs no script and fetches nothing.

        All text is escaped. The arguments and errors are those of `to_markdown`.
        """
        from qwenvl_kit.documents.writing.html import to_html

        return to_html(self.joined, self.name, self._files(folder))

    def _files(self, folder: str | os.PathLike[str] | None) -> Mapping[int, str]:
        from qwenvl_kit.documents.writing.picture_files import write_pictures

        return {} if folder is None else write_pictures(self.joined, self.pictures, folder)

    def to_json(self) -> str:
        """Return the document as JSON, from which `from_json` makes an equal one.

        Replies and pictures are left out.
        """
        from qwenvl_kit.documents.writing.json_form import pages_to_json

        return pages_to_json(self.pages, self.name)

    @classmethod
    def from_json(cls, text: str | bytes) -> Document:
        """Return the document that `to_json` wrote.

        Raises:
            InputError: it is something else.
        """
        from qwenvl_kit.documents.writing.json_form import pages_from_json

        pages, name = pages_from_json(text)
        return cls(pages, name)

    def to_docling(self) -> dict[str, Any]:
        """Return the document in the form of docling.

        `docling_core.types.doc.DoclingDocument.model_validate(document.to_docling())` makes one of
        it; docling-core is not needed here.
        """
        from qwenvl_kit.documents.writing.docling import to_docling

        margins = [block for block in self.blocks if block.is_on_margin]
        return to_docling(self.pages, [*self.joined, *margins], self.name)

    def to_passages(self) -> list[dict[str, Any]]:
        """Return the document as passages for retrieval: dicts with `page_content` and `metadata`.

        Each has its page, its box and the headings above it; `langchain_core.documents.Document`
        takes them as they are.
        """
        from qwenvl_kit.documents.writing.passages import to_passages

        return to_passages(self.joined, self.name)

    def page(self, number: int) -> Page:
        """Return the page of a number.

        Raises:
            InputError: there is none, or it was not read.
        """
        found = next((page for page in self.pages if page.number == number), None)
        if found is None:
            known = ", ".join(str(page.number) for page in self.pages[:20])
            raise InputError(f"page {number!r} was asked for", expected=f"one of {known}")
        return found

    def draw(self, number: int) -> PIL.Image.Image:
        """Return the original picture of a page with the boxes of its blocks drawn on it.

        Raises:
            InputError: there is no such page, or the document has no pictures.
            MediaError: the picture cannot be opened any more.
        """
        from qwenvl_kit.documents.showing import drawn_page

        return drawn_page(self.page(number), self.pictures)
