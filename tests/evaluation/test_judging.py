"""A judge reads what a rule cannot read, and the result tells how much it read."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.errors import EvaluationError, GenerationError
from qwenvl_kit.evaluation import Benchmark, EvaluationItem, ItemScore, evaluate
from qwenvl_kit.evaluation.items import UNREAD
from qwenvl_kit.evaluation.judge_prompts import verdict_prompt

from .benches import benchmark, chat_that, question_of, right_answer


class Judged(Benchmark):
    """A rule that reads only answers of one word, and asks a judge about others."""

    def score(self, item: EvaluationItem, answer: str) -> ItemScore:
        words = answer.split()
        return ItemScore(float(words == list(item.targets)), answer) if len(words) == 1 else UNREAD

    def judge_prompt(self, item: EvaluationItem, answer: str) -> str | None:
        return f"Which colour does this name: {answer}"


def judged_benchmark() -> Judged:
    from .benches import rows

    return Judged(rows())


def wordy(request: BackendRequest) -> str:
    right = right_answer(request)
    return right if "number 1?" in question_of(request) else f"it must be {right}"


def last_word(request: BackendRequest) -> str:
    return question_of(request).split()[-1]


def test_a_judge_is_asked_only_about_answers_that_the_rule_cannot_read() -> None:
    with chat_that(wordy) as chat, chat_that(last_word) as judge:
        alone = evaluate(chat, judged_benchmark(), progress=False)
        helped = evaluate(chat, judged_benchmark(), judge=judge, progress=False)
    assert (alone.score, alone.num_unread, alone.num_judged) == (1 / 8, 7, 0)
    assert (helped.score, helped.num_unread, helped.num_judged) == (1.0, 0, 7)
    assert "7" in str(helped)
    assert helped.record.judge


def test_an_answer_for_which_the_judge_fails_is_a_failure_and_not_wrong() -> None:
    def fail(_request: BackendRequest) -> str:
        raise GenerationError("no judge today")

    with chat_that(wordy) as chat, chat_that(fail) as judge:
        result = evaluate(chat, judged_benchmark(), judge=judge, progress=False)
    assert (result.score, result.num_failed, result.num_unread) == (1.0, 7, 0)
    assert "no judge today" in str(result.failed[0].error)
    assert result.failed[0].answer
    assert "1 of 8" in str(result)


def test_what_a_judge_said_is_kept_beside_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    asked = []

    def reads(request: BackendRequest) -> str:
        asked.append(question_of(request))
        return last_word(request)

    with chat_that(wordy) as chat, chat_that(reads) as judge:
        first = evaluate(chat, judged_benchmark(), judge=judge, journal=journal, progress=False)
        assert len(asked) == 7
        again = evaluate(chat, judged_benchmark(), judge=judge, journal=journal, progress=False)
    assert len(asked) == 7
    assert first.score == again.score
    assert (tmp_path / "run.jsonl.judge").exists()


def test_answers_that_are_left_to_a_judge_are_refused_without_one() -> None:
    with chat_that(right_answer) as chat, pytest.raises(EvaluationError, match="to a judge"):
        evaluate(chat, benchmark(scorer="judged"), progress=False)


def test_a_benchmark_with_the_scorer_judged_is_decided_by_the_judge() -> None:
    def says(request: BackendRequest) -> str:
        return "yes" if "red" in question_of(request) else "no"

    with chat_that(right_answer) as chat, chat_that(says) as judge:
        result = evaluate(chat, benchmark(scorer="judged"), judge=judge, progress=False)
    assert result.num_judged == 8
    assert result.score == 2 / 8


def test_the_verdict_prompt_leaves_braces_of_questions_as_they_are() -> None:
    item = EvaluationItem(id="1", question="{targets} or {answer}?", targets=("{answer}",))
    text = verdict_prompt(item, "{question}")
    assert "Question: {targets} or {answer}?\nRight answers: {answer}\nAnswer: {question}" in text
