"""The HTTP transport to a server. It enforces where requests may go, and limits responses."""

from __future__ import annotations

import email.utils
import importlib
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import openai

from qwenvl_kit.backends.server.event_stream import EventSplitter
from qwenvl_kit.backends.server.response_limits import ResponseLimits, current_limits
from qwenvl_kit.errors import ServerAnswerError, ServerRefusedError

http: Any = importlib.import_module(
    openai.DefaultAsyncHttpxClient.__mro__[1].__module__.partition(".")[0]
)
"""The HTTP library of the openai package that is installed: httpx, or its successor."""

_ERROR_BYTES = 64 * 1024
"""Most bytes that are read of an error response."""

_IN_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")

_API = "check that base_url leads to the API itself: it often ends in /v1"


class GuardedTransport(http.AsyncBaseTransport):  # type: ignore[misc]  # of either library
    """A transport that sends requests to one server only, and limits its responses.

    Responses must not be compressed, as a few compressed bytes can expand to any number.

    Args:
        inner: the transport that sends the requests.
        address: the URL of the server's API. A redirect to another scheme, host or port is not
            followed.
    """

    def __init__(self, inner: Any, address: str) -> None:
        self._inner = inner
        self._origin = _origin(http.URL(address))

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request; return its response with a body that enforces the limits.

        Raises:
            ServerRefusedError: it would go to another server.
            ServerAnswerError: the answer is compressed.
        """
        self._check_origin(request.url)
        request.headers["Accept-Encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        try:
            response.stream = _limited_body(response, current_limits())
        except BaseException:
            await response.aclose()
            raise
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()

    def _check_origin(self, url: Any) -> None:
        if _origin(url) == self._origin:
            return
        scheme, host, port = _origin(url)
        place = f"{scheme}://{host}:{port}"
        raise ServerRefusedError(
            f"the server redirects requests to another address ({place})",
            expected="an answer, or a redirect to the same scheme, host and port",
            hint=f"base_url={place + '/...'!r}, if that is the server that is meant",
        )


def _origin(url: Any) -> tuple[str, str, int | None]:
    port = url.port or {"http": 80, "https": 443}.get(url.scheme)
    return url.scheme, url.host.lower(), port


def _limited_body(response: Any, limits: ResponseLimits) -> Any:
    """Wrap the body of a response, so that it is checked while it is read."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    is_plain = encoding in ("", "identity", "none")
    if response.status_code >= 300:
        _refuse_long_waits(response, limits)
        if not is_plain:  # the status says enough
            del response.headers["content-encoding"]
        return _Body(response.stream, _Beginning(_ERROR_BYTES if is_plain else 0))
    if not is_plain:
        raise ServerAnswerError(
            f"the server's answer is compressed ({encoding[:20]!r}), which was not asked for",
            expected="an answer as it is (Accept-Encoding: identity)",
            hint="switch compression off in the server, or in the proxy before it",
        )
    return _Body(response.stream, _Events(limits) if limits.is_stream else _Whole(limits))


def _refuse_long_waits(response: Any, limits: ResponseLimits) -> None:
    """Prevent a retry after a pause that is longer than the time that is left."""
    if _asked_pause_seconds(response.headers) > limits.seconds_left:
        response.headers["x-should-retry"] = "false"


def _asked_pause_seconds(headers: Any) -> float:
    """The pause that a server asks for before a retry; 0 if it asks for none."""
    said = headers.get("retry-after", "")
    for text, per_second in ((headers.get("retry-after-ms", ""), 1000), (said, 1)):
        with suppress(ValueError):
            return float(text) / per_second
    try:
        return email.utils.parsedate_to_datetime(said).timestamp() - time.time()
    except (TypeError, ValueError, OverflowError):
        return 0.0


class _Body(http.AsyncByteStream):  # type: ignore[misc]  # of either library
    """A response body that passes through a filter."""

    def __init__(self, stream: Any, kept: _Beginning | _Whole | _Events) -> None:
        self._stream = stream
        self._kept = kept

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            kept = self._kept.feed(chunk)
            if kept:
                yield kept
            if self._kept.is_full:
                return
        yield self._kept.finish()

    async def aclose(self) -> None:
        """Close the connection, or return it to the pool."""
        await self._stream.aclose()


class _Beginning:
    """A filter that passes the first bytes only."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    @property
    def is_full(self) -> bool:
        return self._left <= 0

    def feed(self, chunk: bytes) -> bytes:
        kept = chunk[: self._left]
        self._left -= len(kept)
        return kept

    def finish(self) -> bytes:
        return b""


class _Whole:
    """A filter that passes a whole body. It refuses one that is too long, or a web page."""

    is_full = False

    def __init__(self, limits: ResponseLimits) -> None:
        self._limits = limits
        self._num_bytes = 0
        self._first = b""

    def feed(self, chunk: bytes) -> bytes:
        self._num_bytes += len(chunk)
        if not self._first:
            self._first = chunk.lstrip()[:1]
            self._check_first()
        if self._num_bytes > self._limits.body_bytes:
            raise ServerAnswerError(
                f"the server's answer is longer than {self._limits.body_bytes:,} bytes",
                expected="an answer of the length that was asked for",
                hint=_API,
            )
        return chunk

    def finish(self) -> bytes:
        return b""

    def _check_first(self) -> None:
        if self._first == b"<":
            raise ServerAnswerError(
                "there is a web page in place of an API",
                expected="the JSON of OpenAI's chat API",
                hint=_API,
            )


class _Events(_Whole):
    """A filter that passes the events of a stream. It refuses an event that is too long.

    A JSON body in place of a stream becomes its only event: an error, or the whole answer.
    """

    def __init__(self, limits: ResponseLimits) -> None:
        super().__init__(limits)
        self._splitter = EventSplitter()
        self._json = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        chunk, events = super().feed(chunk), b""
        if self._first == b"{":
            self._json += chunk
        else:
            events = self._splitter.feed(chunk)
        if self._splitter.num_bytes + len(self._json) > self._limits.event_bytes:
            raise ServerAnswerError(
                f"the server's stream has an event longer than {self._limits.event_bytes:,} bytes",
                expected="an event for each token or a few of them",
            )
        return events

    def finish(self) -> bytes:
        if not self._json:
            return self._splitter.finish()
        line = self._json.translate(_IN_ONE_LINE)
        return b"data: " + bytes(line) + b"\n\n"
