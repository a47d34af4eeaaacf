"""The fetcher: returns the bytes behind a URL, and checks each hop by the media policy."""

from __future__ import annotations

import functools
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from qwenvl_kit.errors import (
    MediaError,
    MediaFetchError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaTimeoutError,
)
from qwenvl_kit.media.web.urls import WebUrl, parse_url

if TYPE_CHECKING:
    from qwenvl_kit.media.policy import MediaPolicy
    from qwenvl_kit.media.web.connections import FetchDeadline, Resolve

IsEnough: TypeAlias = Callable[[bytearray], bool]
"""A function that is given the bytes that have come so far; True stops the fetch."""

_REDIRECTS = (301, 302, 303, 307, 308)
_TRY_AGAIN = (408, 429, 500, 502, 503, 504)
_GONE = (404, 410)
_TRIES = 3
_FIRST_PAUSE_SECONDS = 0.2
_STALLED_SECONDS = 10.0
"""Longest silence of a server, even if the deadline is later."""

_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "qwenvl-kit"}


@dataclass(frozen=True)
class _FetchSettings:
    """The settings that all hops of a fetch share."""

    policy: MediaPolicy
    deadline: FetchDeadline
    resolve: Resolve | None
    is_enough: IsEnough | None


@dataclass(frozen=True)
class _Response:
    """A server's response: its status, the headers that may matter, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def fetch(
    source: str,
    policy: MediaPolicy,
    resolve: Resolve | None = None,
    is_enough: IsEnough | None = None,
) -> bytes:
    """Return the bytes behind a URL.

    Each hop is checked: its host by the policy, and its address once it is known. Bytes are counted
    as they come; the server's own headers about length and type are not trusted. A busy server is
    asked again, at most twice, and never after the deadline.

    Args:
        source: the URL.
        policy: the hosts, addresses and sizes that are admitted.
        resolve: the resolver of names; None for the system's.
        is_enough: called as bytes come; the fetch stops once it returns True.

    Raises:
        MediaForbiddenError: the policy admits no such host, address or size.
        MediaSourceError: it is no URL.
        MediaNotFoundError: the server has nothing there.
        MediaFetchError: no connection, or no complete response.
        MediaTimeoutError: it took too long.
    """
    from qwenvl_kit.media.web.connections import FetchDeadline

    settings = _FetchSettings(
        policy, FetchDeadline(policy.fetch_timeout_seconds), resolve, is_enough
    )
    url = parse_url(source)
    for _ in range(policy.max_redirects + 1):
        policy.check_host(url.scheme, url.host, url.port)
        answer = _get(url, settings)
        if answer.status not in _REDIRECTS:
            return _body(url, answer)
        if "location" not in answer.headers:
            raise MediaFetchError(f"{url} redirects without a Location ({answer.status})")
        url = url.joined(answer.headers["location"])
    raise MediaForbiddenError(
        f"more than {policy.max_redirects} redirects",
        expected="fewer",
        hint="MediaPolicy(max_redirects=...), or the URL where they lead",
    )


def _body(url: WebUrl, answer: _Response) -> bytes:
    if answer.status in _GONE:
        raise MediaNotFoundError(f"{url} was not found ({answer.status})")
    if answer.status != 200:
        raise MediaFetchError(f"{url} answered {answer.status}", expected="200")
    if answer.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise MediaFetchError(f"{url} sent it compressed", expected="the file as it is")
    return answer.body


def _get(url: WebUrl, settings: _FetchSettings) -> _Response:
    """One hop, retried if that is safe and may help."""
    import httpcore2

    failure: Exception | None = None
    for attempt in range(1, _TRIES + 1):
        answer = None
        try:
            answer = _get_once(url, settings)
        except (
            httpcore2.NetworkError,
            httpcore2.TimeoutException,
            httpcore2.ProtocolError,
        ) as error:
            failure = error
        except MediaError:
            raise
        except Exception as error:
            raise MediaFetchError(f"{url} cannot be requested ({_name(error)})") from error
        if answer is not None and (answer.status not in _TRY_AGAIN or attempt == _TRIES):
            return answer
        if attempt < _TRIES:
            _pause(attempt, answer, settings.deadline)
    if isinstance(failure, httpcore2.TimeoutException):
        settings.deadline.left()
        raise MediaTimeoutError(f"{url} does not answer ({_name(failure)})") from failure
    raise MediaFetchError(
        f"{url} could not be fetched ({_name(failure)})", hint="check the URL and the network"
    ) from failure


def _get_once(url: WebUrl, settings: _FetchSettings) -> _Response:
    import httpcore2

    from qwenvl_kit.media.web.connections import Dialer, system_addresses

    policy, resolve = settings.policy, settings.resolve or system_addresses
    waits = {"connect": _STALLED_SECONDS, "read": _STALLED_SECONDS, "write": _STALLED_SECONDS}
    where = httpcore2.URL(
        scheme=url.scheme.encode(),
        host=url.host.encode(),
        port=url.port,
        target=url.target.encode(),
    )
    with (
        Dialer(resolve, policy.allow_private_addresses, settings.deadline) as dialer,
        httpcore2.ConnectionPool(_tls(), max_connections=1, network_backend=dialer) as pool,
        pool.stream("GET", where, headers=_HEADERS, extensions={"timeout": waits}) as response,
    ):
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in response.headers
        }
        if response.status != 200:  # the body of an error is not read
            return _Response(response.status, headers, b"")
        said = headers.get("content-length", "")
        if said.isascii() and said.isdigit():
            policy.check_num_bytes(int(said[:20]))
        received = bytearray()
        for piece in response.iter_stream():
            received += piece
            policy.check_num_bytes(len(received))
            settings.deadline.left()
            if settings.is_enough is not None and settings.is_enough(received):
                break
        return _Response(response.status, headers, bytes(received))


def _pause(attempt: int, answer: _Response | None, deadline: FetchDeadline) -> None:
    """Wait as long as the server asks, or a little longer each time."""
    asked = "" if answer is None else answer.headers.get("retry-after", "")
    seconds = _FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.75, 1.25)
    if asked.isascii() and asked.isdigit():
        seconds = max(seconds, float(asked[:6]))
    if seconds >= deadline.left():
        raise MediaTimeoutError(
            f"the server asks for a retry in {seconds:.1f} s, when the time for fetching is over",
            hint="MediaPolicy(fetch_timeout_seconds=...), or later",
        )
    time.sleep(seconds)


@functools.cache
def _tls() -> ssl.SSLContext:
    import httpcore2

    return httpcore2.default_ssl_context()


def _name(error: BaseException | None) -> str:
    return type(error).__name__
