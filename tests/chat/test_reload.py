"""A model is replaced while requests are in flight: none is lost or mixed, and the old one goes."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from pathlib import Path

import pytest

from qwenvl_kit import Sampling, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import InputError, ModelLoadError
from qwenvl_kit.results import Reply


class Named(ScriptedBackend):
    """Answers with its name, slowly, and never after it was closed."""

    def __init__(self, name: str, seconds: float = 0.0) -> None:
        super().__init__(self._answer)
        self.name, self.seconds, self.is_closed = name, seconds, False

    def _answer(self, _: object) -> str:
        time.sleep(self.seconds)
        return f"{self.name} is open" if not self.is_closed else f"{self.name} is closed"

    def submit(self, request, observer=None):  # type: ignore[no-untyped-def]
        if self.is_closed:
            raise ModelLoadError("the model was closed")
        return super().submit(request, observer)

    def close(self) -> None:
        self.is_closed = True


def test_requests_in_flight_end_with_the_model_that_they_began_with() -> None:
    old, new = Named("old", 0.2), Named("new")
    chat = VisionChat(old)
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(chat.ask("a").text))
    thread.start()
    time.sleep(0.05)
    chat.reload(VisionChat(new))
    assert chat.ask("b").text == "new is open"
    thread.join()
    gc.collect()
    assert found == ["old is open"]
    assert (old.is_closed, new.is_closed) == (True, False)


def test_a_stream_and_a_batch_go_on_with_theirs() -> None:
    old = Named("old")
    chat = VisionChat(old)

    def questions():  # type: ignore[no-untyped-def]
        yield "a"
        chat.reload(VisionChat(Named("new")))
        yield "b"

    stream = chat.stream("a")
    assert [str(reply) for reply in chat.ask_many(questions())] == ["old is open"] * 2
    assert not old.is_closed
    assert stream.reply.text == "old is open"
    gc.collect()
    assert old.is_closed, "a stream that has ended holds no model"
    assert asyncio.run(chat.ask_async("c")).text == "new is open"


def test_under_load_no_request_fails_and_none_is_answered_by_a_closed_model() -> None:
    backends = [Named(str(number), 0.001) for number in range(12)]
    chat = VisionChat(backends[0])
    stop = threading.Event()
    replies: list[Reply] = []
    failures: list[Exception] = []

    def ask() -> None:
        while not stop.is_set():
            try:
                replies.append(chat.ask("?"))
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for backend in backends[1:]:
        time.sleep(0.03)
        chat.reload(VisionChat(backend))
    time.sleep(0.03)
    stop.set()
    for thread in threads:
        thread.join()
    gc.collect()
    assert not failures
    assert all(reply.text.endswith("is open") for reply in replies)
    assert len({reply.text for reply in replies}) > 6
    assert [backend.is_closed for backend in backends] == [True] * 11 + [False]
    assert chat.stats().num_replies == len(replies)


def test_a_chat_that_closes_gracefully_answers_what_was_begun_and_refuses_what_is_new() -> None:
    backend = Named("old", 0.3)
    chat = VisionChat(backend)
    found: list[str] = []
    batch = iter(["a", "b", "c"])
    threads = [
        threading.Thread(target=lambda: found.append(chat.ask("a").text)),
        threading.Thread(target=lambda: found.extend(map(str, chat.ask_many(batch)))),
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    ended: list[bool] = []
    closer = threading.Thread(target=lambda: ended.append(chat.close(grace_seconds=30)))
    closer.start()
    time.sleep(0.1)
    assert not chat.health().is_ready
    with pytest.raises(ModelLoadError, match="closed"):
        chat.ask("late")
    for thread in (*threads, closer):
        thread.join()
    assert found.count("old is open") == 4
    assert ended == [True]
    assert backend.is_closed


@pytest.mark.alone
def test_a_chat_that_closes_waits_no_longer_than_it_was_told() -> None:
    backend = Named("old", 1.0)
    chat = VisionChat(backend)
    thread = threading.Thread(target=chat.ask, args=("a",))
    thread.start()
    time.sleep(0.1)
    started = time.perf_counter()
    assert not chat.close(grace_seconds=0.1)
    assert time.perf_counter() - started < 0.9
    assert backend.is_closed
    thread.join()


@pytest.mark.alone
def test_a_chat_that_has_nothing_to_do_is_closed_at_once() -> None:
    started = time.perf_counter()
    assert VisionChat(Named("old")).close(grace_seconds=30)
    assert time.perf_counter() - started < 1
    for seconds in (-1, float("inf"), float("nan"), "3", None):
        with pytest.raises(InputError, match="grace_seconds"):
            VisionChat(Named("old")).close(seconds)  # type: ignore[arg-type]


def test_a_real_model_answers_all_that_was_begun_before_it_goes(tiny_folder: Path) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, device="cpu", dtype="float32")
    sampling = Sampling(max_new_tokens=24)
    expected = chat.ask("a", sampling=sampling).text
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(chat.ask("a", sampling=sampling).text))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    assert chat.close(grace_seconds=60)
    assert texts == [expected] * 5
    for ask in (lambda: chat.ask("a"), chat.cache_info, chat.report):
        with pytest.raises(ModelLoadError, match="closed"):
            ask()
    assert chat.close()


def test_conversations_listeners_and_policy_go_on() -> None:
    chat = VisionChat(Named("old"), budget="quick")
    conversation = chat.start()
    told: list[str] = []

    class Noting:
        def on_reply(self, reply: Reply) -> None:
            told.append(reply.text)

        def on_failure(self, error: Exception) -> None: ...

    chat.listeners.add(Noting())
    conversation.ask("a")
    chat.reload(VisionChat(Named("new")))
    conversation.ask("b")
    assert told == ["old is open", "new is open"]
    assert len(conversation.messages) == 4


def test_a_model_that_cannot_be_loaded_changes_nothing(tmp_path: Path) -> None:
    old = Named("old")
    chat = VisionChat(old)
    with pytest.raises(ModelLoadError):
        chat.reload(tmp_path / "no such model")
    gc.collect()
    assert chat.ask("a").text == "old is open"
    chat.reload(chat)
    gc.collect()
    assert not old.is_closed


def test_a_real_model_is_replaced_under_load_and_closed(tiny_folder: Path) -> None:
    chat = VisionChat.from_pretrained(tiny_folder, device="cpu", dtype="float32")
    expected = chat.ask("a", sampling=Sampling(max_new_tokens=8)).text
    old = chat._backend
    texts: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: texts.extend(
                chat.ask("a", sampling=Sampling(max_new_tokens=8)).text for _ in range(6)
            )
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    chat.reload(tiny_folder, device="cpu", dtype="float32")
    for thread in threads:
        thread.join()
    gc.collect()
    assert texts == [expected] * 18
    assert chat._backend is not old
    with pytest.raises(ModelLoadError, match="closed"):
        _ = old.rules
    chat.close()
