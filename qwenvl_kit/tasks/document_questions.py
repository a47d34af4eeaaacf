"""Ask several questions about one document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.conversation import Media
from qwenvl_kit.errors import MessageError
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Request
from qwenvl_kit.results import Failure, Reply
from qwenvl_kit.tasks.answers import Answer

INSTRUCTION = "Answer from this document only, as briefly as possible."


class DocumentAnswers(Mapping[str, Answer]):
    """Answers by question, in the order asked; those that failed stand in `failures`.

    `answers[question]` raises the error of a question that failed.

    Args:
        answers: the answer to each question that was answered.
        failures: why the others were not.
    """

    def __init__(self, answers: Mapping[str, Answer], failures: Mapping[str, Failure]) -> None:
        self._answers = dict(answers)
        self.failures = dict(failures)

    def __getitem__(self, question: str) -> Answer:
        if question in self.failures:
            raise self.failures[question].error
        return self._answers[question]

    def __contains__(self, question: object) -> bool:
        return question in self._answers

    def __iter__(self) -> Iterator[str]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)

    def get(  # type: ignore[override]  # the default is an answer or None
        self, question: str, default: Answer | None = None
    ) -> Answer | None:
        """The answer to a question; the default if it failed or was not asked."""
        return self._answers.get(question, default)

    def __repr__(self) -> str:
        shown = {question: answer.text for question, answer in self._answers.items()}
        return f"DocumentAnswers({shown}, failures={self.failures})"


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
    results = dict(zip(asked, chat.ask_many(requests, sampling=sampling, budget=budget)))
    return DocumentAnswers(
        answers={q: Answer(found) for q, found in results.items() if isinstance(found, Reply)},
        failures={q: found for q, found in results.items() if isinstance(found, Failure)},
    )


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
