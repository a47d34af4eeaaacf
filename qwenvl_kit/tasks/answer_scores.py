"""How probable each of several answers is, by the model's own account."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from qwenvl_kit.chat import VisionChat
from qwenvl_kit.errors import AnswerError, ContextLengthError, UnsupportedFeatureError
from qwenvl_kit.options import BudgetChoice, Sampling
from qwenvl_kit.requests import Media, Request
from qwenvl_kit.results import Reply
from qwenvl_kit.structured_output.constraints import Constraint
from qwenvl_kit.tasks.task_result import unusable


@dataclass(frozen=True)
class ScoredAnswers:
    """Answers to one question, each with the logarithm of its probability.

    Attributes:
        answers: the texts.
        logprobs: of each as a whole: all of its tokens and the one that ends it.
        replies: each as a reply.
    """

    answers: tuple[str, ...]
    logprobs: tuple[float, ...]
    replies: tuple[Reply, ...]

    @cached_property
    def probabilities(self) -> tuple[float, ...]:
        """Of each, given that it is one of them: they sum to 1."""
        highest = max(self.logprobs)
        weights = [math.exp(logprob - highest) for logprob in self.logprobs]
        total = sum(weights)
        return tuple(weight / total for weight in weights)

    @property
    def coverage(self) -> float:
        """How probable it was that the model would answer with one of them at all."""
        return min(1.0, sum(map(math.exp, self.logprobs)))


def score_answers(
    chat: VisionChat,
    question: str,
    media: Sequence[Media],
    answers: Sequence[str],
    *,
    budget: BudgetChoice | None = None,
) -> ScoredAnswers:
    """The probability of each answer, from the raw distribution of every token.

    Nothing is sampled: the model is made to write each of them. The question and its pictures
    are read once, and all answers are written together.

    Args:
        chat: who is asked.
        question: what is asked.
        media: pictures and videos that it is about.
        answers: what may be the answer.
        budget: what each picture may cost.

    Raises:
        SchemaError: no answers, or one twice.
        ContextLengthError: an answer that the context has no room for.
        UnsupportedFeatureError: the backend gives no scores.
        AnswerError: it does not write what it is bound to, or no answer is possible.
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
    """The probability of each answer to each of several questions, all asked together.

    The pictures are read once for all of them. Arguments and errors are those of `score_answers`.
    """
    Constraint.from_choices(answers)  # refuses what cannot be meant, all at once
    requests = [
        Request.about(question, *media, constraint=Constraint.from_choices([answer]))
        for question in questions
        for answer in answers
    ]
    most = max(len(answer.encode()) for answer in answers) + 1  # a token has a byte or more
    sampling = Sampling(max_new_tokens=most, max_cycle_tokens=None)
    replies = chat.ask_many(requests, sampling=sampling, budget=budget, on_error="raise")
    logprobs = [
        _logprob(reply, answers[at % len(answers)], f"answers[{at % len(answers)}]")
        for at, reply in enumerate(replies)
    ]
    spans = [slice(at, at + len(answers)) for at in range(0, len(replies), len(answers))]
    if not all(any(map(math.isfinite, logprobs[span])) for span in spans):
        raise AnswerError(
            "the model holds none of the answers possible: each has a probability of 0",
            expected="answers that it could give",
        )
    return [
        ScoredAnswers(tuple(answers), tuple(logprobs[span]), tuple(replies[span])) for span in spans
    ]


def _logprob(reply: Reply, answer: str, where: str) -> float:
    """Of a whole answer, which the model was made to write."""
    if reply.finish_reason != "stop":
        raise ContextLengthError(
            "the answer is longer than the model's context leaves room for", where=where
        )
    if reply.logprob is None:
        raise UnsupportedFeatureError(
            "the backend gives no scores, by which answers are judged",
            hint="a local model, or a server that gives logprobs",
        )
    if reply.text.strip() != answer.strip() or math.isnan(reply.logprob):
        raise unusable(
            reply,
            f"the backend wrote {reply.text[:60]!r} with a log-probability of {reply.logprob}",
            expected=f"{answer[:60]!r}, which it was bound to, with its log-probability",
            hint="a local model, or a server that binds answers to a form",
            where=where,
        )
    return reply.logprob
