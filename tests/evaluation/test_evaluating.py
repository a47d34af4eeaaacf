"""A chat answers a benchmark; its score says what was counted, and what was not."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import EvaluationError, GenerationError, JournalError
from qwenvl_kit.evaluation import Benchmark, ItemScore, evaluate, score_answers
from qwenvl_kit.evaluation.evaluating import CONDITIONS_KEY, JOURNAL_KIND, chosen_items
from qwenvl_kit.journal import read_records

from .benches import benchmark, chat_that, number_of, right_answer, rows


def half_right(request: BackendRequest) -> str:
    return right_answer(request) if number_of(request) < 4 else "mauve"


def evaluated(answer: Any = half_right, bench: Benchmark | None = None, **options: Any) -> Any:
    with chat_that(answer) as chat:
        return evaluate(chat, bench or benchmark(), progress=False, **options)


def test_the_score_is_the_mean_of_the_rule_over_all_items() -> None:
    result = evaluated()
    assert result.score == 0.5
    assert [each.is_right for each in result.items] == [True] * 4 + [False] * 4
    low, high = result.interval
    assert 0 <= low < 0.5 < high <= 1


def test_groups_have_scores_of_their_own() -> None:
    found = evaluated(lambda request: right_answer(request) if number_of(request) % 2 else "")
    assert {name: each.value for name, each in found.by_group["kind"].items()} == {
        "even": 0.0,
        "odd": 1.0,
    }


def test_an_item_has_its_question_targets_answer_and_what_was_read_of_it() -> None:
    first = evaluated(lambda _request: " Red. ").items[0]
    assert first.question == "Which colour is number 0?"
    assert first.targets == ("red",)
    assert first.answer == " Red. ".strip() or first.answer == " Red. "
    assert first.read
    assert first.reply is not None
    assert first.confidence == pytest.approx(first.reply.confidence)
    assert len(first.media) == 1


def test_an_empty_answer_is_wrong_and_counted_as_unread() -> None:
    result = evaluated(lambda request: "" if number_of(request) < 2 else right_answer(request))
    assert result.score == 0.75
    assert result.num_unread == 2
    assert result.num_failed == 0


def test_a_failure_is_counted_apart_and_the_mean_says_so() -> None:
    def fail(request: BackendRequest) -> str:
        if number_of(request) == 7:
            raise GenerationError("the device went away")
        return right_answer(request)

    result = evaluated(fail)
    assert result.score == 1.0
    assert result.num_failed == 1
    assert "7 of 8" in str(result)
    (failed,) = result.failed
    assert "the device went away" in str(failed.error)


def test_a_picture_that_cannot_be_decoded_is_a_failure_of_its_item() -> None:
    damaged = rows()
    damaged[3]["image"] = b"\x89PNG\r\n\x1a\nnothing more"
    result = evaluated(right_answer, Benchmark(damaged))
    assert [each.id for each in result.failed] == ["q3"]
    assert result.score == 1.0


def test_a_score_without_any_answer_is_an_error() -> None:
    def fail(_request: BackendRequest) -> str:
        raise GenerationError("the device went away")

    result = evaluated(fail)
    with pytest.raises(EvaluationError, match="none of 8 items was answered"):
        _ = result.score
    assert "8" in str(result)


@pytest.mark.parametrize("size", [1, 3, None])
def test_the_number_of_requests_in_flight_changes_no_score(size: int | None) -> None:
    result = evaluated(max_batch_size=size)
    assert [each.score for each in result.items] == [each.score for each in evaluated().items]
    assert result.interval == evaluated().interval


def test_the_order_of_rows_changes_no_score() -> None:
    options: Any = {"groups": ("kind",), "cluster": "picture"}
    turned = evaluated(bench=Benchmark(rows()[::-1], **options))
    straight = evaluated(bench=Benchmark(rows(), **options))
    assert (turned.score, turned.interval) == (straight.score, straight.interval)


def test_a_run_that_was_stopped_goes_on_from_its_journal(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"

    def stop(request: BackendRequest) -> str:
        if number_of(request) == 5:
            raise KeyboardInterrupt
        return half_right(request)

    with chat_that(stop) as chat, pytest.raises(BaseException):  # noqa: B017, PT011
        evaluate(chat, benchmark(), journal=journal, progress=False, max_batch_size=1)
    backend = ScriptedBackend(half_right)
    with VisionChat(backend) as chat:
        result = evaluate(chat, benchmark(), journal=journal, progress=False)
    assert 0 < len(backend.requests) < 8
    whole = evaluated()
    assert (result.score, result.interval) == (whole.score, whole.interval)


def test_a_higher_limit_goes_on_from_the_journal_of_a_lower_one(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    evaluated(journal=journal, limit=3)
    backend = ScriptedBackend(half_right)
    with VisionChat(backend) as chat:
        result = evaluate(chat, benchmark(), journal=journal, limit=5, progress=False)
    assert len(backend.requests) == 2
    assert len(result.items) == 5


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bench": "prompt"}, "prompt"),
        ({"sampling": Sampling(max_new_tokens=7)}, "sampling"),
        ({"budget": "quick"}, "budget"),
        ({"bench": "rows"}, "data"),
    ],
)
def test_a_journal_of_another_evaluation_is_refused_with_what_differs(
    changed: dict[str, Any], said: str, tmp_path: Path
) -> None:
    journal = tmp_path / "run.jsonl"
    evaluated(journal=journal)
    others = {"prompt": benchmark(prompt="{question} Be short."), "rows": benchmark(6)}
    options = {**changed, "bench": others.get(changed.get("bench", ""), benchmark())}
    with pytest.raises(JournalError, match=said):
        evaluated(journal=journal, **options)


def test_a_part_is_drawn_by_the_seed_and_lies_in_every_larger_part() -> None:
    bench = benchmark(40)
    few, more = ({item.id for item in chosen_items(bench, n, 1)} for n in (5, 20))
    assert len(few) == 5
    assert few < more
    assert few != {item.id for item in chosen_items(bench, 5, 2)}
    assert [item.id for item in chosen_items(bench, None, 1)] == [item.id for item in bench]


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_the_order_of_rows_does_not_decide_which_are_drawn(limit: int) -> None:
    straight, turned = Benchmark(rows(20)), Benchmark(rows(20)[::-1])
    drawn = [{item.id for item in chosen_items(each, limit, 5)} for each in (straight, turned)]
    assert drawn[0] == drawn[1]


def test_a_scorer_of_ones_own_that_fails_costs_its_item_alone() -> None:
    bench = benchmark(scorer=lambda answer, item: 1 / (item.id != "q3"))
    result = evaluated(right_answer, bench)
    assert result.score == 1.0
    (failed,) = result.failed
    assert failed.id == "q3"
    assert failed.answer == "green"
    assert "ZeroDivisionError" in str(failed.error)
    assert failed.reply is not None


def test_failures_hold_no_pictures_in_memory() -> None:
    damaged = rows()
    damaged[3]["image"] = b"\x89PNG\r\n\x1a\nnothing more"
    (failed,) = evaluated(right_answer, Benchmark(damaged)).failed
    assert failed.error is not None
    assert failed.error.__traceback__ is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": 1.5},
        {"limit": True},
        {"seed": -1},
        {"method": "guess"},
        {"max_batch_size": -1},
    ],
)
def test_an_argument_that_cannot_be_used_is_told(wrong: dict[str, Any]) -> None:
    with pytest.raises(EvaluationError, match=next(iter(wrong))):
        evaluated(**wrong)


def test_what_is_no_benchmark_is_told() -> None:
    with chat_that(half_right) as chat, pytest.raises(EvaluationError, match="list was given"):
        evaluate(chat, rows())  # type: ignore[arg-type]


def test_answers_are_greedy_unless_told_otherwise() -> None:
    backend = ScriptedBackend(half_right)
    with VisionChat(backend) as chat:
        evaluate(chat, benchmark(), progress=False)
    assert {request.sampling.temperature for request in backend.requests} == {0.0}
    assert {request.sampling.max_new_tokens for request in backend.requests} == {
        Benchmark.max_new_tokens
    }


def test_the_bar_shows_the_score_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    with chat_that(half_right) as chat:
        evaluate(chat, benchmark())
    assert "score 50.0" in written.getvalue()


def test_the_record_has_all_that_repeats_a_run() -> None:
    record = evaluated(limit=4, seed=3).record
    assert record.benchmark == "colours"
    assert record.seed == 3
    assert record.num_all == 8
    assert record.sampling["temperature"] == 0.0
    assert record.budget
    assert record.model["model"]
    assert record.versions["python"]
    assert record.begun
    assert record.seconds is not None


def test_a_journal_has_the_whole_record_of_the_run_that_began_it(tmp_path: Path) -> None:
    record = evaluated(journal=tmp_path / "run.jsonl", limit=4).record
    kept = dict(read_records(tmp_path / "run.jsonl", kind=JOURNAL_KIND))[CONDITIONS_KEY]
    for name in ("versions", "model", "data", "items", "prompts", "sampling", "budget", "seed"):
        assert kept[name] == json.loads(json.dumps(getattr(record, name))), name


def test_answers_from_elsewhere_are_scored_by_the_same_rule() -> None:
    bench = benchmark()
    answers = {item.id: item.targets[0] for item in bench if item.id != "q2"}
    result = score_answers(bench, answers)
    assert result.score == 1.0
    assert [each.id for each in result.failed] == ["q2"]
    missing = score_answers(bench, {**answers, "q0": float("nan"), "q1": None, "q3": 5})
    assert [each.id for each in missing.failed] == ["q0", "q1", "q2"]
    assert missing.items[3].answer == "5"
    numbered = Benchmark([{"id": 1, "question": "?", "answer": "x"}])
    assert score_answers(numbered, {1: "x"}).score == 1.0
    with pytest.raises(EvaluationError, match="no item, such as 'q99'"):
        score_answers(bench, {"q99": "red"})


def test_a_scorer_of_ones_own_gives_a_number_or_a_score() -> None:
    bench = benchmark(scorer=lambda answer, item: float(item.targets[0] in answer))
    assert evaluated(lambda r: f"It is {right_answer(r)}.", bench).score == 1.0
    bench = benchmark(scorer=lambda answer, item: ItemScore(0.25, answer[:1]))
    assert evaluated(right_answer, bench).score == 0.25


def test_confidences_are_calibrated_and_measured() -> None:
    result = evaluated(bench=benchmark(40))
    assert result.reliability().accuracy == pytest.approx(result.score)
    calibrator = result.calibrate(method="temperature")
    assert calibrator.num_fitted == 40


def test_the_hardest_items_are_wrong_ones_of_which_the_model_was_sure() -> None:
    hardest = evaluated().hardest(3)
    assert not any(each.is_right for each in hardest)
