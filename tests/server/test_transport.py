"""No more is read of a server's answer than is needed to see that it is none."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from qwenvl_kit import Sampling
from qwenvl_kit.backends.server.event_stream import EventSplitter
from qwenvl_kit.backends.server.response_limits import (
    ResponseLimits,
    answer_limits,
    limited,
    most_held_characters,
)
from qwenvl_kit.backends.server.stream_reader import AnswerReader
from qwenvl_kit.backends.server.transport import GuardedTransport, http
from qwenvl_kit.errors import ServerAnswerError

PLACE = "http://127.0.0.1:8000/v1"
PIECE = 65_536
SMALL = ResponseLimits(body_bytes=1_000_000, event_bytes=300_000)
STREAM = ResponseLimits(body_bytes=1_000_000, event_bytes=300_000, is_stream=True)


class Endless(http.AsyncByteStream):  # type: ignore[misc]  # of either library
    """A body, and how much of it was taken."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = pieces
        self.num_taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.num_taken += len(piece)
            yield piece


class Wire(http.AsyncBaseTransport):  # type: ignore[misc]  # likewise
    """Answers each request alike."""

    def __init__(self, body: Endless, status: int, headers: dict[str, str]) -> None:
        self.body, self.status, self.headers = body, status, headers
        self.requests: list[Any] = []

    async def handle_async_request(self, request: Any) -> Any:
        self.requests.append(request)
        return http.Response(self.status, headers=self.headers, stream=self.body)


def read(
    body: Endless, limits: ResponseLimits, status: int = 200, **headers: str
) -> tuple[Wire, bytes | Exception]:
    """What a client gets of a body."""
    wire = Wire(body, status, {name.replace("_", "-"): value for name, value in headers.items()})

    async def got() -> bytes:
        transport = GuardedTransport(wire, PLACE)
        async with http.AsyncClient(transport=transport) as client:
            with limited(limits):
                return bytes((await client.get(PLACE)).content)

    try:
        return wire, asyncio.run(got())
    except ServerAnswerError as error:
        return wire, error


@pytest.mark.parametrize(
    ("limits", "piece", "most"),
    [
        (SMALL, b" " * PIECE, SMALL.body_bytes),
        (SMALL, b"[" * PIECE, SMALL.body_bytes),
        (STREAM, b"x" * PIECE, STREAM.event_bytes),
        (STREAM, b"data: x\n" * (PIECE // 8), STREAM.event_bytes),
        (STREAM, b"{" + b" " * (PIECE - 1), STREAM.event_bytes),
        (STREAM, b": x\n" * (PIECE // 4), STREAM.body_bytes),
        (STREAM, b"data: x\n\n" * (PIECE // 9), STREAM.body_bytes),
        (STREAM, b"\r" * PIECE, STREAM.body_bytes),
    ],
)
def test_no_more_is_read_than_is_allowed(limits: ResponseLimits, piece: bytes, most: int) -> None:
    body = Endless(itertools.repeat(piece))
    _, got = read(body, limits)
    assert isinstance(got, ServerAnswerError)
    assert body.num_taken <= most + PIECE


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, identity"])
def test_nothing_compressed_is_read(encoding: str) -> None:
    body = Endless([gzip.compress(bytes(2**20))])
    _, got = read(body, SMALL, Content_Encoding=encoding)
    assert isinstance(got, ServerAnswerError)
    assert "compressed" in str(got)
    assert body.num_taken == 0


def test_of_an_error_its_beginning_is_read_and_nothing_that_is_compressed() -> None:
    body = Endless(itertools.repeat(b"x" * PIECE))
    assert read(body, SMALL, 500)[1] == b"x" * PIECE
    assert body.num_taken == PIECE
    packed = Endless([gzip.compress(bytes(2**20))])
    assert read(packed, SMALL, 500, Content_Encoding="gzip")[1] == b""


def test_a_server_is_asked_for_nothing_compressed() -> None:
    wire, _ = read(Endless([b"{}"]), SMALL)
    assert wire.requests[0].headers["accept-encoding"] == "identity"


def test_an_answer_that_does_not_end_is_held_up_to_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qwenvl_kit.backends.server.response_limits._THOUGHTS", 100)
    sampling = Sampling(max_new_tokens=8, max_cycle_tokens=None)
    for delta in ({"content": "ab"}, {"reasoning": "ab"}, {"tool_calls": [{"index": 0}]}):
        reader = AnswerReader(sampling, None)
        chunks = itertools.repeat({"choices": [{"delta": delta}]}, 10_000)
        with pytest.raises(ServerAnswerError, match="does not stop writing"):
            deque(itertools.chain.from_iterable(map(reader.feed, chunks)), maxlen=0)
        assert len(reader.text) <= most_held_characters(8, 0)


@pytest.mark.parametrize("alternatives", [0, 5, 20])
def test_an_honest_answer_is_far_within_its_bounds(alternatives: int) -> None:
    """As vLLM writes it: 12 digits of an id, 18 of a number, 16 bytes of a token."""
    score = '{"token": "token_id:151643", "logprob": -12.345678901234567, "bytes": [%s]}'
    one = len(score % ", ".join(["116"] * 16))
    limits = answer_limits(1000, 512, alternatives)
    assert 512 * (1 + alternatives) * one + 8 * 1000 < limits.event_bytes
    assert (512 + 81_920) * (400 + (1 + alternatives) * one) < limits.body_bytes


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_are_the_same_however_their_bytes_come(size: int, end: bytes) -> None:
    lines = [b": ping", b"", b"id: 4", b"data: {1", b"data: 2}", b"", b"", b"retry: 3", b""]
    lines += [b"data:", b"", b"data: : PROCESSING", b"", b"data:[DONE]", b"", b"data: cut", b""]
    sent = b"\xef\xbb\xbf" + end.join(lines)
    splitter = EventSplitter()
    pieces = [splitter.feed(sent[at : at + size]) for at in range(0, len(sent), size)]
    whole = b"".join([*pieces, splitter.finish()])
    assert whole == b"id: 4\ndata: {1\ndata: 2}\n\ndata:[DONE]\n\n"
