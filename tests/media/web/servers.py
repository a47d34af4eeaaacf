"""Web servers on loopback that answer what a test wants, and note who connected."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from qwenvl_kit import MediaPolicy

Answer = bytes | Callable[[socket.socket], None]


@dataclass
class Server:
    """A server that was started.

    Attributes:
        port: where it listens on 127.0.0.1.
        asked: the request lines that came, in their order.
        headers: the headers of the last request, in lower case.
    """

    port: int
    asked: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def url(self, path: str = "/a.png", host: str = "files.example") -> str:
        return f"http://{host}:{self.port}{path}"


@contextmanager
def serving(
    answers: Mapping[str, Answer], default: Answer = b"", *, at_once: bool = False
) -> Iterator[Server]:
    """Answers by path; an answer is bytes that are sent as they are, or does with the socket
    what it likes, `at_once` before any request is read. One connection, one request."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    server = Server(listener.getsockname()[1])
    stopped = threading.Event()

    def handle(connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            try:
                if at_once and callable(default):
                    default(connection)
                    return
                received = b""
                while b"\r\n\r\n" not in received:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    received += piece
                head = received.decode("latin-1").split("\r\n")
                server.asked.append(head[0])
                server.headers = dict(
                    line.lower().split(": ", 1) for line in head[1:] if ": " in line
                )
                answer = answers.get(head[0].split(" ")[1], default)
                if callable(answer):
                    answer(connection)
                else:
                    connection.sendall(answer)
            except OSError:
                pass

    def accept() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        stopped.set()
        thread.join()
        listener.close()


def admitting(server: Server, **limits: object) -> MediaPolicy:
    """A policy that admits a server, which is on loopback."""
    settings = {
        "allow_hosts": [f"*:{server.port}"],
        "allow_private_addresses": True,
        "fetch_timeout_seconds": 5,
        **limits,
    }
    return MediaPolicy(**settings)  # type: ignore[arg-type]


def response(
    body: bytes = b"", status: str = "200 OK", headers: Mapping[str, str] | None = None
) -> bytes:
    """A whole answer with a true Content-Length, unless the headers say otherwise."""
    given = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body
