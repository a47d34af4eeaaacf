"""Questions about long documents: pages are found first, and the answer cites its place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.document import Document
from qwenvl_kit.errors import GenerationError, InputError, MessageError, QwenVLKitError
from qwenvl_kit.grounding.boxes import Box
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.answer_from_document.captions import CAPTION_PROMPTS, captions_of
from qwenvl_kit.tasks.answer_from_document.cited import CitedAnswer
from qwenvl_kit.tasks.answer_from_document.index import (
    DocumentIndex,
    RankedPage,
    best_block,
    import_bm25s,
)
from qwenvl_kit.tasks.document_qa import INSTRUCTIONS, PRESETS, DocumentAnswer, ask_pages
from qwenvl_kit.tasks.extract.later_looks import TEXT_NAMES
from qwenvl_kit.tasks.extract.printed import is_printed
from qwenvl_kit.tasks.locate import locate
from qwenvl_kit.tasks.prompts import Language, checked_words, chosen_prompt
from qwenvl_kit.tasks.shown_pages import PAGE_NAMES, ShownPage, shown_pages

WORDS_PROMPTS = MappingProxyType(
    {
        "en": "A document is searched for the answer to this question: {question}\nNone of its "
        "words stands in the document, which begins: {beginning}\nWrite ten other words that "
        "could stand beside the answer, in the language of the document, with commas between them.",
        "zh": "要在一份文档中查找此问题的答案：{question}\n文档中没有出现该问题的任何词语，"
        "文档开头为：{beginning}\n请用文档的语言写出十个可能出现在答案附近的其他词语，用逗号分隔。",
    }
)
"""The request for other words of a question whose own stand nowhere. It shows no picture."""

PLACE_NAMES = MappingProxyType(
    {
        "en": 'the text that answers the question "{question}"',
        "zh": "回答问题“{question}”的文字",
    }
)
"""The words by which a long answer is located: it need not be written as the page has it."""

_MOST_LOCATED = 60
"""The most characters of an answer that is looked for as it is."""

_LEAST_SHARE = 0.5
_LEAST_OF_BEST = 0.1
"""The share of the best page's score below which a page is not shown: it has only words that stand
on nearly all pages."""

_BEGINNING = 300
_WORDS_SAMPLING = Sampling(max_new_tokens=128)


def answer_from_document(
    chat: VisionChat,
    document: Media | Sequence[Media],
    question: str,
    *,
    index: DocumentIndex | Document | None = None,
    search: str | None = None,
    max_pages: int = 4,
    instruction: str | None = None,
    language: Language = "en",
    password: str | None = None,
    journal: str | os.PathLike[str] | None = None,
    progress: bool = False,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> CitedAnswer:
    """Answer a question about a document of any length, and cite the page and the place.

    Pages are ranked by the words of the question (`DocumentIndex`), without a second model. The
    best of them are shown as pictures, in their order; those with less than a tenth of the best
    score are not. A document of at most `max_pages` pages is shown as a whole, and not searched.

    The place of the answer is the block of the parsed document that holds its words; without such a
    block it is located in the picture of its page.

    Example:
        index = DocumentIndex(parse_document(chat, "report.pdf"))
        answer = answer_from_document(chat, "report.pdf", "Who signed it?", index=index)
        print(answer, answer.page, answer.box, answer.confidence)

    Args:
        chat: the model to ask.
        document: the document; see `document_qa`.
        question: the question; the name of a preset of `document_qa` asks that.
        index: the index of the document, or the document as it was parsed; keep it for further
            questions. None has captions of all pages written first; see `caption_pages`.
        search: the words by which pages are found; None takes those of the question.
        max_pages: the most pages that are shown.
        instruction: the text that is added to the question; None adds "from this document only".
        language: the language of the prompts, "en" or "zh".
        password: the password of a locked PDF.
        journal: a file for the captions, if they have to be written; a later call goes on from it.
        progress: True shows a progress bar of the captions.
        sampling: the generation settings of the answer; None takes the default of the chat.
        budget: the `PixelBudget` of each page that is shown, or a preset such as "quick".

    Returns:
        The answer. Where no word of the question stands on any page, the model is asked for others,
        and if these stand nowhere, too, the first pages are shown; `warnings` tell of both.

    Raises:
        MessageError: the question is empty, or no pages were given.
        InputError: `max_pages` is no whole number above 0, or the index has none of the pages.
        MediaError: a document cannot be used.
        MissingPackageError: bm25s is not installed, and the document has to be searched.
        GenerationError: the model failed.
    """
    asked = checked_words(question, "a question", "question")
    wanted = None if search is None else checked_words(search, "words to search for", "search")
    _check_count(max_pages)
    chosen = chosen_prompt(INSTRUCTIONS, language, instruction, "instruction")
    shown = shown_pages(
        document, chat.policy, pages=None, password=password, page_name=PAGE_NAMES[language]
    )
    if not shown:
        raise MessageError("no pages were given", expected="at least one", where="document")
    plain = PRESETS[language].get(asked, asked)
    words = plain if wanted is None else wanted
    known = index if isinstance(index, DocumentIndex) or index is None else DocumentIndex(index)
    if len(shown) > max_pages:
        import_bm25s()  # before captions are paid for
    if known is None and len(shown) > max_pages:
        written = captions_of(
            chat,
            shown,
            CAPTION_PROMPTS[language],
            journal=journal,
            progress=progress,
            sampling=None,
            budget="quick",
        )
        known = DocumentIndex(written)
    searching = _Search(chat, shown, known, language, max_pages)
    ranked = searching.pages_for(words)
    numbers = {page.number for page in ranked}
    looked_at = [page for page in shown if page.number in numbers]
    prompt = "\n".join(filter(None, (plain, chosen)))
    answers = ask_pages(
        chat, looked_at, {plain: prompt}, language=language, sampling=sampling, budget=budget
    )
    return searching.cited(answers[plain], plain, looked_at, ranked)


def _check_count(max_pages: object) -> None:
    if type(max_pages) is not int or max_pages < 1:
        raise InputError(
            f"max_pages={max_pages!r} was given", expected="a whole number of at least 1"
        )


@dataclass(frozen=True)
class _Place:
    """The place of an answer: a box, and the block or the reply that it is from."""

    box: Box | None = None
    block: Block | None = None
    locating: Reply | None = None


class _Search:
    """The search for the pages of one question, and for the place of its answer."""

    def __init__(
        self,
        chat: VisionChat,
        shown: Sequence[ShownPage],
        index: DocumentIndex | None,
        language: Language,
        max_pages: int,
    ) -> None:
        self._chat = chat
        self._shown = {page.number: page for page in shown}
        self._index = index
        self._language = language
        self._max_pages = max_pages
        self._warnings: list[str] = []

    def pages_for(self, question: str) -> tuple[RankedPage, ...]:
        """The pages to show, the best first.

        Raises:
            InputError: the index has none of the pages.
        """
        everything = tuple(RankedPage(number, None) for number in self._shown)
        if self._index is None or len(everything) <= self._max_pages:
            return everything
        self._check_index(self._index)
        ranked = self._ranked(self._index, question)
        if not ranked:
            self._warnings.append("no word of the question stands on any page")
            ranked = self._ranked(self._index, self._other_words(self._index, question))
        if not ranked:
            self._warnings.append(f"the first {self._max_pages} pages were shown instead")
            return everything[: self._max_pages]
        least = _LEAST_OF_BEST * (ranked[0].score or 0.0)
        return tuple(page for page in ranked[: self._max_pages] if (page.score or 0.0) >= least)

    def cited(
        self,
        answer: DocumentAnswer,
        question: str,
        shown: Sequence[ShownPage],
        ranked: tuple[RankedPage, ...],
    ) -> CitedAnswer:
        """The answer with its place."""
        place = self._place(answer, question)
        return CitedAnswer(
            answer.reply,
            answer.pages,
            looked_at=ranked,
            num_pages=len(self._shown),
            box=place.box,
            block=place.block,
            locating=place.locating,
            shown=tuple(shown),
            policy=self._chat.policy,
            warnings=tuple(dict.fromkeys([*answer.reply.warnings, *self._warnings])),
        )

    def _check_index(self, index: DocumentIndex) -> None:
        """Refuse the index of another document; tell of pages that it does not know."""
        unknown = [number for number in self._shown if index.page(number) is None]
        if len(unknown) == len(self._shown):
            raise InputError(
                f"the index has pages {_listed(index.pages)}",
                expected=f"pages of the document: {_listed(tuple(self._shown))}",
                where="index",
            )
        if unknown:
            self._warnings.append(f"not in the index, and so not searched: {_listed(unknown)}")
        empty = [number for number in index.empty_pages if number in self._shown]
        if empty:
            self._warnings.append(f"without words, and so not found: {_listed(empty)}")

    def _ranked(self, index: DocumentIndex, question: str) -> tuple[RankedPage, ...]:
        return tuple(page for page in index.rank(question) if page.number in self._shown)

    def _other_words(self, index: DocumentIndex, question: str) -> str:
        """Other words for a question, by the model; empty if it fails."""
        texts = (block.text for block in index.document.blocks if block.text)
        prompt = chosen_prompt(
            WORDS_PROMPTS,
            self._language,
            question=question,
            beginning=next(texts, "")[:_BEGINNING],
        )
        try:
            reply = self._chat.ask(prompt, sampling=_WORDS_SAMPLING)
        except GenerationError as error:
            self._warnings.append(f"no other words were found: {error}")
            return ""
        self._warnings.append(f"searched for the model's words instead: {reply.text.strip()}")
        return reply.text

    def _place(self, answer: DocumentAnswer, question: str) -> _Place:
        """The place of an answer on its page."""
        page = None if answer.page is None else self._shown.get(answer.page)
        if page is None or not answer.text:
            return _Place()
        block = self._block(answer, question, page.number)
        if block is not None:
            return _Place(self._on_page(block, answer, page.number), block)
        return self._located(answer, question, page)

    def _block(self, answer: DocumentAnswer, question: str, number: int) -> Block | None:
        """The block of the parsed page that holds the answer.

        Of several that hold all of it, the one with most words of the question; if none does, the
        one with most words of the answer, if these are at least half of them.
        """
        page = None if self._index is None else self._index.page(number)
        boxed = tuple(block for block in (page.blocks if page else ()) if block.box is not None)
        holding = tuple(block for block in boxed if is_printed(answer.text, block.text))
        if len(holding) > 1:
            return best_block(holding, question) or holding[0]
        return holding[0] if holding else best_block(boxed, answer.text, _LEAST_SHARE)

    def _on_page(self, block: Block, answer: DocumentAnswer, number: int) -> Box | None:
        """The box of a block, in pixels of the page as it is given now.

        A PDF that was parsed at another resolution has boxes in those pixels.
        """
        page = None if self._index is None else self._index.page(number)
        plan = dict(zip(answer.pages, answer.reply.plan.images)).get(number)
        if block.box is None or page is None or page.size is None or plan is None:
            return block.box
        across = plan.original.width_px / page.size.width_px
        down = plan.original.height_px / page.size.height_px
        return replace(
            block.box,
            label=answer.text,
            x1_px=block.box.x1_px * across,
            y1_px=block.box.y1_px * down,
            x2_px=block.box.x2_px * across,
            y2_px=block.box.y2_px * down,
        )

    def _located(self, answer: DocumentAnswer, question: str, page: ShownPage) -> _Place:
        """The place that the model locates in the picture of the page."""
        if len(answer.text) <= _MOST_LOCATED:
            what = TEXT_NAMES[self._language].replace("{text}", answer.text)
        else:
            what = PLACE_NAMES[self._language].replace("{question}", question)
        try:
            boxes = locate(self._chat, page.part, what, language=self._language)
        except QwenVLKitError as error:
            self._warnings.append(f"the place of the answer was not located: {error}")
            return _Place()
        self._warnings += boxes.warnings
        if len(boxes) > 1:
            self._warnings.append(f"{len(boxes)} places were located; the first is given")
        if not boxes:
            return _Place(locating=boxes.reply)
        return _Place(replace(boxes[0], label=answer.text), locating=boxes.reply)


def _listed(numbers: Sequence[int]) -> str:
    """Numbers of pages, the first ten of them."""
    more = f" and {len(numbers) - 10} more" if len(numbers) > 10 else ""
    return ", ".join(map(str, numbers[:10])) + more
