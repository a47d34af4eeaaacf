"""Prompts for judges, and the reading of their verdicts."""

from __future__ import annotations

from qwenvl_kit.evaluation.items import UNREAD, EvaluationItem, ItemScore
from qwenvl_kit.evaluation.prompting import fill
from qwenvl_kit.evaluation.scoring.yes_no import yes_no

VERDICT = """Does the answer mean the same as one of the right answers?
Question: {question}
Right answers: {targets}
Answer: {answer}
Reply with yes or no."""
"""The prompt by which a judge says whether an answer is right: `scorer="judged"`."""


def verdict_prompt(item: EvaluationItem, answer: str) -> str:
    """Return the text that asks a judge whether an answer is right.

    Args:
        item: the item.
        answer: the answer of the model.
    """
    targets = " | ".join(item.targets)
    return fill(VERDICT, {"question": item.question, "targets": targets, "answer": answer})


def read_verdict(answer: str, verdict: str) -> ItemScore:
    """Return the score of an answer by a judge's yes or no; any other verdict leaves it unread.

    Args:
        answer: the answer of the model.
        verdict: the text of the judge.
    """
    said = yes_no(verdict)
    return UNREAD if said is None else ItemScore(float(said == "yes"), answer)
