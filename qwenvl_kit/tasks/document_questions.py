"""Ask questions about a document: its pages, or a PDF."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.conversation import Media
from qwenvl_kit.errors import MessageError
from qwenvl_kit.media.pages import is_pdf, read_pages
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Request
from qwenvl_kit.tasks.answers import Answers
from qwenvl_kit.tasks.pictures import as_media
from qwenvl_kit.tasks.prompts import Language, chosen_prompt

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


class DocumentAnswers(Answers):
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
    shift all the answers after it. The pages are read once for all of them.

    Args:
        chat: who answers.
        document: a picture of it, a list of its pages, or a PDF as a path or bytes.
        questions: what to ask; one asked twice is answered once. The name of a preset ("title",
            "authors", "summary", "tables", "structure") asks its question.
        instruction: what is added to each question; None adds "from this document only".
        language: of presets and instruction.
        pages: of a PDF, from 1 on; None takes all.
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
    shown = _pages(chat, document, pages, password)
    requests = [
        Request.about("\n".join(filter(None, (PRESETS[language].get(q, q), chosen))), *shown)
        for q in asked
    ]
    return DocumentAnswers.of(asked, chat.ask_many(requests, sampling=sampling, budget=budget))


def _pages(
    chat: VisionChat,
    document: Media | Sequence[Media],
    pages: Iterable[int] | None,
    password: str | None,
) -> tuple[Media, ...]:
    if is_pdf(document):
        return tuple(read_pages(document, chat.policy, pages=pages, password=password))
    if pages is not None:
        raise MessageError("pages were given with pictures", expected="them with a PDF alone")
    return as_media(document)


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
