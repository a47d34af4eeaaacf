"""A stream of many requests keeps its replies in a journal, as a batch does."""

from __future__ import annotations

from pathlib import Path

import pytest

from qwenvl_kit import Request, VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import JournalError
from qwenvl_kit.journal import Journal, read_records

QUESTIONS = [Request(f"question {at}", id=f"q{at}") for at in range(4)]


def backend() -> ScriptedBackend:
    def answer(request: BackendRequest) -> str:
        return f"answer to {request.messages[-1].text}"

    return ScriptedBackend(answer)


def test_what_a_stream_has_answered_is_not_asked_again_by_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with VisionChat(backend()) as chat, chat.stream_many(QUESTIONS, journal=path) as stream:
        streamed = stream.results
    later = backend()
    with VisionChat(later) as chat:
        assert [str(each) for each in chat.ask_many(QUESTIONS, journal=path)] == [
            str(each) for each in streamed
        ]
    assert later.requests == []


def test_a_stream_that_is_left_early_keeps_what_it_had(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with (
        VisionChat(backend()) as chat,
        chat.stream_many(QUESTIONS, journal=path, max_batch_size=1) as stream,
    ):
        for event in stream:
            if event.result is not None:
                break
    kept = dict(read_records(path, kind="ask_many"))
    assert "q0" in kept
    again = backend()
    with VisionChat(again) as chat, chat.stream_many(QUESTIONS, journal=path) as stream:
        assert len(stream.results) == 4
    assert len(again.requests) == 4 - len(kept)


def test_a_journal_that_is_open_stays_open(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "own.jsonl", kind="own", settings={}) as journal:
        with VisionChat(backend()) as chat, chat.stream_many(QUESTIONS, journal=journal) as stream:
            list(stream)
        journal.add("mine", {"more": 1})
        assert "q3" in journal


def test_a_journal_of_something_else_is_refused_and_the_chat_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    Journal.open(path, kind="other", settings={}).close()
    with VisionChat(backend()) as chat:
        with pytest.raises(JournalError, match="other"):
            chat.stream_many(QUESTIONS, journal=path)
        assert str(chat.ask("question 9")) == "answer to question 9"
        assert chat.close(grace_seconds=5)


def test_a_stream_without_a_journal_keeps_nothing() -> None:
    with VisionChat(backend()) as chat, chat.stream_many(QUESTIONS) as stream:
        assert len(stream.results) == 4
