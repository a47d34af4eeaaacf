"""What a server does to keep a client for ever, to fill its memory, or to mislead it."""

from __future__ import annotations

import gzip
import itertools
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from qwenvl_kit import Reply
from qwenvl_kit.errors import (
    QwenVLKitError,
    ServerAnswerError,
    ServerBusyError,
    ServerConnectionError,
    ServerRefusedError,
    ServerTimeoutError,
)

from .speaking import Fail, Handler

DRIP_SECONDS = 0.02
EVENTS = "text/event-stream"
JSON = "application/json"

Errors = tuple[type[QwenVLKitError], ...]
ENDLESS: Errors = (ServerAnswerError, ServerTimeoutError)


@dataclass(frozen=True)
class Malice:
    """Something that a server does.

    Attributes:
        name: of it.
        act: what it does with a request.
        ends: what it may end in; nothing where the answer is complete all the same.
        takes_ever: whether only the deadline is sure to end it.
    """

    name: str
    act: Fail
    ends: tuple[type[object], ...]
    takes_ever: bool = False


def begin(handler: Handler, kind: str = EVENTS, status: int = 200, **headers: str) -> None:
    """The head of an answer whose body ends with the connection."""
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Connection", "close")
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.close_connection = True


def sending(pieces: Callable[[], Iterable[bytes]], pause_seconds: float = 0.0, **head: Any) -> Fail:
    """Send pieces, as fast as they are taken or in drips."""

    def act(handler: Handler) -> None:
        begin(handler, **head)
        for piece in pieces():
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(pause_seconds)

    return act


