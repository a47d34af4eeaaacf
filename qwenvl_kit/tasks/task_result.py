"""The parts that the results of all tasks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from qwenvl_kit.display.blocks import Cell, bar, facts, table
from qwenvl_kit.display.replies import reply_html
from qwenvl_kit.display.styles import framed
from qwenvl_kit.display.text import count, short_repr, shortened
from qwenvl_kit.errors import AnswerError, fresh
from qwenvl_kit.results import Failure, Reply

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True, repr=False)
class Answer:
    """The answer of a task. `str(answer)` is its text.

    Attributes:
        reply: the whole reply: tokens, usage, timing and plan.
    """

    reply: Reply

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return short_repr(type(self).__name__, self.text, **self._known())

    def _known(self) -> dict[str, object]:
        """The facts of its repr, by name."""
        return {
            "confidence": self.confidence,
            "tokens": self.reply.usage.completion_tokens,
            "seconds": float(self.reply.timing.total),
        }

    def _repr_html_(self) -> str:
        return reply_html(self.reply)

    @property
    def text(self) -> str:
        """The answer, without white space around it."""
        return self.reply.text.strip()

    @property
    def confidence(self) -> float | None:
        """The confidence in the answer, in [0, 1]; None without scores. See `Reply.confidence`."""
        return self.reply.confidence


def unusable(
    reply: Reply, problem: str, *, expected: str = "", hint: str = "", where: str = ""
) -> AnswerError:
    """The error for an answer that is not of the form asked for; it holds the reply."""
    error = AnswerError(problem, expected=expected, hint=hint, where=where)
    error.reply = reply
    return error


_Answer = TypeVar("_Answer", bound=Answer)


class Answers(Mapping[str, _Answer], Generic[_Answer]):
    """Answers by question, in the order asked; failed questions are in `failures`.

    `answers[question]` raises the error of a question that failed.

    Args:
        answers: the answer to each question that was answered.
        failures: the failure of each other question.
    """

    def __init__(self, answers: Mapping[str, _Answer], failures: Mapping[str, Failure]) -> None:
        self._answers = dict(answers)
        self.failures = dict(failures)

    @classmethod
    def of(
        cls,
        questions: Iterable[str],
        results: Iterable[Reply | Failure],
        read: Callable[[Reply], _Answer],
    ) -> Self:
        """Pair questions with their results; `read` turns a reply into an answer."""
        found = dict(zip(questions, results))
        return cls(
            answers={q: read(reply) for q, reply in found.items() if isinstance(reply, Reply)},
            failures={q: failed for q, failed in found.items() if isinstance(failed, Failure)},
        )

    def __getitem__(self, question: str) -> _Answer:
        if question in self.failures:
            raise fresh(self.failures[question].error)
        return self._answers[question]

    def __contains__(self, question: object) -> bool:
        return question in self._answers

    def __iter__(self) -> Iterator[str]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)

    def get(  # type: ignore[override]  # the default is an answer or None
        self, question: str, default: _Answer | None = None
    ) -> _Answer | None:
        """The answer to a question; the default if it failed or was not asked."""
        return self._answers.get(question, default)

    def __repr__(self) -> str:
        shown = {question: shortened(answer.text) for question, answer in self._answers.items()}
        return f"{type(self).__name__}({shown}, failures={self.failures})"

    def _repr_html_(self) -> str:
        rows: list[list[Cell]] = [
            [question, answer.text, bar(answer.confidence), *self._more_cells(answer)]
            for question, answer in self._answers.items()
        ]
        rows += [[question, str(failed), ""] for question, failed in self.failures.items()]
        told = f"{count(len(self._answers), 'answer')}, {count(len(self.failures), 'failure')}"
        headings = ("question", "answer", "confidence", *self._more_headings)
        return framed(table(headings, rows), facts(told))

    _more_headings: tuple[str, ...] = ()

    def _more_cells(self, _: _Answer) -> list[Cell]:
        """The cells under the other headings."""
        return []
