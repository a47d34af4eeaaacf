"""Ask several questions about one document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qwenvl_kit.chat import Media, VisionChat
from qwenvl_kit.errors import MessageError
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Failure
from qwenvl_kit.tasks.answers import Answer

INSTRUCTION = "Answer from this document only, as briefly as possible."


class DocumentAnswers(Mapping[str, Answer]):
    """Answers by question, in the order asked.

    Looking up a question that failed raises its error; `failures` holds those.

    Args:
        results: an answer or a failure for each question.
    """

    def __init__(self, results: Mapping[str, Answer | Failure]) -> None:
        self._results = dict(results)

    @property
    def failures(self) -> Mapping[str, Failure]:
        """The questions that could not be answered."""
        return {q: found for q, found in self._results.items() if isinstance(found, Failure)}

    def __getitem__(self, question: str) -> Answer:
        found = self._results[question]
        if isinstance(found, Failure):
            raise found.error
        return found

    def __iter__(self) -> Iterator[str]:
        return (q for q, found in self._results.items() if isinstance(found, Answer))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"DocumentAnswers({ {question: str(self[question]) for question in self} })"


def document_qa(
    chat: VisionChat,
    document: Media | Sequence[Media],
    questions: Sequence[str] | str,
    *,
    instruction: str = INSTRUCTION,
    sampling: Sampling | None = None,
    budget: BudgetChoice | None = None,
) -> DocumentAnswers:
    """Answer each question about a document on its own.

    Questions are not put together into a numbered list: a model that skips or merges one would
    shift all the answers after it.

    Args:
        chat: who answers.
        document: a picture of it, or a list of its pages.
        questions: what to ask; one asked twice is answered once.
        instruction: what is added to each question.
        sampling: how to generate.
        budget: what each page may cost.

    Raises:
        MessageError: no questions, or one that is no text.
    """
    asked = _checked_questions(questions)
    pages = tuple(document) if isinstance(document, (list, tuple)) else (document,)
    requests = [
        Request.about(f"{question}\n{instruction}" if instruction else question, *pages)
        for question in asked
    ]
    results = chat.ask_many(requests, sampling=sampling, budget=budget)
    return DocumentAnswers(
        {
            question: result if isinstance(result, Failure) else Answer(result)
            for question, result in zip(asked, results)
        }
    )


def _checked_questions(questions: Sequence[str] | str) -> list[str]:
    asked = [questions] if isinstance(questions, str) else list(dict.fromkeys(questions))
    if not asked:
        raise MessageError("no questions were given", expected="at least one")
    for index, question in enumerate(asked):
        if not isinstance(question, str) or not question.strip():
            raise MessageError(
                f"{question!r} was given", expected="a question", where=f"questions[{index}]"
            )
    return asked
