"""Connections to addresses that were checked, and to no others."""

from __future__ import annotations

import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, TypeAlias

import httpcore2
from typing_extensions import Self

from qwenvl_kit.errors import MediaFetchError, MediaForbiddenError, MediaTimeoutError
from qwenvl_kit.media.web.addresses import Address, is_public

_PIECE_BYTES = 32 * 1024
"""Most bytes of one read, and so the most that can exceed a limit before it is noticed."""

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""A resolver: from a host and port to the addresses of the host, as texts."""


class FetchDeadline:
    """The deadline of a fetch.

    Args:
        seconds: the time from now.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.seconds = seconds

    def left(self, most: float | None = None) -> float:
        """Return the seconds that are left, or `most` if that is less.

        Raises:
            MediaTimeoutError: no time is left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.error()
        return left if most is None else min(left, most)

    def error(self) -> MediaTimeoutError:
        """Return the error of a fetch that took too long."""
        return MediaTimeoutError(
            f"fetching took longer than {self.seconds:g} s",
            hint="MediaPolicy(fetch_timeout_seconds=...), or fetch it yourself",
        )


def system_addresses(host: str, port: int) -> list[str]:
    """Return the addresses that the system's resolver finds."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Dialer(httpcore2.NetworkBackend):
    """A network backend that resolves a host once, checks all its addresses, and connects to one.

    A host is refused if any of its addresses is not allowed. The checked address is the one that
    is connected to: no name is resolved a second time.

    Args:
        resolve: the resolver.
        allow_private: True if addresses that are not public are allowed.
        deadline: the end of every wait, also for a single byte.
    """

    def __init__(self, resolve: Resolve, allow_private: bool, deadline: FetchDeadline) -> None:
        self._resolve = resolve
        self._allow_private = allow_private
        self._deadline = deadline
        self._streams = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._streams.close()  # also those that a failed client has lost

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first checked address that answers."""
        failure: Exception = httpcore2.ConnectError("no address")
        for address in self._checked(host, port):
            try:
                stream = httpcore2.SyncBackend().connect_tcp(
                    str(address), port, self._deadline.left(timeout), local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                self._streams.callback(stream.close)
                return _TimedStream(stream, self._deadline)
        try:
            raise failure
        finally:
            del failure  # its traceback holds this frame: a reference cycle

    def _checked(self, host: str, port: int) -> list[Address]:
        addresses = [_address(text) for text in self._looked_up(host, port)]
        for address in addresses:
            is_allowed = self._allow_private and not address.is_multicast
            if not is_allowed and not is_public(address):
                raise MediaForbiddenError(
                    f"{host} is at an address that is not public",
                    expected="a host of the public internet",
                    hint="MediaPolicy(allow_private_addresses=True), if you trust who sends URLs",
                )
        return addresses

    def _looked_up(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host; a resolver that hangs is left behind at the deadline."""
        if _is_address(host):
            return [host]
        answers: queue.SimpleQueue[Sequence[str] | Exception] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                answers.put(self._resolve(host, port))
            except Exception as error:
                answers.put(error)

        threading.Thread(target=look_up, name="qwenvl_kit resolver", daemon=True).start()
        try:
            answer = answers.get(timeout=self._deadline.left())
        except queue.Empty:
            raise self._deadline.error() from None
        if isinstance(answer, (OSError, UnicodeError)) or not answer:
            raise MediaFetchError(f"the host {host} was not found", hint="check the URL")
        if isinstance(answer, Exception):
            try:
                raise answer
            finally:
                del answer
        return answer


class _TimedStream(httpcore2.NetworkStream):
    """A connection whose every wait ends at the deadline, even if single bytes come slowly."""

    def __init__(self, stream: httpcore2.NetworkStream, deadline: FetchDeadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(min(max_bytes, _PIECE_BYTES), self._deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        left = self._deadline.left(timeout)
        secured = self._stream.start_tls(ssl_context, server_hostname, left)
        return _TimedStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _address(text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise MediaForbiddenError("the resolver gave something that is no address") from error


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
