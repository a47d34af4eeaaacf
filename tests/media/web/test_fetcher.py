"""What is fetched, from where, how much of it, and what becomes of servers that misbehave."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit import ImagePart, MediaPolicy, Message, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    InputError,
    MediaError,
    MediaFetchError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaSourceError,
    MediaTimeoutError,
)
from qwenvl_kit.media import fetch_cache
from qwenvl_kit.media.fetch_cache import FetchCache
from qwenvl_kit.media.pages import read_pages
from qwenvl_kit.media.web import fetcher
from qwenvl_kit.media.web.fetcher import fetch
from qwenvl_kit.tasks import classify, document_qa
from tests.media.web.servers import admitting, response, serving
from tests.media.web.test_addresses import PRIVATE

SECRET = "s3cret"


def _png() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (64, 48), "red").save(buffer, "PNG")
    return buffer.getvalue()


PNG = _png()


def _here(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "_FIRST_PAUSE_SECONDS", 0.01)


def test_a_picture_is_fetched_as_it_is_and_nothing_of_the_machine_is_told() -> None:
    with serving({"/a.png?b=c": response(PNG)}) as server:
        assert fetch(server.url("/a.png?b=c"), admitting(server), _here) == PNG
        assert server.headers["host"] == f"files.example:{server.port}"
        assert server.headers["accept-encoding"] == "identity"
        assert set(server.headers) == {"host", "accept", "accept-encoding", "user-agent"}


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_at_a_private_address_is_refused_and_nothing_is_connected(address: str) -> None:
    with serving({}, response(PNG)) as server:
        policy = admitting(server, allow_private_addresses=False)
        with pytest.raises(MediaForbiddenError, match="not public"):
            fetch(server.url(), policy, lambda *_: [address])
        with pytest.raises(MediaForbiddenError, match="not public"):  # one bad among good
            fetch(server.url(), policy, lambda *_: ["1.1.1.1", address])
        assert server.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:7f00:1]", "localhost"])
def test_this_machine_is_refused_under_all_of_its_names(host: str) -> None:
    with serving({}, response(PNG)) as server:
        policy = admitting(server, allow_private_addresses=False)
        with pytest.raises(MediaForbiddenError):
            fetch(server.url(host=host), policy)
        assert server.asked == []


def test_a_name_is_looked_up_once_so_that_it_cannot_change_after_it_was_judged() -> None:
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    with serving({"/a.png": response(PNG)}) as server:
        assert fetch(server.url(), admitting(server), lambda *_: next(answers)) == PNG
    assert next(answers) == ["169.254.169.254"]


@pytest.mark.parametrize(
    ("allowed", "host", "is_admitted"),
    [
        (["files.example"], "files.example", True),
        (["files.example"], "FILES.example.", True),
        (["files.example"], "a.files.example", False),
        (["files.example"], "files.example.evil.example", False),
        (["files.example"], "evilfiles.example", False),
        (["*.example"], "files.example", True),
        (["*.files.example"], "files.example", False),
        (["*.files.example"], "evilfiles.example", False),
        (["*"], "files.example", True),
        ([], "files.example", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["[::1]"], "[::1]", True),
    ],
)
def test_hosts_are_admitted_by_their_whole_names(
    allowed: list[str], host: str, is_admitted: bool
) -> None:
    with serving({"/a.png": response(PNG)}) as server:
        policy = admitting(server, allow_hosts=[f"{name}:{server.port}" for name in allowed])
        if is_admitted and host != "[::1]":
            assert fetch(server.url(host=host), policy, _here) == PNG
        elif not is_admitted:
            with pytest.raises(MediaForbiddenError):
                fetch(server.url(host=host), policy, _here)
            assert server.asked == []


def test_a_port_that_was_not_named_is_refused() -> None:
    with serving({}, response(PNG)) as server:
        policy = admitting(server, allow_hosts=["*"])
        with pytest.raises(MediaForbiddenError, match="network"):
            fetch(server.url(), policy, _here)
        assert server.asked == []
    MediaPolicy.web().check_host("https", "files.example", 443)
    MediaPolicy.web().check_host("http", "files.example", 80)


def _redirect(to: str, status: str = "302 Found") -> bytes:
    return response(status=status, headers={"Location": to})


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
def test_redirects_are_followed_each_to_where_it_leads(status: str) -> None:
    answers = {"/a.png": _redirect("b/../c.png?d", status), "/c.png?d": response(PNG)}
    with serving(answers) as server:
        assert fetch(server.url(), admitting(server), _here) == PNG
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1/", "http://[::1]/",
        "http://internal.example/", "//internal.example/", "http://0x7f.1/", "file:///etc/passwd",
        "ftp://a.example/", "data:image/png;base64,AAAA", "http://a@b.example/", "http://[",
        "\\\\evil", "gopher://127.0.0.1:6379/_FLUSHALL", "http://files.example:22/",
    ],
)  # fmt: skip
def test_a_redirect_to_where_nobody_may_go_is_refused(to: str) -> None:
    def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"] if host == "files.example" else ["10.0.0.1"]

    with serving({"/a.png": _redirect(to)}) as server, serving({}, response(PNG)) as other:
        policy = MediaPolicy(
            allow_hosts=[f"files.example:{server.port}", "*"], fetch_timeout_seconds=5
        )
        # The first hop is on loopback, which this policy refuses: admit that name alone.
        private = admitting(server, allow_hosts=[f"files.example:{server.port}"])
        with pytest.raises((MediaForbiddenError, MediaSourceError)):
            fetch(server.url(), private, resolve)
        with pytest.raises((MediaForbiddenError, MediaSourceError)):
            fetch(to, policy, resolve)
        assert other.asked == []
        assert len(server.asked) == 1


def test_redirects_that_never_end_are_ended() -> None:
    with serving({"/a.png": _redirect("/a.png")}) as server:
        with pytest.raises(MediaForbiddenError, match="2 redirects"):
            fetch(server.url(), admitting(server, max_redirects=2), _here)
        assert len(server.asked) == 3
        with pytest.raises(MediaForbiddenError, match="0 redirects"):
            fetch(server.url(), admitting(server, max_redirects=0), _here)
    with serving({"/a.png": response(status="302 F")}) as server, pytest.raises(MediaFetchError):
        fetch(server.url(), admitting(server), _here)


@pytest.mark.parametrize("length", [None, "0", "5", "999999999999999999999", "-1", "ten"])
def test_bytes_are_counted_as_they_come_whatever_the_server_says(length: str | None) -> None:
    sent = []

    def endless(connection: socket.socket) -> None:
        said = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        connection.sendall(f"HTTP/1.1 200 OK\r\n{said}\r\n\r\n".encode())
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n" if length is None else b"x" * 65536
        for _ in range(100):
            connection.sendall(piece)
            sent.append(len(piece))

    with serving({"/a.png": endless}) as server:
        policy = admitting(server, max_bytes=200_000)
        if length in ("0", "5"):  # what the server says is all that is read
            assert fetch(server.url(), policy, _here) == b"x" * int(length)
        else:
            with pytest.raises((MediaForbiddenError, MediaFetchError)):
                fetch(server.url(), policy, _here)


def test_no_more_is_read_beyond_the_limit_than_one_piece() -> None:
    read = []

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")

    with serving({"/a.png": endless}) as server, pytest.MonkeyPatch.context() as patch:
        from qwenvl_kit.media.web import connections

        stream_read = connections._TimedStream.read

        def counted(self, max_bytes, timeout=None):  # type: ignore[no-untyped-def]
            piece = stream_read(self, max_bytes, timeout)
            read.append(len(piece))
            return piece

        patch.setattr(connections._TimedStream, "read", counted)
        with pytest.raises(MediaForbiddenError, match="200000"):
            fetch(server.url(), admitting(server, max_bytes=200_000), _here)
    assert sum(read) <= 200_000 + 65_536 + 1_000


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"\x00" * 100, b"<html>no HTTP</html>", b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/9.9 999 X\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
        response(PNG, headers={"Content-Encoding": "gzip"}), response(status="204 No"),
        response(status="206 Part"), response(status="401 No"), response(status="403 No"),
        response(status="418 Tea"), response(status="500 Oh"), response(status="503 Busy"),
    ],
)  # fmt: skip
def test_an_answer_that_is_not_whole_is_one_typed_error(answer: bytes) -> None:
    with serving({"/a.png": answer}) as server, pytest.raises(MediaFetchError):
        fetch(server.url(), admitting(server), _here)


def test_a_file_that_the_server_does_not_have_is_an_error_of_its_own() -> None:
    with serving({}, response(status="404 Not Found")) as server:
        with pytest.raises(MediaNotFoundError):
            fetch(server.url(), admitting(server), _here)
        assert len(server.asked) == 1


def test_a_server_that_is_busy_is_asked_again() -> None:
    waiting = iter([response(status="503 Busy"), b"", response(PNG)])

    def next_answer(connection: socket.socket) -> None:
        connection.sendall(next(waiting))

    with serving({"/a.png": next_answer}) as server:
        assert fetch(server.url(), admitting(server), _here) == PNG
        assert len(server.asked) == 3


@pytest.mark.alone
def test_a_server_that_wants_more_time_than_there_is_is_not_waited_for() -> None:
    busy = response(status="429 Later", headers={"Retry-After": "3600"})
    with serving({"/a.png": busy}) as server:
        started = time.monotonic()
        with pytest.raises(MediaTimeoutError, match="3600"):
            fetch(server.url(), admitting(server), _here)
        assert time.monotonic() - started < 2


def _drip(head: bytes, drop: bytes):  # type: ignore[no-untyped-def]
    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(200):
            time.sleep(0.05)
            connection.sendall(drop)

    return answer


@pytest.mark.alone
@pytest.mark.parametrize(
    "answer",
    [
        _drip(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        _drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        _drip(b"", b""),
    ],
    ids=["headers", "body", "nothing"],
)
def test_bytes_that_come_one_by_one_do_not_move_the_deadline(answer) -> None:  # type: ignore[no-untyped-def]
    with serving({"/a.png": answer}) as server:
        started = time.monotonic()
        with pytest.raises(MediaTimeoutError):
            fetch(server.url(), admitting(server, fetch_timeout_seconds=0.4), _here)
        assert time.monotonic() - started < 3


def test_a_resolver_that_hangs_is_not_waited_for() -> None:
    hold = threading.Event()
    policy = MediaPolicy(allow_hosts=["*"], fetch_timeout_seconds=0.2)
    with pytest.raises(MediaTimeoutError):
        fetch("http://a.example/", policy, lambda *_: hold.wait(5) or [])
    hold.set()


@pytest.mark.parametrize("answer", [[], OSError("no"), UnicodeError("no"), ["nonsense"]])
def test_a_name_that_nobody_knows_is_a_typed_error(answer) -> None:  # type: ignore[no-untyped-def]
    def resolve(*_: object) -> Sequence[str]:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(MediaError):
        fetch("http://a.example/", MediaPolicy.web(), resolve)


def test_nobody_listening_is_a_typed_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    policy = MediaPolicy(allow_hosts=[f"*:{port}"], allow_private_addresses=True)
    with pytest.raises(MediaFetchError):
        fetch(f"http://a.example:{port}/", policy, _here)


def test_https_to_a_server_that_speaks_none_is_a_typed_error() -> None:
    with serving({}, response(PNG)) as server:
        url = server.url().replace("http:", "https:")
        with pytest.raises((MediaFetchError, MediaTimeoutError)):
            fetch(url, admitting(server, fetch_timeout_seconds=0.5), _here)


@pytest.mark.parametrize("answer", [b"", response(status="403 No"), _redirect("http://b.example/")])
def test_nothing_of_path_or_query_stands_in_a_message(answer: bytes) -> None:
    with serving({}, answer) as server:
        url = server.url(f"/{SECRET}/a.png?signature={SECRET}")
        with pytest.raises(MediaError) as caught:
            fetch(url, admitting(server), _here)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__
    with pytest.raises(MediaError) as refused:
        fetch(f"http://me:{SECRET}@a.example/", MediaPolicy.web(), _here)
    assert SECRET not in str(refused.value)
    with pytest.raises(MediaForbiddenError) as off:
        VisionChat(ScriptedBackend([])).ask("?", f"http://me:{SECRET}@a.example/{SECRET}")
    assert SECRET not in str(off.value)


def test_a_question_about_a_url_fetches_it_once_and_a_conversation_too() -> None:
    with serving({"/a.png": response(PNG)}) as server:
        chat = VisionChat(ScriptedBackend(["A", "B", "C"]), media=admitting(server))
        url = server.url(host="127.0.0.1")
        reply = chat.ask("What is this?", url)
        assert reply.plan.images[0].original.width_px == 64
        assert len(server.asked) == 1
        conversation = chat.start()
        conversation.ask("What is this?", ImagePart(url))
        conversation.ask("And this?")
        assert len(server.asked) == 2


def test_a_url_that_fails_costs_its_own_request_alone() -> None:
    with serving({"/a.png": response(PNG)}, response(status="404 N")) as server:
        chat = VisionChat(ScriptedBackend(lambda _: "A"), media=admitting(server))
        asked = [
            Message.user("?", ImagePart(server.url(path, "127.0.0.1"))) for path in ("/a.png", "/b")
        ]
        first, second = chat.ask_many(asked)
    assert str(first) == "A"
    assert second.error.where == "requests[1].messages[0].parts[1]"


def test_many_questions_about_one_url_fetch_it_once() -> None:
    with serving({"/a.png": response(PNG), "/b.png": response(PNG)}) as server:
        backend = ScriptedBackend(lambda r: (r.constraint and r.constraint.only_answer) or "cat")
        chat = VisionChat(backend, media=admitting(server))
        first, second = (server.url(path, "127.0.0.1") for path in ("/a.png", "/b.png"))
        assert classify(chat, first, ["cat", "dog", "cow"]).label == "cat"
        assert len(server.asked) == 1
        document_qa(chat, [first, second], ["a", "b", "c"])
        assert len(server.asked) == 3
        assert len(chat.ask_many([Message.user("?", ImagePart(first))] * 20)) == 20
        assert len(server.asked) == 4


def test_what_failed_is_asked_for_again_by_the_next_request() -> None:
    waiting = [response(status="404 N"), response(PNG)]

    def next_answer(connection: socket.socket) -> None:
        connection.sendall(waiting.pop(0) if len(waiting) > 1 else waiting[0])

    fetches = FetchCache()
    with serving({"/a.png": next_answer}) as server:
        policy = admitting(server)
        with pytest.raises(MediaNotFoundError):
            fetches.get(server.url(host="127.0.0.1"), policy)
        for _ in range(3):
            assert fetches.get(server.url(host="127.0.0.1"), policy) == PNG
        assert len(server.asked) == 2


def test_a_journal_knows_what_is_on_the_network_by_its_url_and_fetches_nothing_twice(
    tmp_path: Path,
) -> None:
    asked = []
    with serving({}, response(PNG)) as server:
        url = server.url(host="127.0.0.1")
        frames = Message.user(VideoPart([url, url], fps=1), "frames")
        for requests in ([Message.user(ImagePart(url), "a picture")], [frames]):
            for _ in range(2):
                chat = VisionChat(ScriptedBackend(lambda _: "A"), media=admitting(server))
                results = chat.ask_many(requests, journal=tmp_path / f"{len(requests[0].text)}")
                assert [str(result) for result in results] == ["A"]
                asked.append(len(server.asked))
    assert asked[0] == asked[1] == 1
    assert asked[2] == asked[3]


def test_the_oldest_files_go_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_cache, "_MAX_BYTES", 2 * len(PNG))
    fetches = FetchCache()
    with serving({}, response(PNG)) as server:
        urls = [server.url(f"/{name}", "127.0.0.1") for name in "abc"]
        for url in (*urls, urls[2], urls[0]):
            fetches.get(url, admitting(server))
    assert [line.split()[1] for line in server.asked] == ["/a", "/b", "/c", "/a"]


def test_files_outside_the_folders_that_are_admitted_are_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "a.png").write_bytes(PNG)
    (inside / "link.png").symlink_to(outside / "a.png")
    (inside / "good.png").symlink_to(inside / "a.png")
    (inside / "loop.png").symlink_to(inside / "loop.png")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.png").write_bytes(PNG)
    chat = VisionChat(ScriptedBackend(lambda _: "A"), media=MediaPolicy(allow_folders=[inside]))
    for good in (inside / "a.png", inside / "good.png", (inside / "a.png").as_uri()):
        assert str(chat.ask("?", good)) == "A"
    for bad in (
        outside / "a.png", inside / "link.png", inside / ".." / "out" / "a.png",
        inside / "loop.png",
        f"{inside}/../out/a.png", (outside / "a.png").as_uri(), f"file://{inside}/%2e%2e/out/a.png",
        "/etc/passwd", "/etc/no such file", tmp_path / "inner" / "a.png", "a.png", "~/a.png",
    ):  # fmt: skip
        with pytest.raises(MediaForbiddenError, match="no folder") as caught:
            chat.ask("?", bad)
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(MediaNotFoundError) as missing:
        chat.ask("?", f"{inside}/b.png")
    assert "working directory" not in str(missing.value)
    nowhere = VisionChat(ScriptedBackend([]), media=MediaPolicy(allow_folders=[]))
    with pytest.raises(MediaForbiddenError):
        nowhere.ask("?", inside / "a.png")


@pytest.mark.parametrize("isolate_images", [False, True])
def test_a_damaged_file_is_named_as_it_was_given_and_not_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolate_images: bool
) -> None:
    folder = tmp_path / "secret place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    policy = MediaPolicy(allow_folders=["."], isolate_images=isolate_images)
    chat = VisionChat(ScriptedBackend([]), media=policy)
    for content in (b"", b"hello", PNG[:40], PNG[:-30]):
        Path("real.png").write_bytes(content)
        Path("link.png").unlink(missing_ok=True)
        Path("link.png").symlink_to("real.png")
        for part in (ImagePart("link.png"), VideoPart("link.png", num_frames=2)):
            with pytest.raises(MediaError) as caught:
                chat.ask([Message.user(part, "?")])
            assert "secret place" not in str(caught.value)
            assert "real.png" not in str(caught.value)
        with pytest.raises(MediaError) as caught:
            read_pages("link.png", policy)
        assert "secret place" not in str(caught.value)


def test_formats_that_are_not_admitted_are_no_pictures() -> None:
    chat = VisionChat(ScriptedBackend(["A"]), media=MediaPolicy(image_formats=["JPEG"]))
    with pytest.raises(MediaError, match="JPEG"):
        chat.ask("?", PNG)


@pytest.mark.parametrize(
    "limits",
    [
        {"allow_hosts": "a.example"}, {"allow_hosts": [3]}, {"allow_hosts": ["http://a.example"]},
        {"allow_hosts": ["a b"]}, {"allow_hosts": [""]}, {"allow_hosts": ["a.*"]},
        {"allow_folders": "/tmp"}, {"allow_folders": [3]}, {"allow_folders": [""]},
        {"allow_private_addresses": 1}, {"max_redirects": -1}, {"max_redirects": True},
        {"fetch_timeout_seconds": 0}, {"max_duration_seconds": float("nan")},
        {"image_formats": []}, {"image_formats": ["EPS"]}, {"image_formats": "PNG"},
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_meant_is_refused(limits: dict[str, object]) -> None:
    with pytest.raises(InputError):
        MediaPolicy(**limits)  # type: ignore[arg-type]
