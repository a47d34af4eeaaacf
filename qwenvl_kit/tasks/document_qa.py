"""Questions about a document: a PDF, a TIFF, or pictures of its pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.display.blocks import Cell
from qwenvl_kit.display.text import percent
from qwenvl_kit.errors import MessageError
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media, Request
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.structured_output.json_schema import object_schema
from qwenvl_kit.structured_output.partial_json import PartialJson
from qwenvl_kit.tasks.prompts import Language, chosen_prompt
from qwenvl_kit.tasks.shown_pages import PAGE_NAMES, ShownPage, message_about, shown_pages
from qwenvl_kit.tasks.task_result import Answer, Answers

INSTRUCTIONS = MappingProxyType(
    {
        "en": "Answer from this document only, as briefly as possible.",
        "zh": "仅根据此文档，尽可能简短地回答。",
    }
)
INSTRUCTION = INSTRUCTIONS["en"]

PRESETS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "en": MappingProxyType(
            {
                "title": "What is the title of this document?",
                "authors": "Who wrote this document?",
                "summary": "What does this document say, in three sentences?",
                "tables": "Which tables are in this document, and what do they show?",
                "structure": "What are the headings of this document, in their order?",
            }
        ),
        "zh": MappingProxyType(
            {
                "title": "这份文档的标题是什么？",
                "authors": "这份文档的作者是谁？",
                "summary": "用三句话概括这份文档。",
                "tables": "这份文档中有哪些表格，分别说明什么？",
                "structure": "按顺序列出这份文档的各级标题。",
            }
        ),
    }
)
"""Questions that are often asked about documents, by language and name."""


PAGE_PROMPTS = MappingProxyType(
    {
        "en": "Answer as JSON with two fields: answer, and page: the number of the page where the "
        "answer stands, or null if it stands on no single one.",
        "zh": "以JSON格式回答，包含两个字段：answer（答案），page（答案所在页的页码；"
        "若不在某一页上则为 null）。",
    }
)
"""The request for the page of an answer, if the document has several pages."""


@dataclass(frozen=True, repr=False)
class DocumentAnswer(Answer):
    """The answer to one question about a document. `str(answer)` is its text.

    Attributes:
        pages: the numbers of the pages that were shown; the first page is 1.
    """

    pages: tuple[int, ...]

    @property
    def text(self) -> str:
        """The answer, without white space around it."""
        found = self._fields.get("answer")
        return super().text if found is None else str(found).strip()

    def _known(self) -> dict[str, object]:
        return {"page": self.page, **super()._known()}

    @property
    def page(self) -> int | None:
        """The number of the page with the answer; None if the model names no single page."""
        if len(self.pages) == 1:
            return self.pages[0]
        found = self._fields.get("page")
        return found if found in self.pages else None

    @property
    def confidence(self) -> float | None:
        """The confidence in the words of the answer, in [0, 1]; see `Reply.confidence`."""
        return self._confidence_of("answer", self.reply.confidence)

    @property
    def page_confidence(self) -> float | None:
        """The probability of the page, in [0, 1]; None if there was only one page, or no scores."""
        return self._confidence_of("page", None)

    @cached_property
    def _written(self) -> PartialJson:
        return PartialJson(self.reply.text)

    @property
    def _fields(self) -> Mapping[str, Any]:
        found = self._written.value if len(self.pages) > 1 else None
        return found if isinstance(found, dict) else {}

    def _confidence_of(self, name: str, otherwise: float | None) -> float | None:
        if name not in self._fields:
            return otherwise
        for leaf in self._written.leaves:
            if leaf.path == (name,):
                return self.reply.confidence_between(leaf.start, leaf.stop)
        return otherwise


class DocumentAnswers(Answers[DocumentAnswer]):
    """Answers by question, in the order asked; see `Answers`."""

    _more_headings = ("page",)

    def _more_cells(self, answer: DocumentAnswer) -> list[Cell]:
        return ["" if answer.page is None else f"{answer.page} {percent(answer.page_confidence)}"]


def document_qa(
    chat: VisionChat,
    document: Media | Sequence[Media],
    questions: Sequence[str] | str,
    *,
    instruction: str | None = None,
    language: Language = "en",
    pages: Iterable[int] | None = None,
    password: str | None = None,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> DocumentAnswers:
    """Answer each of several questions about a document.

    Each question is a request of its own: in a numbered list of questions, the model may skip or
    merge one, and all answers after it would be shifted. The pages are read once for all questions.
    If the document has several pages, each answer is JSON with the number of its page.

    Example:
        answers = document_qa(chat, "contract.pdf", ["When does it end?"])
        answer = answers["When does it end?"]
        print(answer, answer.page, answer.confidence)

    Args:
        chat: the model to ask.
        document: a picture of it, a list of its pages, or a PDF or TIFF as a path, URL, bytes or
            `DocumentPart`.
        questions: the questions; one that is given twice is answered once. The name of a preset
            ("title", "authors", "summary", "tables", "structure") asks the question of that preset.
        instruction: the text that is added to each question; None adds "from this document only".
        language: the language of presets and instruction, "en" or "zh".
        pages: the pages of a PDF or TIFF to show, from 1 on; None shows all.
        password: the password of a locked PDF.
        sampling: the generation settings; None takes the default of the chat.
        budget: the `PixelBudget` of each page, or a preset such as "quick".

    Returns:
        The answers by question; those that failed are in its `failures`.

    Raises:
        MessageError: there are no questions, or one is no text.
        MediaError: a PDF is damaged, too long, or has no such pages.
        DocumentPasswordError: the PDF is locked, and the password is missing or wrong.
        MissingPackageError: a PDF was given, and pypdfium2 is not installed.
    """
    asked = _checked_questions(questions)
    chosen = chosen_prompt(INSTRUCTIONS, language, instruction, "instruction")
    shown = shown_pages(
        document,
        chat.policy,
        pages=pages,
        password=password,
        page_name=PAGE_NAMES[language],
    )
    if not shown:
        raise MessageError("no pages were given", expected="at least one", where="document")
    prompts = {q: "\n".join(filter(None, (PRESETS[language].get(q, q), chosen))) for q in asked}
    return ask_pages(chat, shown, prompts, language=language, sampling=sampling, budget=budget)


def ask_pages(
    chat: VisionChat,
    shown: Sequence[ShownPage],
    prompts: Mapping[str, str],
    *,
    language: Language,
    sampling: Sampling | None,
    budget: BudgetChoice | None,
) -> DocumentAnswers:
    """Ask about pages that are open already, each prompt by a request of its own.

    Args:
        chat: the model to ask.
        shown: the pages, at least one.
        prompts: the prompt of each question.
        language: the language of the request for the page of an answer.
        sampling: the generation settings.
        budget: the budget of each page.
    """
    numbers = tuple(page.number for page in shown)
    form, constraint = ("", None) if len(shown) == 1 else _form(numbers, language)
    requests = [
        Request(
            message_about(shown, f"{prompt}\n{form}" if form else prompt), constraint=constraint
        )
        for prompt in prompts.values()
    ]
    replies = chat.ask_many(requests, sampling=sampling, budget=budget)
    return DocumentAnswers.of(prompts, replies, lambda reply: DocumentAnswer(reply, numbers))


def _form(numbers: Sequence[int], language: str) -> tuple[str, Constraint]:
    """The request for an answer with its page, and the constraint of such an answer."""
    fields = {"answer": {"type": "string"}, "page": {"enum": [*dict.fromkeys(numbers), None]}}
    return PAGE_PROMPTS[language], Constraint.from_schema(object_schema(fields))


def _checked_questions(questions: Sequence[str] | str) -> list[str]:
    if not isinstance(questions, Iterable):
        raise MessageError(
            f"questions of type {type(questions).__name__} were given", expected="a list of strings"
        )
    asked = [questions] if isinstance(questions, str) else list(questions)
    if not asked:
        raise MessageError("no questions were given", expected="at least one")
    for index, question in enumerate(asked):
        if not isinstance(question, str) or not question.strip():
            raise MessageError(
                f"{question!r} was given", expected="a question", where=f"questions[{index}]"
            )
    return list(dict.fromkeys(asked))
