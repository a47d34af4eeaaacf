"""Results are written whole, and read strictly."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import errors
from qwenvl_kit.errors import EvaluationError, MediaDecodeError, QwenVLKitError
from qwenvl_kit.evaluation.metrics import Metric
from qwenvl_kit.evaluation.result import load_result
from tests.evaluation.benches import benchmark, chat_that, right_answer
from tests.evaluation.making import scored_item
from tests.evaluation.results import result_of, small_result


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "result.json"


def test_a_result_comes_back_as_it_was(path: Path) -> None:
    result = small_result()
    result.save(path)
    back = load_result(path)
    assert back.record == result.record
    assert back.metrics == result.metrics
    assert back.estimates == result.estimates
    assert [each.item for each in back.items] == [each.item for each in result.items]
    assert [each.score for each in back.items] == [each.score for each in result.items]
    assert str(back) == str(result)


def test_metrics_by_units_and_groups_come_back(path: Path) -> None:
    metrics = [
        Metric(name="mean", of=("a", "b"), source="a paper"),
        Metric(name="a", unit=("set", "kind")),
        Metric(name="b", over="kind"),
    ]
    items = [
        scored_item(str(at), float(at % 3 > 0), groups={"kind": "xy"[at % 2]}, facts={"set": at})
        for at in range(9)
    ]
    result = result_of(items, metrics)
    result.save(path)
    assert load_result(path).estimates == result.estimates


def test_what_replies_told_is_kept_and_the_replies_are_not(path: Path) -> None:
    from qwenvl_kit.evaluation import evaluate

    with chat_that(right_answer) as chat:
        result = evaluate(chat, benchmark(), progress=False)
    result.save(path)
    back = load_result(path)
    assert all(each.reply is None and each.media == () for each in back.items)
    assert back.mean_visual_tokens == result.mean_visual_tokens
    assert [each.reply_facts for each in back.items] == [each.reply_facts for each in result.items]
    assert [each.confidence for each in back.items] == [each.confidence for each in result.items]
    assert back.reliability() == result.reliability()


def test_errors_come_back_with_their_class_and_texts(path: Path) -> None:
    error = MediaDecodeError("no picture", expected="a picture", hint="another", where="parts[0]")
    result_of([scored_item("a", 1.0), scored_item("b", None, error=error)]).save(path)
    back = load_result(path).failed[0].error
    assert type(back) is MediaDecodeError
    assert str(back) == str(error)
    assert back is not None
    assert back.hint == "another"


def test_errors_that_take_more_are_still_errors(path: Path) -> None:
    error = QwenVLKitError("x")
    error.__class__ = type("Strange", (QwenVLKitError,), {})
    result_of([scored_item("a", 1.0), scored_item("b", None, error=error)]).save(path)
    assert type(load_result(path).failed[0].error) is QwenVLKitError


def test_each_error_of_the_kit_can_be_kept(path: Path) -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    kinds = [each for each in kinds if issubclass(each, QwenVLKitError)]
    made = [scored_item(kind.__name__, None, error=kind("the problem")) for kind in kinds]
    result_of([scored_item("a", 1.0), *made]).save(path)
    back = load_result(path).failed
    assert [type(each.error) for each in back] == kinds
    assert {str(each.error) for each in back} == {"the problem"}


@pytest.mark.parametrize(
    "text",
    ["\ud800 half a pair", "\x00\x1b[31m", "\u202e\ufeff", "a" * 100_000, '"}]\\', "</script>"],
)
def test_whatever_was_written_can_be_kept(path: Path, text: str) -> None:
    result = result_of([scored_item(text, 1.0, answer=text, question=text, groups={text: text})])
    result.save(path)
    (back,) = load_result(path).items
    assert len(back.answer or "") == len(text)
    if "\ud800" not in text:
        assert (back.id, back.answer, back.question) == (text, text, text)


def test_facts_that_json_cannot_hold_are_texts_and_name_the_same_units(path: Path) -> None:
    import numpy

    facts = [float("nan"), numpy.int64(3), (1, 2), {"a": {1}}, b"x", None, float("inf")]
    items = [
        scored_item(str(at), float(at % 2), facts={"set": each}) for at, each in enumerate(facts)
    ]
    result = result_of(items, [Metric(name="m", unit=("set",))])
    result.save(path)
    assert load_result(path).estimates == result.estimates


def test_the_file_says_the_score_to_its_reader(path: Path) -> None:
    small_result().save(path)
    assert json.loads(path.read_text())["summary"]["accuracy"].startswith("50.0 [")


def saved(path: Path) -> Any:
    small_result().save(path)
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 2}, "version 2"),
        ({"version": True}, "version True"),
        ({"items": {}}, "items"),
        ({"more": 1}, "more"),
        ({"metrics": [{"name": 5}]}, r"metrics\.0\.name"),
        ({"record": {}}, r"record\.benchmark"),
        ({"metrics": []}, r"result\.json: the result has no metrics"),
        ({"metrics": [{"name": "a", "of": ["b"]}]}, "no metric 'b'"),
        ({"metrics": [{"name": "a", "of": ["a"]}]}, "'a' is a mean of 'a'"),
    ],
)
def test_another_file_is_refused_with_the_place(
    path: Path, change: dict[str, Any], told: str
) -> None:
    content = {**saved(path), **change}
    path.write_text(json.dumps(content))
    with pytest.raises(EvaluationError, match=told):
        load_result(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [("value", "1.0"), ("id", 3), ("more", 1), ("groups", []), ("confidence", "high")],
)
def test_an_item_of_another_form_is_refused(path: Path, field: str, value: object) -> None:
    content = saved(path)
    content["items"][1][field] = value
    path.write_text(json.dumps(content))
    with pytest.raises(EvaluationError, match=rf"items\.1\.{field}"):
        load_result(path)


def test_two_items_of_one_id_are_refused(path: Path) -> None:
    content = saved(path)
    content["items"][2]["id"] = content["items"][0]["id"]
    path.write_text(json.dumps(content))
    with pytest.raises(EvaluationError, match=r"json: items\.0 and items\.2 have one id, 'a'"):
        load_result(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"version": 1}', "[" * 100_000])
def test_what_is_no_result_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(EvaluationError):
        load_result(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="cannot be read"):
        load_result(tmp_path / "none.json")
    with pytest.raises(EvaluationError, match="cannot be read"):
        load_result(tmp_path)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EvaluationError, match="cannot be written"):
        small_result().save(tmp_path / "file" / "result.json")


def test_a_write_that_fails_leaves_the_file_of_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_result().save(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EvaluationError, match="No space left"):
        replace(small_result(), items=()).save(path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]
