"""Whatever a server does, a request ends with an answer or with the error that says why."""

from __future__ import annotations

import http.server
import ssl
import threading
import time
from collections import deque
from typing import Any

import pytest
import trustme

from qwenvl_kit import Failure, Sampling, VisionChat
from qwenvl_kit.errors import (
    ContextLengthError,
    InputError,
    MediaSizeError,
    MissingPackageError,
    ModelNotFoundError,
    OverloadError,
    QwenVLKitError,
    ServerAnswerError,
    ServerBusyError,
    ServerConnectionError,
    ServerError,
    ServerRefusedError,
    ServerTimeoutError,
    UnknownFamilyError,
)

from .conftest import Connect
from .speaking import Fail, Handler, Speaker, cut, refuse, serving

KEY = "of-no-known-form-of-keys"


def html(handler: Handler) -> None:
    handler.say(502, "<html><head><title>Bad Gateway</title></head><body>" + "x" * 5000)


def html_as_success(handler: Handler) -> None:
    handler.say(200, "<html>Welcome</html>")


def no_json(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(b"data: {not json\n\n")
    handler.close_connection = True


def odd_chunks(handler: Handler) -> None:
    handler.stream(iter([{"choices": 7}, {"choices": [{"delta": None}]}]))


def silence(handler: Handler) -> None:
    time.sleep(2)


def failed_within(handler: Handler) -> None:
    handler.stream(iter([{"error": {"message": "engine died", "code": 500}}]))


def echo_key(handler: Handler) -> None:
    handler.say(401, {"error": {"message": f"wrong key {handler.headers['Authorization']}"}})


def echo_key_late(handler: Handler) -> None:
    handler.say(401, {"error": {"message": f"{'x' * 290} {KEY}"}})


def titles(handler: Handler) -> None:
    handler.say(500, "<html>" + "<title>" * 500_000)


@pytest.mark.parametrize(
    ("fail", "error"),
    [
        (refuse(400, "This model's maximum context length is 2048 tokens"), ContextLengthError),
        (refuse(400, "unknown field"), ServerRefusedError),
        (refuse(422, "no logprobs here"), ServerRefusedError),
        (echo_key, ServerRefusedError),
        (echo_key_late, ServerRefusedError),
        (titles, ServerError),
        (refuse(403), ServerRefusedError),
        (refuse(404, "no such model"), ModelNotFoundError),
        (refuse(413, "too large"), MediaSizeError),
        (refuse(429), ServerBusyError),
        (refuse(503), ServerBusyError),
        (refuse(500), ServerError),
        (html, ServerError),
        (html_as_success, ServerAnswerError),
        (no_json, ServerAnswerError),
        (odd_chunks, ServerAnswerError),
        (failed_within, ServerAnswerError),
        (cut(2), ServerConnectionError),
        (cut(0), ServerConnectionError),
    ],
)
def test_each_failure_has_its_own_error_and_no_key_in_it(
    connect: Connect, fail: Fail, error: type[QwenVLKitError]
) -> None:
    speaker = Speaker(failures=deque([fail] * 9))
    chat = connect(speaker, api_key=KEY, max_retries=1)
    with pytest.raises(error) as caught:
        chat.ask("What?")
    assert type(caught.value) is error
    assert KEY[:6] not in str(caught.value)
    assert len(str(caught.value)) < 700
    speaker.failures.clear()
    assert chat.ask("What?").text == "A red circle."


def test_a_server_that_says_nothing_is_given_up(connect: Connect) -> None:
    chat = connect(Speaker(failures=deque([silence])), timeout_seconds=0.3, max_retries=0)
    with pytest.raises(ServerTimeoutError):
        chat.ask("What?")


@pytest.mark.parametrize("fail", [refuse(429), refuse(500), refuse(503), cut(0), cut(3)])
def test_what_may_pass_is_tried_again(connect: Connect, fail: Fail) -> None:
    speaker = Speaker(failures=deque([fail]))
    assert connect(speaker).ask("What?").text == "A red circle."
    assert len(speaker.requests) == 2


def test_what_cannot_pass_is_not_tried_again(connect: Connect) -> None:
    speaker = Speaker(failures=deque([refuse(400)] * 5))
    with pytest.raises(ServerRefusedError):
        connect(speaker).ask("What?")
    assert len(speaker.requests) == 1


def test_a_server_is_left_alone_as_long_as_it_says(connect: Connect) -> None:
    speaker = Speaker(failures=deque([refuse(429, headers={"Retry-After": "1"})]))
    started = time.monotonic()
    connect(speaker).ask("What?")
    assert time.monotonic() - started > 0.9


def test_an_answer_that_was_seen_is_not_begun_anew(connect: Connect) -> None:
    speaker = Speaker(failures=deque([cut(2)]))
    with connect(speaker).stream("What?") as stream:
        with pytest.raises(ServerConnectionError) as caught:
            list(stream)
    assert caught.value.text == "A red"
    assert len(speaker.requests) == 1


def test_in_a_batch_a_failure_costs_that_request_alone(connect: Connect) -> None:
    speaker = Speaker(failures=deque([refuse(400, "no")]))
    chat = connect(speaker, max_concurrent_requests=1)
    results = chat.ask_many(["a", "b", "c"])
    assert [isinstance(result, Failure) for result in results].count(True) == 1


def test_too_many_that_wait_are_refused(connect: Connect) -> None:
    speaker = Speaker(words=[" a"] * 60, pause_seconds=0.02)
    chat = connect(speaker, max_concurrent_requests=1, max_queued_requests=1)
    endless = Sampling(max_cycle_tokens=None)
    with chat.stream("1", sampling=endless) as first:
        next(first)
        with chat.stream("2", sampling=endless):
            with pytest.raises(OverloadError):
                chat.ask("3")
            assert (chat.health().num_running, chat.health().num_waiting) == (1, 1)


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Speaker()) as address:
        pass
    with pytest.raises(ServerConnectionError, match="cannot be reached"):
        VisionChat.connect(address, max_retries=0)


