"""Ask questions about a document: its pages, or a PDF."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import MessageError
from qwenvl_kit.messages.message import Message, TextPart
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media, Request
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.structured_output.json_schema import object_schema
from qwenvl_kit.structured_output.partial_json import PartialJson
from qwenvl_kit.tasks.prompts import Language, chosen_prompt
from qwenvl_kit.tasks.shown_pages import ShownPage, shown_pages
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
"""Questions that are asked of many documents, by name and language."""


PAGE_PROMPTS = MappingProxyType(
    {
        "en": "Answer as JSON with two fields: answer, and page: the number of the page where the "
        "answer stands, or null if it stands on no single one.",
        "zh": "以JSON格式回答，包含两个字段：answer（答案），page（答案所在页的页码；"
        "若不在某一页上则为 null）。",
    }
)
"""How the page of an answer is asked for, where a document has several."""

_PAGE_NAMES = MappingProxyType({"en": "Page {}:", "zh": "第{}页："})


@dataclass(frozen=True)
class DocumentAnswer(Answer):
    """The answer to one question about a document.

    Attributes:
        pages: the numbers of the pages that were shown, from 1 on.
    """

    pages: tuple[int, ...]

    @property
    def text(self) -> str:
        """The answer, without white space around it."""
        found = self._fields.get("answer")
        return super().text if found is None else str(found).strip()

    @property
    def page(self) -> int | None:
        """The page that it stands on; None if the model names no single one."""
        if len(self.pages) == 1:
            return self.pages[0]
        found = self._fields.get("page")
        return found if found in self.pages else None

    @property
    def confidence(self) -> float | None:
        """How sure the words of the answer are, in [0, 1]; see `Reply.confidence`."""
        return self._confidence_of("answer", self.reply.confidence)

    @property
    def page_confidence(self) -> float | None:
        """How probable the page was, in [0, 1]; None if there was one alone, and without scores."""
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
    """Answer each question about a document on its own.

    Questions are not put together into a numbered list: a model that skips or merges one would
    shift all the answers after it. The pages are read once for all of them. If there are several,
    each answer is bound to JSON with the number of its page beside it.

    Args:
        chat: who answers.
        document: a picture of it, a list of its pages, or a PDF or TIFF as a path, URL, bytes or
            `DocumentPart`.
        questions: what to ask; one asked twice is answered once. The name of a preset ("title",
            "authors", "summary", "tables", "structure") asks its question.
        instruction: what is added to each question; None adds "from this document only".
        language: of presets and instruction.
        pages: of a PDF or TIFF, from 1 on; None takes all.
        password: of a PDF that is locked.
        sampling: how to generate.
        budget: what each page may cost.

    Raises:
        MessageError: no questions, or one that is no text.
        MediaError: a PDF that is damaged, too long, or has no such pages.
        DocumentPasswordError: it is locked.
        MissingPackageError: a PDF, without pypdfium2.
    """
    asked = _checked_questions(questions)
    chosen = chosen_prompt(INSTRUCTIONS, language, instruction)
    shown = shown_pages(
        document,
        chat.policy,
        pages=pages,
        password=password,
        page_name=_PAGE_NAMES[language],
    )
    if not shown:
        raise MessageError("no pages were given", expected="at least one", where="document")
    numbers = tuple(page.number for page in shown)
    form, constraint = ("", None) if len(shown) == 1 else _form(numbers, language)
    requests = [
        Request(
            _message(shown, "\n".join(filter(None, (PRESETS[language].get(q, q), chosen, form)))),
            constraint=constraint,
        )
        for q in asked
    ]
    replies = chat.ask_many(requests, sampling=sampling, budget=budget)
    return DocumentAnswers.of(asked, replies, lambda reply: DocumentAnswer(reply, numbers))


def _message(shown: Sequence[ShownPage], question: str) -> Message:
    """The pages, each after its name if there are several, and the question."""
    parts: list[Any] = []
    for page in shown:
        parts += [page.part] if len(shown) == 1 else [TextPart(page.name), page.part]
    return Message.user(*parts, question)


def _form(numbers: Sequence[int], language: str) -> tuple[str, Constraint]:
    """How an answer with its page is asked for, and what it must look like."""
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
