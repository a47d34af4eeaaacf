"""Captions of pages, by which a document is searched that nobody has parsed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import overload

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.document import Document
from qwenvl_kit.documents.pages import Page
from qwenvl_kit.errors import MessageError
from qwenvl_kit.messages.message import Message
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media, Request
from qwenvl_kit.results import Failure, Reply
from qwenvl_kit.tasks.prompts import Language, chosen_prompt
from qwenvl_kit.tasks.shown_pages import PAGE_NAMES, ShownPage, fresh_part, shown_pages

CAPTION_PROMPTS = MappingProxyType(
    {
        "en": "Write what this page can be found by, in the words of the page: its headings, its "
        "subjects, all names, dates and amounts, and what its tables and pictures show.",
        "zh": "用本页自己的文字写出可用来检索本页的内容：各级标题、主题、所有名称、日期和金额，"
        "以及表格和图片所示的内容。",
    }
)
"""The request for a caption of a page. The words are ours: no published prompt asks for this."""

_SAMPLING = Sampling(max_new_tokens=512, max_cycle_tokens=64)


def caption_pages(
    chat: VisionChat,
    source: Media | Sequence[Media],
    *,
    pages: Iterable[int] | None = None,
    password: str | None = None,
    language: Language = "en",
    prompt: str | None = None,
    journal: str | os.PathLike[str] | None = None,
    progress: bool = False,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = "quick",
) -> Document:
    """Have the model write by what each page can be found, in a few lines a page.

    It costs less than `parse_document`, which reads all words with their places, and finds less.
    Make a `DocumentIndex` of either.

    Args:
        chat: the model to ask.
        source: the document; see `document_qa`.
        pages: the numbers of the pages, from 1; None for all.
        password: the password of a locked PDF.
        language: the language of the prompt, "en" or "zh".
        prompt: your own prompt.
        journal: a file to which each caption is written at once. A later call with the same file
            goes on from there.
        progress: True shows a progress bar.
        sampling: the generation settings; None is greedy, 512 tokens at most.
        budget: the `PixelBudget` of each page; small print needs more than "quick".

    Returns:
        A document with one block a page, its caption, without a box. A page that failed has its
        `error` and no block; a caption that was cut off has a warning.

    Raises:
        MessageError: no pages were given.
        MediaError: a document cannot be used.
        JournalError: the journal belongs to something else.
    """
    question = chosen_prompt(CAPTION_PROMPTS, language, prompt)
    shown = shown_pages(
        source, chat.policy, pages=pages, password=password, page_name=PAGE_NAMES[language]
    )
    return captions_of(
        chat,
        shown,
        question,
        journal=journal,
        progress=progress,
        sampling=sampling,
        budget=budget,
    )


def captions_of(
    chat: VisionChat,
    shown: Sequence[ShownPage],
    question: str,
    *,
    journal: str | os.PathLike[str] | None,
    progress: bool,
    sampling: Sampling | None,
    budget: BudgetChoice | None,
) -> Document:
    """Have the captions of pages written that are open already; see `caption_pages`."""
    if not shown:
        raise MessageError("no pages were given", expected="at least one", where="source")

    requests = _Requests(shown, question)
    results = chat.ask_many(
        requests,
        sampling=sampling or _SAMPLING,
        budget=budget,
        journal=journal,
        progress=progress,
    )
    return Document(tuple(_page(page, result) for page, result in zip(shown, results)))


class _Requests(Sequence[Request]):
    """The requests for captions, of which each is made when it is read."""

    def __init__(self, shown: Sequence[ShownPage], question: str) -> None:
        self._shown = shown
        self._question = question

    def __len__(self) -> int:
        return len(self._shown)

    @overload
    def __getitem__(self, at: int) -> Request: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Request]: ...

    def __getitem__(self, at: int | slice) -> Request | Sequence[Request]:
        if isinstance(at, slice):
            return _Requests(self._shown[at], self._question)
        page = self._shown[at]
        return Request(Message.user(fresh_part(page), self._question), id=f"page {page.number}")


def _page(shown: ShownPage, result: Reply | Failure) -> Page:
    if isinstance(result, Failure):
        return Page(shown.number, None, error=result.error)
    text = result.text.strip()
    blocks = (Block("text", text, None, result.confidence, page=shown.number),) if text else ()
    warnings = list(result.warnings)
    if result.finish_reason != "stop":
        warnings.append(f"the caption ended early ({result.finish_reason})")
    size = result.plan.images[0].original if result.plan.images else None
    return Page(shown.number, size, blocks, tuple(warnings), replies=(result,))