def test_a_certificate_that_nobody_vouches_for_is_refused() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        with pytest.raises(ServerConnectionError, match=r"(?i)certificate"):
            VisionChat.connect(f"https://127.0.0.1:{server.server_port}/v1", max_retries=0)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_model_that_is_not_served_is_named_beside_those_that_are(connect: Connect) -> None:
    with pytest.raises(ModelNotFoundError, match=r"'other'.*Qwen2-VL-tiny"):
        connect(Speaker(), model="other")
    with pytest.raises(ModelNotFoundError, match="2 models: Qwen2-VL-a, Qwen2-VL-b"):
        connect(Speaker(models=["Qwen2-VL-a", "Qwen2-VL-b"]))


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Qwen/Qwen2-VL-7B-Instruct", "qwen2_vl"),
        ("qwen2.5-vl-72b-instruct", "qwen2_5_vl"),
        ("Qwen3-VL-30B-A3B", "qwen3_vl"),
        ("qwen3.5-plus", "qwen3_5"),
    ],
)
def test_a_model_tells_its_family_by_its_name(connect: Connect, name: str, family: str) -> None:
    chat = connect(Speaker(models=[name]), checkpoint=None)
    assert chat.family.model_type == family


def test_a_name_that_tells_no_family_needs_one(connect: Connect) -> None:
    with pytest.raises(UnknownFamilyError, match="family="):
        connect(Speaker(models=["my-model"]))
    assert connect(Speaker(models=["my-model"]), family="qwen3_vl").ask("?").text


@pytest.mark.parametrize(
    ("base_url", "options"),
    [
        ("localhost:8000", {}),
        ("ftp://host/v1", {}),
        ("http://", {}),
        ("http://host:99999/v1", {}),
        (7, {}),
        ("http://me:secret@host/v1", {}),
        ("http://h/v1", {"max_retries": -1}),
        ("http://h/v1", {"max_concurrent_requests": 0}),
        ("http://h/v1", {"timeout_seconds": 0}),
        ("http://h/v1", {"image_encoding": "webp"}),
        ("http://h/v1", {"api_key": "a\nb"}),
        ("http://h/v1", {"headers": {"X": "\u00e9"}}),
        ("http://h/v1", {"context_tokens": 0}),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(base_url: Any, options: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        VisionChat.connect(base_url, **options)
    assert "secret" not in str(caught.value)


def test_no_key_is_taken_from_the_environment(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", KEY)
    speaker = Speaker()
    connect(speaker, headers={"X-Team": "blue"}).ask("?")
    sent = {name.lower(): value for name, value in speaker.headers[0].items()}
    assert KEY not in str(sent)
    assert sent["x-team"] == "blue"


def test_without_its_package_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qwenvl_kit.backends.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"qwenvl-kit\[server\]"):
        VisionChat.connect("http://127.0.0.1:9/v1")
