"""Documents parsed page by page: the two functions for users."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Literal, TypeAlias

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.documents.document import Document
from qwenvl_kit.documents.pages import Page
from qwenvl_kit.errors import fresh, located
from qwenvl_kit.options import BudgetChoice, Sampling, as_budget
from qwenvl_kit.requests import Media
from qwenvl_kit.tasks.parse_document.asking import Asker, JournalPath, open_journal, plain_budget
from qwenvl_kit.tasks.parse_document.page_reader import PageReader
from qwenvl_kit.tasks.parse_document.prompts import (
    DocumentForm,
    PageQuestion,
    page_question,
    page_sampling,
)
from qwenvl_kit.tasks.parse_document.sources import (
    SourcePage,
    identify_pages,
    name_of,
    pictures_of,
    source_pages,
)
from qwenvl_kit.tasks.prompts import Language, check_choice

Orientation: TypeAlias = Literal["as is", "auto"]

_ORIENTATIONS: tuple[Orientation, ...] = ("as is", "auto")

_WINDOW_PAGES = 64
"""The pages that are asked about together; the replies of one window are in memory."""


def parse_document(
    chat: VisionChat,
    source: Media | Sequence[Media],
    form: DocumentForm = "auto",
    pages: Iterable[int] | None = None,
    *,
    password: str | None = None,
    orientation: Orientation = "as is",
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
    journal: JournalPath | None = None,
    progress: bool = False,
) -> Document:
    """Parse a document into blocks: headings, paragraphs, lists, tables, pictures, formulas.

    Each page is a request of its own, by the prompt that the model was trained on. A page whose
    answer repeats itself, or is cut, is asked again in two halves. A page that fails has its
    `error`, and the others are still read. What had to be corrected is in the `warnings` of pages.

    Example:
        document = parse_document(chat, "report.pdf", journal="report.jsonl", progress=True)
        for block in document.blocks:
            print(block.page, block.kind, block.text, block.box, block.confidence)
        print(document.to_markdown("pictures"))

    Args:
        chat: the model to ask.
        source: a PDF or TIFF, a picture, or a list of pictures, as in `document_qa`.
        form: the form in which the model writes: "html", with a place for each block;
            "markdown", shorter, with places of pictures and tables alone; "blocks", JSON by a
            prompt of our own, for families that were trained for neither; or "auto": "html" where
            the family was trained for it, else "blocks".
        pages: the pages of a PDF or TIFF to read, from 1 on; None reads all. A document has at most
            `MediaPolicy.max_pages` pages.
        password: the password of a locked PDF.
        orientation: "auto" asks about each page which way up it is, and turns it if the model is
            sure; "as is" does not ask. In both cases a page whose blocks go upwards is told.
        language: the language of the prompts of our own, "en" or "zh".
        prompt: your own prompt, for a model that was fine-tuned; the form says how its answer is
            read.
        sampling: the generation settings; None is greedy, with up to 8,192 tokens for a page.
        budget: the `PixelBudget` of each page, or a preset such as "fine"; small print needs a
            larger one.
        journal: a file that keeps each answer as soon as it is there. A later call with the same
            arguments asks only for pages that are missing or failed; `pages` may differ.
        progress: True to show a progress bar.

    Returns:
        The document. Boxes are in pixels of the upright original picture of their page.

    Raises:
        UnsupportedFeatureError: the family was not trained for the form.
        MessageError: a setting is not known, or the source is no document.
        MediaError: a PDF is damaged, too long, or has no such pages.
        DocumentPasswordError: the PDF is locked, and the password is missing or wrong.
        JournalError: the journal belongs to other arguments, or cannot be used.
        GenerationError: all pages failed; the error is that of the first.
        MissingPackageError: a PDF was given, and pypdfium2 is not installed.
    """
    work = _Work(
        chat,
        source_pages(chat, source, pages, password),
        page_question(chat, form, language, prompt),
        orientation=orientation,
        language=language,
        sampling=sampling,
        budget=budget,
    )
    read = work.pages(journal)
    with closing(read):
        found = tuple(_with_progress(read, len(work.sources)) if progress else read)
    failed = [page.error for page in found if page.error is not None]
    if len(failed) == len(found):
        raise fresh(failed[0])
    return Document(found, name_of(source), pictures_of(work.sources, chat.policy))


def parse_pages(
    chat: VisionChat,
    source: Media | Sequence[Media],
    form: DocumentForm = "auto",
    pages: Iterable[int] | None = None,
    *,
    password: str | None = None,
    orientation: Orientation = "as is",
    language: Language = "en",
    prompt: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
    journal: JournalPath | None = None,
) -> Iterator[Page]:
    """Yield the pages of a document one by one, in their order; nothing of them is kept here.

    The arguments and errors are those of `parse_document`, but a page that fails is never raised.

    Example:
        for page in parse_pages(chat, "archive.pdf"):
            print(page.number, len(page.blocks), page.warnings)
    """
    work = _Work(
        chat,
        source_pages(chat, source, pages, password),
        page_question(chat, form, language, prompt),
        orientation=orientation,
        language=language,
        sampling=sampling,
        budget=budget,
    )
    return work.pages(journal)


class _Work:
    """The pages of a document, and how they are read."""

    def __init__(
        self,
        chat: VisionChat,
        sources: Sequence[SourcePage],
        question: PageQuestion,
        *,
        orientation: Orientation,
        language: Language,
        sampling: Sampling | None,
        budget: BudgetChoice | None,
    ) -> None:
        check_choice(orientation, _ORIENTATIONS, "orientation")
        if budget is not None:
            with located("budget"):
                as_budget(budget)
        self.sources = sources
        self._chat, self._question = chat, question
        self._orientation, self._language = orientation, language
        self._sampling, self._budget = page_sampling(sampling), budget

    def pages(self, journal: JournalPath | None) -> Generator[Page, None, None]:
        """Read the pages, some at a time."""
        settings = self._settings() if journal is not None else {}
        with open_journal(journal, settings, self._chat) as opened:
            asker = Asker(self._chat, opened, self._sampling, self._budget)
            reader = PageReader(asker, self._question, self._language, self._orientation == "auto")
            for first in range(0, len(self.sources), _WINDOW_PAGES):
                yield from reader.pages(self.sources[first : first + _WINDOW_PAGES])

    def _settings(self) -> dict[str, object]:
        """All that the answers depend on, apart from the model and the pages that are wanted."""
        with located("source"):
            source = identify_pages(self.sources, self._chat.policy)
        return {
            "source": source,
            "form": self._question.form,
            "prompt": self._question.text,
            "system": self._question.system,
            "orientation": self._orientation,
            "language": self._language,
            "budget": plain_budget(self._budget),
            "sampling": asdict(self._sampling),
        }


def _with_progress(pages: Iterator[Page], total: int) -> Iterable[Page]:
    from qwenvl_kit.display.progress import progress_bar

    return progress_bar()(pages, total=total, unit="page", disable=sys.stderr is None)  # type: ignore[no-any-return]
