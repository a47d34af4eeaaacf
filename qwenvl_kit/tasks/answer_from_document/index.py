"""The index of a document: its pages, ranked by the words of a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from qwenvl_kit.display.blocks import facts, table
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count, shortened
from qwenvl_kit.documents.blocks import Block
from qwenvl_kit.documents.document import Document
from qwenvl_kit.documents.pages import Page
from qwenvl_kit.errors import InputError, MissingPackageError
from qwenvl_kit.tasks.answer_from_document.words import words_of

_MOST_SHOWN = 200
_NO_WORDS = frozenset({"page_number"})
"""The kinds of blocks whose text says nothing about a page."""


@dataclass(frozen=True)
class RankedPage:
    """A page with its score for a question.

    Attributes:
        number: the number of the page, from 1.
        score: its score by BM25, of at least 0; 0 if no word of the question stands on it. Scores
            of one question can be compared, those of different questions cannot. None if the page
            was looked at without a search.
        words: the words of the question that stand on it.
    """

    number: int
    score: float | None
    words: tuple[str, ...] = ()

    def __repr__(self) -> str:
        score = "None" if self.score is None else f"{self.score:.2f}"
        return f"RankedPage({self.number}, score={score}, words={' '.join(self.words)!r})"


class DocumentIndex:
    """The words of each page of a document, to search it with many questions.

    Pages are ranked by BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25
    and Beyond", 2009) in the form of Lucene, with k1 = 1.5 and b = 0.75, by the package bm25s. It
    is built at the first question, once. No model runs.

    Save it with `index.document.to_json()`, and make it again of `Document.from_json`.

    Example:
        index = DocumentIndex(parse_document(chat, "report.pdf"))
        index.rank("Who signed the contract?")[0].number

    Args:
        document: a document that was parsed, or captions of its pages from `caption_pages`.

    Raises:
        InputError: it is no `Document`, or two of its pages have the same number.
    """

    def __init__(self, document: Document) -> None:
        if not isinstance(document, Document):
            raise InputError(
                f"a document of type {type(document).__name__} was given",
                expected="a Document",
                hint="parse_document(chat, source), or caption_pages(chat, source)",
            )
        self.document = document
        self._pages = {page.number: page for page in document.pages}
        if len(self._pages) < len(document.pages):
            raise InputError(
                "two pages of the document have the same number", expected="different numbers"
            )

    def __repr__(self) -> str:
        return f"DocumentIndex({count(len(self), 'page')})"

    def __len__(self) -> int:
        return len(self._pages)

    @property
    def pages(self) -> tuple[int, ...]:
        """The numbers of the pages, in the document's order."""
        return tuple(self._pages)

    @property
    def empty_pages(self) -> tuple[int, ...]:
        """The numbers of the pages without any words, which no question finds."""
        return tuple(number for number, words in zip(self._pages, self._words) if not words)

    def page(self, number: int) -> Page | None:
        """Return a page; None if the document has no such page."""
        return self._pages.get(number)

    def rank(self, question: str) -> tuple[RankedPage, ...]:
        """Return the pages with at least one word of a question, the best first.

        Pages with the same score come in their order.

        Raises:
            MissingPackageError: bm25s is not installed.
        """
        asked = dict.fromkeys(words_of(question))
        scores = self._ranking.scores(list(asked))
        ranked = [
            RankedPage(number, score, tuple(word for word in asked if word in words))
            for number, score, words in zip(self._pages, scores, self._word_sets)
            if score > 0
        ]
        return tuple(sorted(ranked, key=lambda page: (-(page.score or 0.0), page.number)))

    def _repr_html_(self) -> str:
        rows = [
            (str(page.number), str(len(words)), shortened(_text_of(page), _MOST_SHOWN))
            for page, words in zip(self._pages.values(), self._words)
        ]
        return framed(table(("page", "words", "text"), rows, numbers=(0, 1)), facts(repr(self)))

    @cached_property
    def _words(self) -> list[list[str]]:
        return [words_of(_text_of(page)) for page in self._pages.values()]

    @cached_property
    def _word_sets(self) -> list[frozenset[str]]:
        return [frozenset(words) for words in self._words]

    @cached_property
    def _ranking(self) -> Ranking:
        return Ranking(self._words)


class Ranking:
    """Scores of texts by BM25.

    Args:
        texts: the words of each text.

    Raises:
        MissingPackageError: bm25s is not installed.
    """

    def __init__(self, texts: list[list[str]]) -> None:
        self._num_texts = len(texts)
        self._known = frozenset(word for words in texts for word in words)
        self._bm25: Any = None
        bm25s = import_bm25s()
        if self._known:  # bm25s builds no index without words
            self._bm25 = bm25s.BM25(method="lucene", k1=1.5, b=0.75, backend="numpy")
            self._bm25.index(texts, show_progress=False)

    def scores(self, words: list[str]) -> list[float]:
        """Return the score of each text for these words; 0 where none of them stands."""
        asked = [word for word in words if word in self._known]
        if not asked:
            return [0.0] * self._num_texts
        return [float(score) for score in self._bm25.get_scores(asked)]


def best_block(blocks: Sequence[Block], wanted: str, least_share: float = 0.0) -> Block | None:
    """Return the block that matches a text best; None if none has enough of its words.

    Args:
        blocks: the blocks.
        wanted: the text.
        least_share: the least share of the words of the text that the block must have.
    """
    asked = frozenset(words_of(wanted))
    shared = [len(asked.intersection(words_of(block.text))) for block in blocks]
    # Of blocks with as many of the words, the shortest says where to look.
    order = sorted(range(len(blocks)), key=lambda at: (-shared[at], len(blocks[at].text)))
    if not order or not shared[order[0]]:
        return None
    best = order[0]
    return blocks[best] if shared[best] >= least_share * len(asked) else None


def _text_of(page: Page) -> str:
    return "\n".join(block.text for block in _with_text(page.blocks))


def _with_text(blocks: tuple[Block, ...]) -> Iterator[Block]:
    return (block for block in blocks if block.kind not in _NO_WORDS and block.text)


def import_bm25s() -> Any:
    """Import the package that ranks pages.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import bm25s
    except ImportError as error:
        raise MissingPackageError(
            "bm25s is not installed", hint="pip install 'qwenvl-kit[retrieval]'"
        ) from error
    return bm25s
