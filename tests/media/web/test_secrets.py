"""Whatever a URL holds beside its host stands nowhere: it may be somebody's credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import (
    DocumentPart,
    ImagePart,
    MediaPolicy,
    Message,
    Request,
    VideoPart,
    VisionChat,
    from_dicts,
    inspect,
    to_openai,
)
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MediaSourceError, QwenVLKitError
from qwenvl_kit.formats.file_names import warnings_of_names
from qwenvl_kit.geometry import Size
from qwenvl_kit.live.frame_sources import FileSource, StreamSource, as_source
from qwenvl_kit.media.fingerprints import identify_source
from qwenvl_kit.media.stores import fetch_remote
from qwenvl_kit.media.types import ImageHeader, Link
from qwenvl_kit.tasks import summarize_video

URLS = [
    "https://example.com?token=SECRET", "https://example.com#SECRET", "https://example.com;SECRET/",
    "https://example.com/SECRET.png", "https://example.com/a.png?token=SECRET",
    "https://example.com/a.png#SECRET", "https://example.com/?a=b&c=SECRET@example.org",
    "https://me:SECRET@example.com", "https://SECRET@example.com/a.png",
    "https://me:SE/SECRET@example.com/a.png", "https://me:SE?SECRET@example.com/a.png",
    "https://me:SE#SECRET@example.com/a.png", "https://me:SECRET@127.0.0.1:80@example.com/",
    "https://example.com\\SECRET@example.org/a.png", "https:\\\\example.com\\SECRET.png",
    "https:/example.com/SECRET.png", "https:SECRET.png", "https:///SECRET.png",
    "https://example.com:SECRET/a.png", "https://example.com%3Ftoken=SECRET",
    "https://example.com%40SECRET/a.png", "https://[::1]/SECRET.png", "https://[::1?SECRET",
    "HTTPS://example.com?SECRET", "HtTpS://me:SECRET@example.com/a.png",
    " https://example.com?token=SECRET", "\t\n https://me:SECRET@example.com/a.png",
    "\ufeffhttps://me:SECRET@example.com/a.png", "ht\ttps://me:SECRET@example.com/a.png",
    "https://exa mple.com/?token=SECRET", "//me:SECRET@example.com/a.png",
    "\\\\me:SECRET@example.com\\a.png", "me:SECRET@example.com:a.png",
    "./https://me:SECRET@example.com/a.png", "https%3A%2F%2Fme:SECRET@example.com/a.png",
    "s3://KEY:SECRET@bucket/a.png", "S3://bucket/a.png?X-Amz-Signature=SECRET",
    "gs://bucket/SECRET.png", "ftp://me:SECRET@example.com/a.png", "rtsp://me:SE/SECRET@cam/1",
    "blob:https://example.com/SECRET", "zip://a.png::https://me:SECRET@example.com/a.zip",
    "file://me:SECRET@example.com/a.png", "file:///a.png?token=SECRET", "a.png?token=SECRET",
    "data:SECRET", "data:image/png;base64,SECRETSECRET", "DATA:text/plain,SECRET",
    f"https://example.com/{'a' * 300}?token=SECRET", "https://example.com/\x1b[31mSECRET",
]  # fmt: skip

POLICIES = {
    "default": MediaPolicy(),
    "fenced": MediaPolicy(allow_folders=[]),
    "stores": MediaPolicy(allow_schemes=["memory"], allow_hosts=["nobody.example"]),
}


def _chat(policy: MediaPolicy) -> VisionChat:
    return VisionChat(ScriptedBackend(lambda _: "A"), media=policy)


def _said(call: Callable[[], Any]) -> Iterator[str]:
    """All that a call gives or raises, the causes of errors included."""
    try:
        given = call()
    except QwenVLKitError as error:
        given = error
    yield f"{given!s} {given!r}"
    if isinstance(given, QwenVLKitError):
        yield f"{vars(given)} {given.args}"


def _parts(url: str) -> list[Any]:
    return [ImagePart(url), VideoPart(url), VideoPart([url], fps=1), DocumentPart(url)]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("name", POLICIES)
def test_no_entrance_says_more_of_a_url_than_its_host(url: str, name: str, tmp_path: Path) -> None:
    chat, journal = _chat(POLICIES[name]), tmp_path / "journal"
    said: list[str] = []
    for part in _parts(url):
        asked = [Message.user(part, "?")]
        said += _said(lambda asked=asked: chat.ask(asked))  # type: ignore[misc]
        said += _said(lambda asked=asked: chat.plan(asked))  # type: ignore[misc]
        request = Request(asked, id="1")
        for kept in (None, journal):
            said += _said(lambda r=request, k=kept: chat.ask_many([r], journal=k))  # type: ignore[misc]
        said += _said(lambda part=part: to_openai([Message.user(part)]) and None)  # type: ignore[misc]
        said += [repr(part), repr(asked), repr(request)]
    assert [words for words in said if "SECRET" in words] == []
    assert b"SECRET" not in journal.read_bytes()


@pytest.mark.parametrize("url", URLS)
def test_nothing_beside_the_entrances_says_more_of_a_url_either(url: str) -> None:
    chat, size = _chat(MediaPolicy()), Size(2, 2)
    said = [
        *_said(lambda: as_source(url, MediaPolicy())),
        *_said(lambda: StreamSource(url)),
        *_said(lambda: FileSource(url)),
        *_said(lambda: chat.watch(url, "?")),
        *_said(lambda: summarize_video(chat, url)),
        *_said(lambda: inspect(url, offline=True)),
        *_said(lambda: VisionChat.from_pretrained(url, offline=True)),
        *_said(lambda: fetch_remote(url, MediaPolicy(allow_schemes=["memory"]))),
        *_said(lambda: from_dicts([{"role": "user", "content": [{"type": url}]}])),
        *_said(lambda: from_dicts([{"role": "user", "content": [{"type": "image", url: 1}]}])),
        repr(Link(url, ImageHeader(size, 1))),
        repr(ImagePart({"path": url})),
        repr(ImagePart({url: url})),
        repr(Path(url)) and repr(ImagePart(Path(url))),
        *warnings_of_names([Message.user(url)]),
        *warnings_of_names([Message.user(f"{url}.png")]),
    ]
    assert [words for words in said if "SECRET" in words] == []


def test_a_host_is_shown_where_all_readers_find_the_same() -> None:
    for url, words in {
        "https://me:word@example.com:8443/a?b": "https://example.com:8443/...",
        "HTTPS://Example.com": "https://Example.com",
        "https://[::1]/a": "https://[::1]/...",
        "s3://bucket/key": "s3://bucket/...",
        "https://a@b@example.com/": "https://...",
    }.items():
        assert repr(ImagePart(url)) == f"ImagePart(source={words!r})"


def test_names_of_files_stay_readable() -> None:
    for name in ("C:\\photos\\a.png", "C:/photos/a.png", "/home/me@work/a.png", "照片 #1.png"):
        assert repr(ImagePart(name)) == f"ImagePart(source={name!r})"


@pytest.mark.parametrize(
    "address", ["rtsp://me:a/word@cam/1", "rtsp://cam\\@other/1", "rtsp://cam /1"]
)
def test_the_address_of_a_stream_that_can_be_read_in_two_ways_is_refused(address: str) -> None:
    with pytest.raises(MediaSourceError, match="ambiguous") as caught:
        StreamSource(address, allow_hosts=["me", "cam", "other"])
    assert "s3cret" not in str(caught.value)
    StreamSource("rtsp://me:word@cam/1?channel=2", allow_hosts=["cam"])


def test_a_journal_holds_no_url() -> None:
    film = "https://example.com/SECRET.mp4?token=SECRET"
    known = identify_source(film, MediaPolicy.web())
    assert "SECRET" not in str(known)
    assert known != identify_source(film + "2", MediaPolicy.web())
