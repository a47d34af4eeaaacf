"""Two runs on the same items are compared; others are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit.errors import EvaluationError, GenerationError
from qwenvl_kit.evaluation import Benchmark, evaluate
from qwenvl_kit.evaluation.comparing import RunComparison, compare_runs
from qwenvl_kit.evaluation.items import EvaluationItem, ItemScore
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.naming import name_of
from qwenvl_kit.evaluation.record import new_record
from qwenvl_kit.evaluation.result import EvaluationResult
from tests.evaluation.benches import benchmark, chat_that, number_of, right_answer, rows
from tests.evaluation.making import scored_item
from tests.evaluation.results import result_of, small_result


def run_of(*values: float | None, **record: Any) -> EvaluationResult:
    items = [
        scored_item(
            f"{at:03}",
            value,
            groups={"kind": "xy"[at % 2]},
            answer=None if value is None else f"answer {value}",
            error=GenerationError("no") if value is None else None,
        )
        for at, value in enumerate(values)
    ]
    return result_of(items, **record)


def compared(first: list[float | None], second: list[float | None]) -> RunComparison:
    return compare_runs(run_of(*first), run_of(*second))


def test_the_difference_is_that_of_the_second_from_the_first() -> None:
    found = compared([1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0, 1.0])
    assert found.difference == 0.25
    assert found.interval[0] < 0.25 < found.interval[1]
    assert (found.num_compared, found.num_left_out, found.agreement) == (4, 0, 0.75)


def test_items_that_changed_are_listed_both_ways() -> None:
    found = compared([1.0, 0.0, 0.2, 1.0, 0.5], [0.0, 1.0, 0.4, 1.0, 0.4])
    assert [each.id for each in found.better] == ["001", "002"]
    assert [each.id for each in found.worse] == ["000", "004"]
    assert str(found.worse[0]) == "000: answer 1.0 -> answer 0.0 (-100)"
    assert "better: 001: answer 0.0 -> answer 1.0 (+100)" in str(found)


def test_items_that_failed_in_one_run_are_left_out_and_counted() -> None:
    found = compared([1.0, None, 0.0, 1.0], [1.0, 1.0, None, 0.0])
    assert (found.num_compared, found.num_left_out) == (2, 2)
    assert found.difference == -0.5
    assert "2 of 4 items failed in one of the runs" in str(found)


def test_no_item_in_common_is_refused() -> None:
    with pytest.raises(EvaluationError, match="answered in both"):
        compared([1.0, None], [None, 1.0])


def test_groups_are_compared_with_a_correction_for_their_number() -> None:
    first: list[float | None] = [0.0] * 40
    second: list[float | None] = [float(at % 2 == 0 and at < 14) for at in range(40)]
    found = compared(first, second)
    kinds = found.by_group["kind"]
    assert kinds["x"].difference == pytest.approx(0.35)
    assert kinds["y"].difference == 0.0
    corrected = found.corrected_p_values["kind"]
    assert corrected["x"] == pytest.approx(2 * kinds["x"].p_value)
    assert "corrected for 2 of them (Holm)" in str(found)


def test_values_of_tags_are_compared_each(tmp_path: Path) -> None:
    def tagged(*values: float) -> EvaluationResult:
        found = run_of(*values)
        skills: tuple[tuple[str, ...], ...] = (("read", "count"), ("read",), (), ())
        return replace(
            found,
            items=tuple(
                replace(each, item=replace(each.item, tags={"skill": own}))
                for each, own in zip(found.items, skills, strict=True)
            ),
        )

    first, second = tagged(0.0, 0.0, 0.0, 0.0), tagged(1.0, 0.0, 1.0, 1.0)
    first.save(tmp_path / "a.json")
    skills = compare_runs(tmp_path / "a.json", second).by_group["skill"]
    assert {name: each.difference for name, each in skills.items()} == {"read": 0.5, "count": 1.0}


def test_a_difference_that_may_be_none_says_so() -> None:
    assert not compared([1.0, 0.0] * 20, [0.0, 1.0] * 20).is_different
    assert "cannot tell the two apart" in str(compared([1.0, 0.0], [1.0, 1.0]))
    clear = compared([0.0] * 60, [1.0] * 60)
    assert clear.is_different
    assert "does not hold 0" in str(clear)


def test_the_direction_changes_the_sign_alone() -> None:
    first, second = run_of(*[1.0, 0.0, 1.0, 0.0, 0.0] * 8), run_of(*[1.0, 1.0, 1.0, 1.0, 0.0] * 8)
    there, back = compare_runs(first, second), compare_runs(second, first)
    assert back.difference == -there.difference
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"benchmark": "other"}, "other benchmarks: toys and other"),
        ({"data": {"name": "toys.tsv", "digest": "f" * 64}}, r"other data: .*000.* and .*fff"),
        ({"items": "f" * 64, "seed": 3}, r"other items: .* seed 3.*same limit and seed"),
        ({"prompts": "f" * 64}, "other prompts under one name, plain"),
        ({"prompts": "f" * 64, "prompt": "qwen"}, "other prompts: plain and qwen"),
        ({"scorer": "contains"}, "other scorers: exact and contains.*one rule"),
    ],
)
def test_runs_that_asked_something_else_are_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(EvaluationError, match=told):
        compare_runs(
            run_of(1.0, 0.0, scorer="exact"), run_of(1.0, 0.0, **{"scorer": "exact", **change})
        )


def a_rule(answer: str, item: EvaluationItem) -> float:
    return float(item.targets[0] in answer)


@pytest.mark.parametrize("other", ["contains", a_rule])
def test_answers_that_another_rule_scored_are_refused(other: Any) -> None:
    with chat_that(right_answer) as chat:
        first = evaluate(chat, benchmark(), progress=False)
        second = evaluate(chat, benchmark(scorer=other), progress=False)
    with pytest.raises(EvaluationError, match=f"other scorers: exact and .*{name_of(other)}"):
        compare_runs(first, second)


def test_a_file_that_names_no_scorer_is_compared_with_a_note() -> None:
    found = compare_runs(run_of(1.0, 0.0), run_of(1.0, 0.0, scorer="exact"))
    assert found.notes == ("other scorer: - -> exact",)


def test_the_record_names_the_rule_the_own_prompt_and_the_fit() -> None:
    with chat_that(right_answer) as chat:
        own = benchmark(scorer=a_rule, prompt="A: {question}")
        record = evaluate(chat, own, fit="shrink", progress=False).record
        plain = evaluate(chat, benchmark(), progress=False).record
    assert record.scorer == "tests.evaluation.test_comparing.a_rule"
    assert (record.own_prompt, record.fit) == ("A: {question}", "shrink")
    assert (plain.scorer, plain.own_prompt, plain.fit) == ("exact", "", None)


def test_a_benchmark_with_a_rule_of_its_own_is_named_by_it() -> None:
    class Lenient(Benchmark):
        def score(self, item: EvaluationItem, answer: str) -> ItemScore:
            return ItemScore(1.0, answer)

    record = new_record(None, own := Lenient(rows()), list(own))
    assert record.scorer.endswith("Lenient.score")


def test_runs_of_other_items_are_refused() -> None:
    with pytest.raises(EvaluationError, match="other items"):
        compare_runs(run_of(1.0, 0.0), run_of(1.0, 0.0, 1.0))
    renamed = result_of([scored_item("x", 1.0), scored_item("y", 1.0)])
    with pytest.raises(EvaluationError, match="other items"):
        compare_runs(run_of(1.0, 0.0), renamed)


def test_runs_by_other_metrics_are_refused() -> None:
    other = replace(run_of(1.0, 0.0), metrics=(Metric(name="accuracy", over="kind"),))
    with pytest.raises(EvaluationError, match="other metrics"):
        compare_runs(run_of(1.0, 0.0), other)


def test_a_file_of_another_name_with_the_same_content_is_the_same_data() -> None:
    data = {"name": "moved.tsv", "digest": "0" * 64}
    assert compare_runs(run_of(1.0, 0.0), run_of(1.0, 0.0, data=data)).difference == 0.0


def test_what_else_differs_is_noted() -> None:
    second = run_of(
        1.0,
        model={"model": "other/model", "family": "qwen2_vl"},
        budget={"max_tokens": 512},
        sampling={"temperature": 0.7, "max_new_tokens": 128},
        versions={"python": "3.11", "torch": "2.10", "vllm": "0.9"},
        thinking=True,
        method="probability",
    )
    notes = compare_runs(run_of(1.0), second).notes
    assert notes == (
        "other model: some/model -> other/model",
        "other budget, max_tokens: - -> 512",
        "other sampling, temperature: 0.0 -> 0.7",
        "other thinking: - -> True",
        "other method: text -> probability",
        "other versions, torch: 2.9 -> 2.10",
        "other versions, vllm: - -> 0.9",
    )


def test_saved_results_are_compared_by_their_paths(tmp_path: Path) -> None:
    with chat_that(right_answer) as chat:
        first = evaluate(chat, benchmark(), progress=False)
    with chat_that(lambda request: right_answer(request) if number_of(request) else "") as chat:
        second = evaluate(chat, benchmark(), progress=False, budget="quick")
    first.save(tmp_path / "a.json")
    second.save(tmp_path / "b.json")
    found = compare_runs(tmp_path / "a.json", str(tmp_path / "b.json"))
    assert found.differences == compare_runs(first, second).differences
    assert found.notes == compare_runs(first, second).notes
    assert [each.id for each in found.worse] == ["q0"]
    assert any("budget" in note for note in found.notes)
    assert not any("sampling" in note for note in found.notes)


def test_another_prompt_of_the_same_name_is_seen() -> None:
    with chat_that(right_answer) as chat:
        first = evaluate(chat, benchmark(prompt="A: {question}"), progress=False)
        second = evaluate(chat, benchmark(prompt="B: {question}"), progress=False)
    with pytest.raises(EvaluationError, match=r"other prompts: own \(A: {question}\) and own \(B"):
        compare_runs(first, second)


@pytest.mark.parametrize("source", [None, 3, {"items": []}])
def test_what_is_no_result_is_refused(source: Any) -> None:
    with pytest.raises(EvaluationError, match="b is of type"):
        compare_runs(small_result(), source)


def test_a_comparison_has_a_table_for_notebooks() -> None:
    hostile = run_of(1.0, benchmark="<script>", model={"model": "<script>"})
    other = run_of(0.0, benchmark="<script>", model={"model": "\x1b[31m"})
    found = compare_runs(hostile, other)
    assert "<script>" not in found._repr_html_()
    assert "\x1b" not in str(found)


def test_many_changed_items_are_shown_in_part() -> None:
    found = compared([0.0] * 30, [1.0] * 30)
    assert len(found.better) == 30
    assert "better: 25 more" in str(found)
