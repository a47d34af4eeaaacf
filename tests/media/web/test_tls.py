"""Over TLS, the server must be who the URL says, by a certificate of somebody who is trusted."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Callable

import pytest
import trustme

from qwenvl_kit import MediaPolicy
from qwenvl_kit.errors import MediaFetchError
from qwenvl_kit.media.web import fetcher
from qwenvl_kit.media.web.fetcher import fetch
from tests.media.web.servers import response, serving

CONTENT = b"a picture"
TRUSTED, OTHER = trustme.CA(), trustme.CA()
PAST = datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)


@pytest.fixture(autouse=True)
def trust(monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.create_default_context()
    TRUSTED.configure_trust(context)
    monkeypatch.setattr(fetcher, "_tls", lambda: context)
    monkeypatch.setattr(fetcher, "_FIRST_PAUSE_SECONDS", 0.01)


def _over_tls(
    certificate: trustme.LeafCert, asked: list[str], most: ssl.TLSVersion | None = None
) -> Callable[[socket.socket], None]:
    """Shakes hands and answers, and notes by which name it was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    if most is not None:
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = most
        context.set_ciphers("ALL:@SECLEVEL=0")

    def note(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        asked.append(name or "")

    context.sni_callback = note

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            while b"\r\n\r\n" not in secured.recv(65536):
                pass
            secured.sendall(response(CONTENT))

    return answer


def _fetched(answer: Callable[[socket.socket], None], host: str = "files.example") -> bytes:
    with serving({}, answer, at_once=True) as server:
        policy = MediaPolicy(
            allow_hosts=[f"*:{server.port}"], allow_private_addresses=True, fetch_timeout_seconds=5
        )
        return fetch(f"https://{host}:{server.port}/a.png", policy, lambda *_: ["127.0.0.1"])


def test_a_server_that_can_show_who_it_is_is_asked_by_its_name_though_its_address_is_dialled() -> (
    None
):
    asked: list[str] = []
    assert _fetched(_over_tls(TRUSTED.issue_cert("files.example"), asked)) == CONTENT
    assert asked == ["files.example"]


@pytest.mark.parametrize(
    "certificate",
    [
        OTHER.issue_cert("files.example"),
        TRUSTED.issue_cert("other.example"),
        TRUSTED.issue_cert("127.0.0.1"),
        TRUSTED.issue_cert("files.example", not_after=PAST),
    ],
    ids=["of nobody known", "of another name", "of an address alone", "that is over"],
)
def test_a_certificate_that_cannot_be_trusted_is_refused(certificate: trustme.LeafCert) -> None:
    with pytest.raises(MediaFetchError, match="could not be fetched"):
        _fetched(_over_tls(certificate, []))


def test_a_server_that_speaks_an_old_protocol_is_refused() -> None:
    certificate = TRUSTED.issue_cert("files.example")
    with pytest.raises(MediaFetchError):
        _fetched(_over_tls(certificate, [], ssl.TLSVersion.TLSv1_1))


@pytest.mark.parametrize("said", [response(CONTENT), b"", b"\x16\x03\x01\xff\xff" + b"x" * 99])
def test_a_server_that_does_not_speak_tls_is_refused(said: bytes) -> None:
    with pytest.raises(MediaFetchError):
        _fetched(lambda connection: connection.sendall(said))
