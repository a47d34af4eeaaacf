"""Pictures on the network go to a server as links, where it makes the same of them."""

from __future__ import annotations

import base64
import io
import socket
from collections.abc import Iterator
from typing import Any

import numpy
import PIL.Image
import pytest

from qwenvl_kit import ImagePart, Message, Reply
from qwenvl_kit.errors import InputError, MediaDecodeError, MediaForbiddenError, MediaSizeError
from qwenvl_kit.geometry import Region
from qwenvl_kit.media.remote_images import probe_url
from qwenvl_kit.media.types import Link
from tests.media.web.servers import Server, admitting, response, serving

from .conftest import Connect
from .speaking import Speaker

NOISE = PIL.Image.fromarray(
    numpy.random.default_rng(0).integers(0, 255, (900, 1200, 3), dtype=numpy.uint8)
)
SIDEWAYS = PIL.Image.Exif()
SIDEWAYS[0x0112] = 6


def saved(image: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


FILES = {
    "/noise.jpg": saved(NOISE, "JPEG"),
    "/noise.png": saved(NOISE, "PNG"),
    "/noise.webp": saved(NOISE, "WEBP"),
    "/sideways.jpg": saved(NOISE, "JPEG", exif=SIDEWAYS),
    "/clear.png": saved(NOISE.convert("RGBA"), "PNG"),
    "/small.png": saved(NOISE.resize((20, 20)), "PNG"),
    "/page.html": b"<html>" + b" " * 6000,
}
LINKED = ("/noise.jpg", "/noise.png", "/noise.webp")


@pytest.fixture
def web() -> Iterator[Server]:
    with serving({path: response(body) for path, body in FILES.items()}) as server:
        yield server


def sent(connect: Connect, web: Server, part: ImagePart) -> tuple[str, Any]:
    """Where the server finds a picture, and what was planned for it."""
    speaker = Speaker()
    chat = connect(speaker, send_links=True, media=admitting(web))
    plan = chat.ask([Message.user(part, "?")]).plan
    ((part, *_),) = [message["content"] for message in speaker.requests[0]["messages"]]
    return part["image_url"]["url"], plan.images[0]


@pytest.mark.parametrize("path", sorted(FILES.keys() - {"/page.html"}))
def test_a_link_is_sent_where_every_program_makes_the_same_of_it(
    connect: Connect, web: Server, path: str
) -> None:
    url = web.url(path, "127.0.0.1")
    found, plan = sent(connect, web, ImagePart(url))
    assert (found == url) == (path in LINKED)
    assert found == url or found.startswith("data:image/")
    if path == "/noise.jpg":
        assert (plan.original.width_px, plan.original.height_px) == (1200, 900)


@pytest.mark.parametrize(
    "options",
    [{"budget": "quick"}, {"crop": Region(0, 0, 100, 100)}, {"height_px": 280, "width_px": 280}],
)
def test_a_picture_that_is_to_be_made_less_of_travels_itself(
    connect: Connect, web: Server, options: dict[str, Any]
) -> None:
    url = web.url("/noise.jpg", "127.0.0.1")
    found, plan = sent(connect, web, ImagePart(url, **options))
    picture = PIL.Image.open(io.BytesIO(base64.b64decode(found.partition(",")[2])))
    assert picture.size == (plan.resized.width_px, plan.resized.height_px)


def test_of_a_link_no_more_than_the_header_is_fetched(web: Server) -> None:
    sent_bytes = 0

    def slowly(connection: socket.socket) -> None:
        nonlocal sent_bytes
        body = FILES["/noise.jpg"]
        whole = response(body + bytes(20_000_000))
        try:
            for start in range(0, len(whole), 4096):
                connection.sendall(whole[start : start + 4096])
                sent_bytes += 4096
        except OSError:
            pass

    with serving({}, slowly) as server:
        found = probe_url(server.url("/big.jpg", "127.0.0.1"), admitting(server))
    assert isinstance(found, Link)
    assert sent_bytes < 10_000_000  # what the sockets of both sides hold was sent on


def test_a_chat_that_was_not_asked_to_sends_no_link(connect: Connect, web: Server) -> None:
    speaker = Speaker()
    chat = connect(speaker, media=admitting(web))
    chat.ask("?", web.url("/noise.jpg", "127.0.0.1"))
    assert "data:image/" in str(speaker.requests)


def test_requests_of_a_call_that_show_the_same_look_at_it_once(
    connect: Connect, web: Server
) -> None:
    chat = connect(Speaker(), send_links=True, media=admitting(web))
    url = web.url("/noise.jpg", "127.0.0.1")
    for result in chat.ask_many([Message.user(ImagePart(url), f"{n}?") for n in range(5)]):
        assert isinstance(result, Reply)
    assert len(web.asked) == 1


def test_what_the_policy_does_not_admit_is_linked_to_by_nobody(
    connect: Connect, web: Server
) -> None:
    url = web.url("/noise.jpg", "127.0.0.1")
    speaker = Speaker()
    with pytest.raises(MediaForbiddenError):
        connect(speaker, send_links=True).ask("?", url)
    with pytest.raises(MediaSizeError):
        connect(speaker, send_links=True, media=admitting(web, max_pixels=1000)).ask("?", url)
    page = web.url("/page.html", "127.0.0.1")
    chat = connect(speaker, send_links=True, media=admitting(web))
    with pytest.raises(MediaDecodeError, match="not a picture"):
        chat.ask("?", page)
    assert speaker.requests == []


def test_an_isolated_header_is_read_apart(connect: Connect, web: Server) -> None:
    apart = admitting(web, isolate_images=True)
    assert isinstance(probe_url(web.url("/noise.jpg", "127.0.0.1"), apart), Link)


def test_send_links_is_yes_or_no(connect: Connect) -> None:
    with pytest.raises(InputError, match="send_links"):
        connect(Speaker(), send_links="always")
