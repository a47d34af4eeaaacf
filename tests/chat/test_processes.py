"""A chat, and what holds one, does not go to another process; it says what to do instead."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import PicklingError, UnsupportedFeatureError


def _chat() -> VisionChat:
    return VisionChat(ScriptedBackend(lambda request: "A cat."))


HOLDERS = {
    "a chat": lambda chat: chat,
    "its method": lambda chat: chat.ask,
    "a conversation": lambda chat: chat.start("Be brief."),
    "a stream": lambda chat: chat.stream("?"),
    "a stream of many": lambda chat: chat.stream_many(["?"]),
    "a list of it": lambda chat: [chat],
}


def _check(error: BaseException) -> None:
    assert isinstance(error, UnsupportedFeatureError)
    assert isinstance(error, TypeError)
    assert "ask_many" in str(error)


@pytest.mark.parametrize("name", HOLDERS)
@pytest.mark.parametrize("way", [pickle.dumps, copy.deepcopy])
def test_it_is_neither_pickled_nor_copied_whole(name: str, way: Any) -> None:
    with pytest.raises(PicklingError) as caught:
        way(HOLDERS[name](_chat()))
    _check(caught.value)


def test_a_pool_of_processes_is_refused_by_the_same_error() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        error = pool.submit(_chat().ask, "What?").exception(timeout=60)
    assert type(error) is PicklingError
    _check(error)


def test_a_process_that_is_spawned_is_refused_before_it_starts() -> None:
    process = multiprocessing.get_context("spawn").Process(target=_chat().ask, args=("What?",))
    with pytest.raises(PicklingError):
        process.start()


def test_a_shallow_copy_answers_by_the_same_model() -> None:
    chat = _chat()
    copied = copy.copy(chat)
    assert copied is not chat
    assert type(copied) is VisionChat
    assert copied.ask("?").text == "A cat."
    assert copied._backend is chat._backend


def test_what_a_chat_gives_can_be_pickled() -> None:
    reply = _chat().ask("?")
    assert pickle.loads(pickle.dumps(reply)) == reply
