"""Whatever a dependency does not do, one request gets a typed error, and nothing is left behind.

Each call fails in one of three ways in turn; with `QWENVL_KIT_ALL_FAULTS=1` in all of them.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import PIL.Image
import psutil
import pytest

from qwenvl_kit import ImagePart, MediaPolicy, Message, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import QwenVLKitError
from qwenvl_kit.media.isolation.process_pool import POOL
from qwenvl_kit.media.pages import read_pages
from tests.by_hand import picture
from tests.faults.injecting import Site, Watch, watching
from tests.media.test_pages import pdf_of
from tests.media.web.servers import response, serving
from tests.videos import write_video

ERRORS = (RuntimeError("injected"), OSError(5, "injected"), MemoryError("injected"))
ALL = os.environ.get("QWENVL_KIT_ALL_FAULTS") == "1"
ROOMS = ("media", "backends/local")
WAIT_SECONDS = 60
pytestmark = pytest.mark.slow
HERE = MediaPolicy(isolate_video=False)
APART = MediaPolicy(isolate_images=True)


class Left:
    """What a process holds beside memory."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.before = self.now()

    def more(self) -> dict[str, int] | None:
        """What it holds now, if that is more, also after a moment; None otherwise."""
        deadline = time.monotonic() + 3
        while True:
            now = self.now()
            if all(now[name] <= count for name, count in self.before.items()):
                return None
            if time.monotonic() > deadline:
                return now
            time.sleep(0.05)
            gc.collect()

    def now(self) -> dict[str, int]:
        names = [thread.name for thread in threading.enumerate()]
        return {
            "files": self._process.num_fds() if hasattr(self._process, "num_fds") else 0,
            "processes": len(self._process.children(recursive=True)),
            "threads": sum(name.startswith("qwenvl_kit") for name in names),
        }


def _within_time(work: Callable[[], Any], watch: Watch) -> tuple[Any, BaseException | None]:
    """What comes of it, the watch set in its thread; nobody waits for it without end."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with watching(watch):
                results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive(), "it hangs"
    return (results or [None])[0], (errors or [None])[0]


def faults_of(work: Callable[[], Any], check: Callable[[], Any], every: int = 1) -> Iterator[str]:
    """Fails each call that leaves the kit, in turn and in three ways; what is wrong afterwards.

    Args:
        work: what is done; the same each time.
        check: must hold after each failure.
        every: how many calls to go on by, where each takes long and not all are wanted.
    """
    seen = Watch(ROOMS)
    expected, error = _within_time(work, seen)
    assert error is None, error
    check()
    left = Left()
    assert len(seen.sites) > 5
    for index, site in enumerate(list(seen.sites)[:: 1 if ALL else every]):
        for fault in ERRORS if ALL else ERRORS[index % len(ERRORS) :][:1]:
            # A new one each time, kept by nobody: an error holds the frames that it came through.
            for wrong in _fail(site, type(fault)(*fault.args), work, expected):
                yield f"{site} with {fault!r}: {wrong}"
            check()
            if more := left.more():
                yield f"{site} with {fault!r}: {left.before} became {more}"
                left = Left()


def none(wrong: Iterator[str]) -> None:
    found = list(wrong)
    assert not found, "\n".join(found)


def _fail(site: Site, fault: Exception, work: Callable[[], Any], expected: Any) -> Iterator[str]:
    watch = Watch(ROOMS, site, fault)
    found, error = _within_time(work, watch)
    if error is None:
        if found != expected:
            yield f"{found!r} instead of {expected!r}"
    elif not isinstance(error, QwenVLKitError):
        yield f"{type(error).__name__}: {error}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    picture(64, 48).save(folder / "a.jpg", exif=exif)
    picture(64, 48).convert("RGBA").save(folder / "b.png")
    write_video(folder / "c.mp4", 6, width=64, height=64, codec="mpeg4")
    (folder / "d.pdf").write_bytes(pdf_of("red", "blue"))
    return folder


def _ask(chat: VisionChat, files: Path) -> str:
    media = (
        ImagePart(str(files / "a.jpg")),
        ImagePart((files / "b.png").read_bytes()),
        VideoPart(str(files / "c.mp4"), num_frames=2),
    )
    return str(chat.ask([Message.user(*media, "What?")], sampling=Sampling(max_new_tokens=3)))


def test_a_request_whose_dependencies_fail_ends_in_a_typed_error_and_the_next_one_in_an_answer(
    tiny_folder: Path, files: Path
) -> None:
    with VisionChat.from_pretrained(tiny_folder, media=HERE) as chat:
        expected = _ask(chat, files)

        def anew() -> str:
            chat.clear_cache()
            return _ask(chat, files)

        def check() -> None:
            assert anew() == expected

        none(faults_of(anew, check))


def test_pictures_read_apart_do_not_suffer_from_each_others_failures(files: Path) -> None:
    def read() -> list[bytes]:
        backend = ScriptedBackend(["A"])
        with VisionChat(backend, media=APART) as chat:
            _ask(chat, files)
        return [numpy.asarray(item).tobytes() for item in backend.requests[0].media]

    expected = read()

    def check() -> None:
        assert read() == expected

    none(faults_of(read, check))
    POOL.close()


def test_loading_whose_dependencies_fail_ends_in_a_typed_error(tiny_folder: Path) -> None:
    def load() -> str:
        with VisionChat.from_pretrained(tiny_folder) as chat:
            return str(chat.ask("Hi", sampling=Sampling(max_new_tokens=1)))

    none(faults_of(load, lambda: None, every=4))


def test_fetching_whose_dependencies_fail_ends_in_a_typed_error(files: Path) -> None:
    content = (files / "b.png").read_bytes()
    with serving({}, response(content)) as server:
        policy = MediaPolicy(
            allow_hosts=[f"127.0.0.1:{server.port}"],
            allow_private_addresses=True,
            fetch_timeout_seconds=5,
        )
        chat = VisionChat(ScriptedBackend([]), media=policy)

        def fetch() -> int:
            url = server.url(host="127.0.0.1")
            return chat.plan([Message.user(ImagePart(url), "?")]).visual_tokens

        none(faults_of(fetch, lambda: None))


def test_documents_whose_dependencies_fail_end_in_a_typed_error(files: Path) -> None:
    for policy in (HERE, APART):

        def draw(policy: MediaPolicy = policy) -> list[bytes]:
            return [page.image.tobytes() for page in read_pages(files / "d.pdf", policy)]

        none(faults_of(draw, lambda: None))
    POOL.close()