def event(delta: Any = None, finish: str | None = None, **beside: Any) -> bytes:
    """An event with one choice; without a delta, with none."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **beside}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    chunk["choices"] = [] if delta is None else [choice]
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def always(piece: bytes) -> Callable[[], Iterable[bytes]]:
    return lambda: itertools.repeat(piece)


def after(*begun: bytes, then: bytes = b"") -> Callable[[], Iterable[bytes]]:
    """Pieces, and another without end."""
    return lambda: itertools.chain(begun, itertools.repeat(then))


def call(index: int, arguments: str) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    return {"tool_calls": [{"index": index, "id": "a", "type": "function", "function": function}]}


def scored(number: int) -> bytes:
    entry = {"token": f" {number}", "logprob": -0.1, "top_logprobs": []}
    return event({"content": f" {number}"}, logprobs={"content": [entry] * 50})


def raw(*pieces: bytes, then: bytes, pause_seconds: float = DRIP_SECONDS) -> Fail:
    """Bytes below HTTP."""

    def act(handler: Handler) -> None:
        for piece in itertools.chain(pieces, itertools.repeat(then)):
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(pause_seconds)

    return act


def silence(handler: Handler) -> None:
    handler.rfile.read(1)  # until the client goes away


def begun_and_silent(handler: Handler) -> None:
    begin(handler)
    handler.wfile.write(event({"content": "It is"}))
    silence(handler)


def busy(**headers: str) -> Fail:
    head = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.say(429, {"error": {"message": "later"}}, head)


def redirecting(place: str, status: int = 307) -> Fail:
    return lambda handler: handler.say(status, {}, {"Location": place})


def redirecting_here(handler: Handler) -> None:
    handler.say(307, {}, {"Location": handler.path})


ZEROS = gzip.compress(bytes(30 * 2**20), 9)
SAID, END = event({"content": "A red circle."}), event({}, "stop")

TIMEOUT: Errors = (ServerTimeoutError,)
NO_ANSWER: Errors = (ServerAnswerError,)
REFUSED: Errors = (ServerRefusedError,)
BUSY: Errors = (ServerBusyError,)


def dripping(pieces: Callable[[], Iterable[bytes]], **head: Any) -> Fail:
    return sending(pieces, DRIP_SECONDS, **head)


def numbered(key: str) -> Callable[[], Iterable[bytes]]:
    return lambda: (event({key: f"w{number} "}) for number in itertools.count())


DRIPS = [
    Malice(name, act, TIMEOUT, takes_ever=True)
    for name, act in {
        "empty deltas": dripping(always(event({"content": ""}))),
        "comments": dripping(always(b": keep-alive\n\n")),
        "comments of one line": dripping(always(b": ping\n")),
        "events without data": dripping(always(b"event: ping\nretry: 1\n\n")),
        "empty data": dripping(always(b"data:\n\n")),
        "chunks without choices": dripping(always(event())),
        "an event byte by byte": dripping(always(b"d")),
        "content in drips": dripping(numbered("content")),
        "a head in drips": raw(b"HTTP/1.1 200 OK\r\n", then=b"X-A: b\r\n"),
        "a status byte by byte": raw(b"HTTP/1.1 200 ", then=b"x"),
        "continue": raw(then=b"HTTP/1.1 100 Continue\r\n\r\n"),
        "nothing": silence,
        "nothing after a beginning": begun_and_silent,
        "an error in drips": dripping(always(b"x"), status=500),
    }.items()
]
"""What takes for ever, in little."""

FLOODS = [
    Malice(name, act, ENDLESS, takes_ever=True)
    for name, act in {
        "content": sending(numbered("content")),
        "thoughts": sending(numbered("reasoning_content")),
        "calls": sending(lambda: (event(call(number, "")) for number in itertools.count())),
        "empty events": sending(always(event() * 200)),
        "comments in a flood": sending(always(b": x\n" * 9000)),
    }.items()
]
"""What does not end, as fast as it is taken."""

LATE_FLOOD = Malice(
    "content after its end",
    sending(lambda: itertools.chain([SAID, END], numbered("content")())),
    (*ENDLESS, Reply),  # the answer, where the deadline comes before the flood
    takes_ever=True,
)

LENGTHS = [
    Malice(name, act, NO_ANSWER)
    for name, act in {
        "arguments of a call": sending(always(event(call(0, "x" * 50_000)))),
        "scores": sending(lambda: map(scored, itertools.count())),
        "a line": sending(after(b"data: ", then=b"x" * 65536)),
        "an event of many lines": sending(always(b"data: x\n" * 9000)),
        "JSON in place of a stream": sending(after(b"{", then=b" " * 65536)),
    }.items()
]
"""The same, where it ends for its size, whatever the time."""

PACKED = [
    Malice("gzip", sending(lambda: [ZEROS], Content_Encoding="gzip"), NO_ANSWER),
    Malice("deflate", sending(lambda: [ZEROS], Content_Encoding="deflate"), NO_ANSWER),
    Malice("twice", sending(lambda: [ZEROS], Content_Encoding="gzip, gzip"), NO_ANSWER),
    Malice("zstd", sending(lambda: [ZEROS], Content_Encoding="ZSTD"), NO_ANSWER),
    Malice("an error", sending(lambda: [ZEROS], status=400, Content_Encoding="gzip"), REFUSED),
    Malice("a redirect", sending(lambda: [ZEROS], status=302, Content_Encoding="gzip"), REFUSED),
]
"""What becomes much more when it is unpacked."""

FORMS = [
    *(
        Malice(name, sending(lambda sent=sent: [sent]), NO_ANSWER)  # type: ignore[misc]
        for name, sent in {
            "a web page": b"\n <!DOCTYPE html><title>Hi</title>",
            "a list": b"data: [1]\n\n",
            "depth": b"data: " + b"[" * 900_000 + b"\n\n",
            "a long number": b"data: " + b"9" * 900_000 + b"\n\n",
            "bytes that are no text": b"data: \xff\xfe\n\n",
            "content that is no text": event({"content": 7}),
            "a call that is none": event({"tool_calls": [7]}),
            "choices that are none": b'data: {"choices": 7}\n\n',
        }.items()
    ),
    Malice("a redirect to itself", redirecting_here, (ServerConnectionError,)),
    Malice("a redirect elsewhere", redirecting("http://127.0.0.1:9/v1"), REFUSED),
    Malice("a redirect to a file", redirecting("file:///etc/passwd"), (QwenVLKitError,)),
    Malice("be back in an hour", busy(Retry_After="3600"), BUSY),
    Malice("be back in 2099", busy(Retry_After="Fri, 31 Dec 2099 23:59:59 GMT"), BUSY),
    Malice("an error without end", sending(always(b"x" * 65536), status=400), REFUSED),
]
"""What is no answer at all."""

AFTER_THE_END = [
    Malice(name, act, ())
    for name, act in {
        "comments": dripping(after(SAID, END, then=b": k\n\n")),
        "chunks": dripping(after(SAID, END, then=event())),
        "another end": dripping(after(SAID, END, then=END)),
        "a line": sending(after(SAID, END, b"data: ", then=b"x" * 65536)),
        "a flood": sending(after(SAID, END, then=b": x\n" * 9000)),
        "no JSON": sending(lambda: [SAID, END, b"data: {\n\n"]),
        "an error": sending(lambda: [SAID, END, b'data: {"error": {"message": "no"}}\n\n']),
        "more after [DONE]": dripping(after(SAID, END, b"data: [DONE]\n\n", then=b"x")),
    }.items()
]
"""What comes when the answer is complete."""

ANSWERS = [*DRIPS, *FLOODS, LATE_FLOOD, *LENGTHS, *PACKED, *FORMS, *AFTER_THE_END]

QUESTIONS = [
    Malice("a body in drips", dripping(always(b" "), kind=JSON), TIMEOUT, takes_ever=True),
    Malice(
        "a head in drips",
        raw(b"HTTP/1.1 200 OK\r\n", then=b"X-A: b\r\n"),
        TIMEOUT,
        takes_ever=True,
    ),
    Malice("nothing", silence, TIMEOUT, takes_ever=True),
    Malice("space", sending(always(b" " * 65536), kind=JSON), NO_ANSWER),
    Malice(
        "entries",
        sending(after(b'{"data": [', then=b'{"id": "Qwen2-VL"},' * 3000), kind=JSON),
        NO_ANSWER,
    ),
    Malice("gzip", sending(lambda: [ZEROS], kind=JSON, Content_Encoding="gzip"), NO_ANSWER),
    Malice("a web page", sending(lambda: [b"<html>Welcome"], kind="text/html"), NO_ANSWER),
    Malice("a page called JSON", sending(lambda: [b"<html>Welcome"], kind=JSON), NO_ANSWER),
    Malice("a list", sending(lambda: [b"[]"], kind=JSON), NO_ANSWER),
    Malice("nothing listed", sending(lambda: [b'{"data": null}'], kind=JSON), (QwenVLKitError,)),
    Malice("no entries", sending(lambda: [b'{"data": "abc"}'], kind=JSON), NO_ANSWER),
    Malice("a redirect elsewhere", redirecting("http://127.0.0.1:9/v1/models"), REFUSED),
    Malice("a redirect to itself", redirecting_here, (ServerConnectionError,)),
    Malice("be back in an hour", busy(Retry_After="3600"), BUSY),
]
"""What comes in place of an answer to what connect asks."""
