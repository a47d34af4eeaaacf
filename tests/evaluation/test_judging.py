"""A judge reads what a rule cannot read, and the result tells how much it read."""

from __future__ import annotations

from pathlib import Path

from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.errors import GenerationError
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


def test_a_judge_that_fails_leaves_the_answer_unread() -> None:
    def fail(_request: BackendRequest) -> str:
        raise GenerationError("no judge today")

    with chat_that(wordy) as chat, chat_that(fail) as judge:
        result = evaluate(chat, judged_benchmark(), judge=judge, progress=False)
    assert (result.num_unread, result.num_judged) == (7, 0)


def test_what_a_judge_said_is_kept_beside_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    with chat_that(wordy) as chat, chat_that(last_word) as judge:
        first = evaluate(chat, judged_benchmark(), judge=judge, journal=journal, progress=False)
        again = evaluate(chat, judged_benchmark(), judge=judge, journal=journal, progress=False)
    assert first.score == again.score
    assert (tmp_path / "run.jsonl.judge").exists()


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
