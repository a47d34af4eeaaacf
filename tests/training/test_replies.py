"""Requests with their replies, or with the answers that correct them, are examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qwenvl_kit import Message, Request, Sampling, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import JournalError, QwenVLKitWarning, TrainingDataError
from qwenvl_kit.messages.message import TextPart
from qwenvl_kit.training import examples_from_replies


def requests(*ids: str) -> list[Request]:
    return [Request(f"question {each}", id=each) for each in ids]


def answers(examples: list[object]) -> list[str]:
    return [example.messages[-1].text for example in examples]  # type: ignore[attr-defined]


def test_a_journal_gives_an_example_for_each_reply_and_corrections_come_first(
    tmp_path: Path,
) -> None:
    chat, journal = VisionChat(ScriptedBackend(["one", "two", "three"])), tmp_path / "run.jsonl"
    chat.ask_many(requests("a", "b", "c"), journal=journal)
    found = examples_from_replies(requests("c", "a", "b"), journal, {"b": "TWO", "c": None})
    assert answers(found) == ["one", "TWO"]
    assert found[0].messages[0] == Message.user("question a")
    assert found[0].where == "request 'a'"


def test_results_are_paired_in_their_order_and_failures_left_out() -> None:
    backend = ScriptedBackend(["one", TrainingDataError("no"), "three"])
    asked = ["q1", "q2", "q3"]
    results = VisionChat(backend).ask_many(asked)
    with pytest.warns(QwenVLKitWarning, match=r"1 requests without a whole answer.*requests\[1\]"):
        found = examples_from_replies(asked, results)
    assert answers(found) == ["one", "three"]


def test_answers_that_were_cut_off_are_left_out_unless_they_are_corrected() -> None:
    chat = VisionChat(ScriptedBackend(["one two three four"]))
    asked = requests("a")
    results = chat.ask_many(asked, sampling=Sampling(max_new_tokens=1))
    assert results[0].finish_reason == "length"  # type: ignore[union-attr]
    with pytest.warns(QwenVLKitWarning):
        assert examples_from_replies(asked, results) == []
    assert answers(examples_from_replies(asked, results, {"a": "one"})) == ["one"]


def test_an_answer_that_was_begun_is_trained_whole() -> None:
    asked = [Request([Message.user("q"), Message.assistant("One ")], id="a")]
    results = VisionChat(ScriptedBackend(["two"])).ask_many(asked)
    (example,) = examples_from_replies(asked, results)
    assert example.messages[-1].parts == (TextPart("One "), TextPart("two"))


def test_only_ids_pair_a_journal_with_its_requests(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    VisionChat(ScriptedBackend(["one"])).ask_many(["q"], journal=journal)
    with pytest.raises(TrainingDataError, match="has no id"):
        examples_from_replies(["q"], journal)


@pytest.mark.parametrize(
    ("asked", "corrected", "words"),
    [
        (["a", "a"], {}, "two requests have the id 'a'"),
        (["a"], {"b": "x"}, "the id of no request"),
        (["a", "b"], {}, "0 replies and 2 requests"),
    ],
)
def test_what_cannot_be_paired_is_refused(
    asked: list[str], corrected: dict[str, str], words: str
) -> None:
    with pytest.raises(TrainingDataError, match=words):
        examples_from_replies(requests(*asked), [], corrected)


def test_another_file_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({"query": "q"}), encoding="utf-8")
    with pytest.raises(JournalError, match="no journal of ask_many"):
        examples_from_replies(requests("a"), path)
