"""Stores that fsspec reads: only those that the policy names, and no way to local files."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwenvl_kit import ImagePart, MediaPolicy, Request, Size, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    MediaError,
    MediaFetchError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaSourceError,
    MediaTimeoutError,
    MissingPackageError,
)
from qwenvl_kit.media.images import decode_image, measure_image
from tests.by_hand import picture

fsspec = pytest.importorskip("fsspec")
MEMORY = MediaPolicy(allow_schemes=["memory"])


def _png() -> bytes:
    buffer = io.BytesIO()
    picture(30, 20, 7).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def store() -> Iterator[Any]:
    store = fsspec.filesystem("memory")
    store.pipe("/bucket/photo.png", _png())
    yield store
    store.rm("/bucket", recursive=True)


def test_nothing_is_opened_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda *_: pytest.fail("opened"))
    for policy in (MediaPolicy(), MediaPolicy.web(), MediaPolicy(allow_schemes=["s3"])):
        with pytest.raises(MediaSourceError) as caught:
            measure_image("memory://bucket/photo.png", policy)
        assert "allow_schemes=['memory']" in caught.value.hint


@pytest.mark.parametrize("url", ["memory://bucket/photo.png", "MEMORY://bucket/photo.png"])
def test_a_picture_of_a_store_that_is_admitted_is_read(url: str) -> None:
    assert measure_image(url, MEMORY) == Size(20, 30)
    assert decode_image(url, MEMORY).tobytes() == picture(30, 20, 7).tobytes()
    apart = MediaPolicy(allow_schemes=["memory"], isolate_images=True)
    assert measure_image(url, apart) == Size(20, 30)


def test_it_is_fetched_once_for_all_requests_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real = fsspec.core.url_to_fs
    monkeypatch.setattr(
        fsspec.core, "url_to_fs", lambda url, **kw: (opened.append(url), real(url, **kw))[1]
    )
    chat = VisionChat(ScriptedBackend(lambda _: "yes"), media=MEMORY)
    requests = [Request.about(f"{index}?", "memory://bucket/photo.png") for index in range(6)]
    assert [reply.text for reply in chat.ask_many(requests)] == ["yes"] * 6
    assert len(opened) == 1


def test_a_run_that_is_repeated_does_not_fetch_it_again(tmp_path: Path, store: Any) -> None:
    journal = tmp_path / "journal.jsonl"
    asked = [Request.about("What?", "memory://bucket/photo.png")]
    VisionChat(ScriptedBackend(["yes"]), media=MEMORY).ask_many(asked, journal=journal)
    store.rm("/bucket/photo.png")
    again = ScriptedBackend(lambda _: pytest.fail("asked again"))
    (reply,) = VisionChat(again, media=MEMORY).ask_many(asked, journal=journal)
    assert reply.text == "yes"
    store.pipe("/bucket/photo.png", _png())


def test_a_scheme_that_no_policy_may_name_is_not_proposed() -> None:
    for url in ("zip://a.png::/x.zip", "simplecache://a", "memory://a::file://b", "javascript:x"):
        with pytest.raises(MediaSourceError) as caught:
            measure_image(url, MediaPolicy())
        assert "allow_schemes" not in caught.value.hint


FORBIDDEN = [
    "memory://a.png::file:///etc/passwd",
    "memory://a.png::memory://b.png",
    "MEMORY://a.png::simplecache::file:///etc/passwd",
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_a_url_that_leads_on_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda *_: pytest.fail("opened"))
    with pytest.raises(MediaForbiddenError):
        measure_image(url, MEMORY)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "local:///etc/passwd", "dir:///etc"])
def test_a_store_that_is_admitted_opens_no_other_way_past_the_fence(
    url: str, tmp_path: Path
) -> None:
    with pytest.raises(MediaError) as caught:
        measure_image(url, MediaPolicy(allow_schemes=["memory"], allow_folders=[tmp_path]))
    assert "passwd" not in str(caught.value)


def test_a_scheme_that_is_a_way_to_files_of_this_machine_is_refused(tmp_path: Path) -> None:
    from fsspec.implementations.local import LocalFileSystem

    class Disguised(LocalFileSystem):
        protocol = "harmless"

    fsspec.register_implementation("harmless", Disguised, clobber=True)
    (tmp_path / "a.png").write_bytes(_png())
    with pytest.raises(MediaForbiddenError, match="files of this machine"):
        measure_image(f"harmless://{tmp_path}/a.png", MediaPolicy(allow_schemes=["harmless"]))


def test_what_is_not_there_is_not_found_and_its_path_is_not_repeated() -> None:
    with pytest.raises(MediaNotFoundError) as caught:
        measure_image("memory://bucket/SECRET.png?key=SECRET", MEMORY)
    assert "SECRET" not in str(caught.value)


def test_no_more_is_read_than_the_policy_admits(store: Any) -> None:
    store.pipe("/bucket/large.png", bytes(10_000))
    tight = MediaPolicy(allow_schemes=["memory"], max_bytes=100)
    with pytest.raises(MediaForbiddenError, match="bytes"):
        measure_image("memory://bucket/large.png", tight)


class _Store(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """A store that does as it is told."""

    protocol = "odd"
    cachable = False
    may_end: threading.Event

    def size(self, path: str) -> int | None:
        return 1 if "lies" in path else None

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if "slow" in path:
            self.may_end.wait(30)
        if "broken" in path:
            raise RuntimeError("key=SECRET")
        if "denied" in path:
            raise PermissionError("key=SECRET")
        return io.BytesIO(bytes(10_000))


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("lies", MediaForbiddenError),
        ("slow", MediaTimeoutError),
        ("broken", MediaFetchError),
        ("denied", MediaFetchError),
    ],
)
def test_a_store_that_fails_is_one_typed_error(name: str, error: type[MediaError]) -> None:
    fsspec.register_implementation("odd", _Store, clobber=True)
    _Store.may_end = threading.Event()
    policy = MediaPolicy(allow_schemes=["odd"], max_bytes=100, fetch_timeout_seconds=0.2)
    with pytest.raises(error) as caught:
        measure_image(f"odd://bucket/{name}", policy)
    _Store.may_end.set()
    assert "SECRET" not in str(caught.value)


def test_what_must_be_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    if "s3fs" not in sys.modules:
        monkeypatch.setitem(sys.modules, "s3fs", None)
        with pytest.raises(MissingPackageError) as caught:
            measure_image("s3://bucket/a.png", MediaPolicy(allow_schemes=["s3"]))
        assert "pip install" in caught.value.hint
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingPackageError, match="fsspec") as caught:
        measure_image("memory://bucket/photo.png", MEMORY)
    assert caught.value.hint == "pip install 'qwenvl-kit[fsspec]'"


def test_a_scheme_that_fsspec_does_not_know_is_refused() -> None:
    with pytest.raises(MediaSourceError):
        measure_image("nothing://a.png", MediaPolicy(allow_schemes=["nothing"]))


def test_a_part_of_a_store_is_named_without_its_content_and_its_path() -> None:
    assert repr(ImagePart("memory://bucket/a.png")) == "ImagePart(source='memory://bucket/...')"
    chat = VisionChat(ScriptedBackend(["x"]), media=MEMORY)
    with pytest.raises(MediaError) as caught:
        chat.plan("?", VideoPart("memory://bucket/none.mp4"))
    assert caught.value.where == "messages[0].parts[0]"
