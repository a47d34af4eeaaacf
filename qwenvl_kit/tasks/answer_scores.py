"""Answer scores: the probability that the model gives to each of several answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.display.text import short_repr
from qwenvl_kit.errors import AnswerError, ContextLengthError, UnsupportedFeatureError
from qwenvl_kit.options import BudgetChoice
from qwenvl_kit.requests import Media, Request
from qwenvl_kit.results import Reply
from qwenvl_kit.tasks.task_result import unusable


@dataclass(frozen=True)
class ScoredAnswers:
    """Answers to one question, each with its log-probability.

    Attributes:
        answers: the texts.
        logprobs: the log-probability of each as a whole: the sum over all of its tokens and the one
            that ends it.
        replies: the reply of each.
    """

    answers: tuple[str, ...]
    logprobs: tuple[float, ...]
    replies: tuple[Reply, ...]

    def __repr__(self) -> str:
        best = max(range(len(self.answers)), key=self.logprobs.__getitem__)
        first, number = self.answers[best], len(self.answers)
        return short_repr("ScoredAnswers", first, answers=number, coverage=self.coverage)

    @cached_property
    def probabilities(self) -> tuple[float, ...]:
        """The probability of each, if the answer is one of them: they sum to 1."""
        highest = max(self.logprobs)
        weights = [math.exp(logprob - highest) for logprob in self.logprobs]
        total = sum(weights)
        return tuple(weight / total for weight in weights)

    @property
    def coverage(self) -> float:
        """The probability that the model answers with one of them at all, in [0, 1]."""
        return min(1.0, sum(map(math.exp, self.logprobs)))


def score_answers(
    chat: VisionChat,
    question: str,
    media: Sequence[Media],
    answers: Sequence[str],
    *,
    budget: BudgetChoice | None = None,
) -> ScoredAnswers:
    """Compute the probability of each answer, from the raw distribution of every token.

    Nothing is sampled: the model is forced to write each answer. The question and its pictures are
    read once, and the answers are scored many at a time.

    Args:
        chat: the model to ask.
        question: the question.
        media: the pictures and videos that it is about.
        answers: the possible answers.
        budget: the `PixelBudget` of each picture, or a preset such as "quick".

    Returns:
        The log-probability of each answer, and the probabilities among them.

    Raises:
        SchemaError: there are no answers, or one is given twice.
        ContextLengthError: the context has no room for an answer.
        UnsupportedFeatureError: the backend gives no log-probabilities.
        AnswerError: the backend does not enforce the answer, or all answers have a probability of
            0.
    """
    (scored,) = score_each(chat, [question], media, answers, budget=budget)
    return scored


def score_each(
    chat: VisionChat,
    questions: Sequence[str],
    media: Sequence[Media],
    answers: Sequence[str],
    *,
    budget: BudgetChoice | None = None,
) -> list[ScoredAnswers]:
    """Compute the probability of each answer to each of several questions, in one batch.

    The pictures are read once for all questions. Arguments and errors are those of `score_answers`.
    """
    requests = [Request.about(question, *media) for question in questions]
    return score_requests(chat, requests, answers, budget=budget)


def score_requests(
    chat: VisionChat,
    requests: Sequence[Request],
    answers: Sequence[str],
    *,
    budget: BudgetChoice | None = None,
) -> list[ScoredAnswers]:
    """Compute the probability of each answer to each of several requests, in one batch.

    Arguments and errors are those of `score_answers`.
    """
    scored = chat.score(requests, answers, budget=budget)
    replies = [reply for each in scored for reply in each]
    logprobs = [
        _logprob(reply, answers[at % len(answers)], f"answers[{at % len(answers)}]")
        for at, reply in enumerate(replies)
    ]
    spans = [slice(at, at + len(answers)) for at in range(0, len(replies), len(answers))]
    if not all(any(map(math.isfinite, logprobs[span])) for span in spans):
        raise AnswerError(
            "the model gives every answer a probability of 0",
            expected="at least one answer that the model could give",
        )
    return [
        ScoredAnswers(tuple(answers), tuple(logprobs[span]), tuple(replies[span])) for span in spans
    ]


def _logprob(reply: Reply, answer: str, where: str) -> float:
    """The log-probability of a whole answer that the model was forced to write."""
    if reply.finish_reason != "stop":
        raise ContextLengthError(
            "the answer is longer than the model's context leaves room for", where=where
        )
    if reply.logprob is None:
        raise UnsupportedFeatureError(
            "the backend gives no log-probabilities, which are needed to score answers",
            hint="a local model, or a server that gives logprobs",
        )
    if reply.text.strip() != answer.strip() or math.isnan(reply.logprob):
        raise unusable(
            reply,
            f"the backend wrote {reply.text[:60]!r} with a log-probability of {reply.logprob}",
            expected=f"{answer[:60]!r}, the only answer allowed, with its log-probability",
            hint="a local model, or a server that enforces the form of answers",
            where=where,
        )
    return reply.logprob
