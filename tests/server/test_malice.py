"""A server that means harm: whatever it does ends, in time and in little memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from qwenvl_kit import Sampling
from qwenvl_kit.errors import QwenVLKitError, ServerAnswerError

from .conftest import Connect
from .malice import ANSWERS, JSON, QUESTIONS, Malice, sending
from .speaking import Speaker

SECONDS = 0.2
"""Of the deadline where it is what ends an answer."""

ODD = [
    *("null", "7", '"a"', "[]", "{}", '{"error": 7}', '{"error": {"message": [1]}}'),
    *('{"choices": null}', '{"choices": {}}', '{"choices": [7]}', '{"choices": [{}]}'),
    *('{"choices": [{"message": 7, "logprobs": [1]}]}', '{"choices": [[["message", 1]]]}'),
    '{"choices": [{"message": {"content": 7}, "logprobs": {"content": 3}}]}',
    '{"choices": [{"delta": {"tool_calls": {"a": 1}}}], "usage": 4}',
    '{"choices": [{"delta": {"tool_calls": [{"index": [], "id": {}, "function": 3}]}}]}',
    '{"choices": [{"delta": {"content": {"a": 1}}, "finish_reason": {}}]}',
    '{"choices": [{"message": {"content": "a"}, "finish_reason": ["stop"]}], "usage": [1]}',
    '{"choices": [{"message": {"content": "a"}, "finish_reason": "stop", "token_ids": [-1]}]}',
    '{"choices": [{"message": {"content": "a"}, "finish_reason": "stop", "token_ids": "ab"}]}',
    *('{"data": [7]}', '{"data": [{"id": 7}]}', '{"data": [{}]}', '{"data": {"id": "a"}}'),
    '{"data": [{"id": "Qwen2-VL", "owned_by": {}, "root": [], "max_model_len": 1e999}]}',
    '{"data": [{"id": "Qwen2-VL", "max_model_len": 1%s}]}' % ("0" * 3000),
    '{"data": [{"id": "Qwen2-VL\\ud800"}]}',
]
"""JSON that is no answer, or an answer of which a part is none."""

LONG_SECONDS = 300.0
"""Of the deadline where something else has to."""

BUSY_SECONDS = 30.0
"""How late the machine that runs the tests may be: what hangs is still hanging then."""


def ended(run: Callable[[], Any]) -> Any:
    """What comes of it, which has to come of itself."""
    came: list[Any] = []

    def catch() -> None:
        try:
            came.append(run())
        except BaseException as error:
            came.append(error)

    thread = threading.Thread(target=catch, daemon=True)
    thread.start()
    thread.join(SECONDS + BUSY_SECONDS)
    assert came, "it hangs"
    return came[0]


def named(malice: Malice) -> str:
    return malice.name


@pytest.mark.parametrize("malice", ANSWERS, ids=named)
def test_an_answer_ends_whatever_a_server_does(
    connect: Connect, malice: Malice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwenvl_kit.backends.server.client._LAST_WORD_SECONDS", 0.2)
    monkeypatch.setattr("qwenvl_kit.backends.server.response_limits._THOUGHTS", 2000)
    seconds = SECONDS if malice.takes_ever else LONG_SECONDS
    speaker = Speaker(failures=deque([malice.act] * 100))
    chat = connect(speaker, answer_timeout_seconds=seconds, max_retries=0)
    came = ended(lambda: chat.ask("What?", sampling=Sampling(max_new_tokens=8)))
    if malice.ends:
        assert isinstance(came, malice.ends), repr(came)
        assert len(str(came)) < 700
    else:
        assert str(came) == "A red circle."


@pytest.mark.parametrize("place", ["listing", "probing", "answer"])
@pytest.mark.parametrize("text", ODD)
def test_odd_json_is_an_error_of_the_kit_or_passed_over(
    connect: Connect, text: str, place: str
) -> None:
    act = sending(lambda: [text.encode()], kind=JSON)
    speaker = Speaker(failures=deque([act])) if place == "answer" else Speaker(**{place: act})  # type: ignore[arg-type]
    with suppress(QwenVLKitError):
        connect(speaker, max_retries=0).ask("What?")


def test_an_error_that_comes_as_a_success_says_what_it_says(connect: Connect) -> None:
    act = sending(lambda: [b'{"error": {"message": "quota exceeded"}}'], kind=JSON)
    for speaker in (Speaker(listing=act), Speaker(probing=act), Speaker(failures=deque([act]))):
        with pytest.raises(ServerAnswerError, match="quota exceeded"):
            connect(speaker, max_retries=0).ask("What?")


@pytest.mark.parametrize("malice", [m for m in ANSWERS if not m.ends], ids=named)
def test_an_answer_that_is_complete_at_its_deadline_is_the_answer(
    connect: Connect, malice: Malice
) -> None:
    """What may come after it would be waited for longer than there is time."""
    chat = connect(Speaker(failures=deque([malice.act])), answer_timeout_seconds=1.5)
    assert str(ended(lambda: chat.ask("What?"))) == "A red circle."


@pytest.mark.parametrize("place", ["listing", "probing"])
@pytest.mark.parametrize("malice", QUESTIONS, ids=named)
def test_what_connect_asks_ends_whatever_a_server_does(
    connect: Connect, malice: Malice, place: str
) -> None:
    speaker = Speaker(**{place: malice.act})  # type: ignore[arg-type]
    seconds = SECONDS if malice.takes_ever else LONG_SECONDS
    came = ended(lambda: connect(speaker, setup_timeout_seconds=seconds, max_retries=0))
    assert isinstance(came, malice.ends), repr(came)
