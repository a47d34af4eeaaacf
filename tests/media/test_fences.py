"""Folders that fence files in: nothing of what lies outside is told, and none of it opened."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import DocumentPart, ImagePart, MediaPolicy, Message, Request, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    MediaError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaSourceError,
    QwenVLKitError,
)
from qwenvl_kit.live import FileSource
from qwenvl_kit.media import local_files
from qwenvl_kit.media.images import read_header
from qwenvl_kit.media.local_files import (
    checked_file,
    open_file,
    read_file,
    read_start,
    sha256_of_file,
)

posix = pytest.mark.skipif(os.name != "posix", reason="of the file systems of POSIX")


def _png() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (64, 48), "red").save(buffer, "PNG")
    return buffer.getvalue()


PNG = _png()

OUTSIDE = [
    "out/a.png", "out/none.png", "out", "out/none/a.png", "out/a.png/b.png", "out/link.png",
    "out/loop.png", "out/pipe", "out/socket", "out/locked/a.png", "out/locked", "/dev/zero",
    "/dev/null", "/proc/self/mem", "/proc/self/pagemap", "/etc/passwd", "/etc/none",
    "~root/a.png", "~daemon/a.png", "~nobody-of-that-name/a.png", "~", "~/a.png",
    "ab:/x.png", "ab:x.png", "ab:/none.png", "C:\\none.png", "out/" + "a" * 300, "b" * 5000,
    "out/" * 3000, "a\0b", "\udcff.png", "out/\ud800.png", "out/\x1b[31m.png", "out/a\nb.png", "",
    "in/../out/a.png", "in/../out/none.png", "in/to out/a.png", "in/to out/none.png",
    "in/to a.png", "in/to none.png", "in/to pipe", "in/to loop.png", "in/loop.png", "in/to dev",
    "out/../in/a.png", "out/none/../../in/a.png", "out/a.png/../../in/a.png",
    "file:out/a.png", "in/to out/../in/a.png",
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is admitted, `in`, another, `out`, and whatever may lie in both."""
    monkeypatch.chdir(tmp_path)
    for folder in ("in", "out", "out/locked", "in/sub", "ab:"):
        Path(folder).mkdir()
        Path(folder, "a.png").write_bytes(PNG)
    Path("ab:/x.png").write_bytes(PNG)
    Path("ab:x.png").write_bytes(PNG)
    os.mkfifo("out/pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("out/socket")
    for link, target in {
        "out/link.png": "a.png", "out/loop.png": "loop.png", "out/to in": "../in/sub",
        "in/to out": "../out", "in/to a.png": "../out/a.png", "in/to none.png": "../out/none.png",
        "in/to pipe": "../out/pipe", "in/to loop.png": "../out/loop.png", "in/loop.png": "loop.png",
        "in/to dev": "/dev/zero",
    }.items():  # fmt: skip
        Path(link).symlink_to(target)
    Path("out/locked").chmod(0)
    yield tmp_path
    (tmp_path / "out" / "locked").chmod(0o700)


def _told(call: Callable[[], Any]) -> tuple[str, str]:
    """What an error is, says and repeats; the place in the request apart."""
    try:
        given = call()
        error = given[0].error if isinstance(given, list) else None
    except QwenVLKitError as raised:
        error = raised
    assert error is not None
    error.where = ""
    return type(error).__name__, repr(str(error)) + repr(error)


@posix
@pytest.mark.parametrize("name", OUTSIDE)
def test_all_that_lies_outside_is_refused_by_the_same_words(place: Path, name: str) -> None:
    policy = MediaPolicy(allow_folders=["in"])
    chat = VisionChat(ScriptedBackend(lambda _: "A"), media=policy)
    same = _told(lambda: checked_file(Path("/nowhere at all"), policy))
    assert same[0] == "MediaForbiddenError"
    parts: list[Any] = [
        ImagePart(name), ImagePart(Path(name)), ImagePart({"path": name}), VideoPart(name),
        VideoPart([name, name], fps=1), DocumentPart(name),
    ]  # fmt: skip
    for at, part in enumerate(parts):
        asked = [Message.user(part, "?")]
        assert _told(lambda asked=asked: chat.ask(asked)) == same  # type: ignore[misc]
        assert _told(lambda asked=asked: chat.plan(asked)) == same  # type: ignore[misc]
        for journal in (None, place / f"journal {at}"):
            request = Request(asked, id="1")
            told = _told(lambda r=request, j=journal: chat.ask_many([r], journal=j))  # type: ignore[misc]
            assert told == same
    assert _told(lambda: chat.watch(name, "?")) == same
    for watched in ([name], [Path(name)]):
        with chat.watch(watched, "?") as watch:
            assert _told(lambda watch=watch: next(watch)) == same  # type: ignore[misc]


@posix
@pytest.mark.parametrize("way", ["a/", "a/../", "in/sub/../../", "in/", "../", "in/../"])
def test_a_path_longer_than_any_is_refused_without_following_it(place: Path, way: str) -> None:
    with pytest.raises(MediaForbiddenError, match="no folder"):
        checked_file(Path(way * 200_000 + "a.png"), MediaPolicy(allow_folders=["in"]))
    turning = Path("in/" + "sub/../" * 1000 + "a.png")
    assert checked_file(turning, MediaPolicy(allow_folders=["in"])) == place / "in" / "a.png"


@posix
def test_a_film_that_is_watched_is_judged_by_the_chat_that_watches_it(place: Path) -> None:
    chat = VisionChat(ScriptedBackend(lambda _: "A"), media=MediaPolicy(allow_folders=["in"]))
    with pytest.raises(MediaForbiddenError):
        chat.watch(FileSource("out/a.png"), "?")


@posix
def test_a_url_that_may_not_be_opened_is_told_by_its_form_alone(place: Path) -> None:
    chat = VisionChat(ScriptedBackend(lambda _: "A"), media=MediaPolicy(allow_folders=["in"]))
    told = [_told(lambda url=url: chat.ask("?", url)) for url in ("ab://x.png", "ab://none.png")]
    assert told[0] == told[1]
    assert told[0][0] == "MediaSourceError"


@posix
def test_what_lies_inside_is_found_by_all_honest_ways(place: Path) -> None:
    Path("in/to sub").symlink_to("sub")
    Path("to in").symlink_to("in")
    policy = MediaPolicy(allow_folders=["in"])
    for name in (
        "in/a.png", "./in/a.png", "in/sub/../a.png", "in/to sub/a.png", "to in/a.png",
        "out/to in/a.png", "out/to in/../a.png", "in/sub/../../in/a.png",
        place / "in" / "sub" / "a.png", (place / "in" / "a.png").as_uri(),
    ):  # fmt: skip
        assert read_header(name, policy).size.width_px == 64
    os.chdir("in/sub")
    assert read_header("../a.png", policy).size.width_px == 64
    os.chdir("../../out")
    assert read_header("../in/a.png", policy).size.width_px == 64


@posix
def test_of_what_is_inside_it_is_told_what_it_is(place: Path) -> None:
    policy = MediaPolicy(allow_folders=["in"])
    os.mkfifo("in/pipe")
    for name, kind in {
        "in/none.png": MediaNotFoundError, "in/" + "a" * 300: MediaNotFoundError,
        "in/sub": MediaSourceError, "in": MediaSourceError, "in/pipe": MediaSourceError,
        "in/a.png/b.png": MediaNotFoundError,
    }.items():  # fmt: skip
        with pytest.raises(MediaError) as caught:
            checked_file(Path(name), policy)
        assert type(caught.value) is kind, name


@pytest.mark.parametrize("journal", [None, "journal"])
def test_a_file_that_cannot_be_read_is_named_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: str | None
) -> None:
    (tmp_path / "secret place").mkdir()
    monkeypatch.chdir(tmp_path / "secret place")
    Path("a.png").write_bytes(PNG)

    def refused(*_: Any, **__: Any) -> int:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr(local_files, "_opened", refused)
    chat = VisionChat(ScriptedBackend(lambda _: "A"), media=MediaPolicy(allow_folders=["."]))
    for part in (ImagePart("a.png"), VideoPart("a.png"), DocumentPart("a.png")):
        (failure,) = chat.ask_many([Message.user(part, "?")], journal=journal)
        assert "cannot be read (Permission denied)" in str(failure)
        assert "secret place" not in f"{failure} {failure!r}"


OPENINGS: dict[str, Callable[[Path, MediaPolicy], object]] = {
    "read": read_file,
    "hash": sha256_of_file,
    "start": lambda path, policy: read_start(path, 10, policy),
}


@posix
@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("has_folders", [True, False])
@pytest.mark.parametrize("exchanged", ["in/sub/a.png", "in/sub"])
def test_a_link_that_is_put_in_place_of_what_was_judged_is_not_followed(
    place: Path, monkeypatch: pytest.MonkeyPatch, exchanged: str, has_folders: bool, opening: str
) -> None:
    monkeypatch.setattr(local_files, "_HAS_FOLDERS", has_folders)
    policy = MediaPolicy(allow_folders=["in"])
    path = checked_file(Path("in/sub/a.png"), policy)
    Path(exchanged).rename("in/was")
    Path(exchanged).symlink_to(place / "out" / ("a.png" if exchanged.endswith("png") else ""))
    with pytest.raises(MediaForbiddenError, match="no folder"):
        OPENINGS[opening](path, policy)
    if has_folders:
        monkeypatch.setattr(MediaPolicy, "check_path", lambda *_: path)
        with pytest.raises(MediaForbiddenError, match="no folder"):
            checked_file(Path("in/sub/a.png"), policy)


@posix
@pytest.mark.parametrize("folders", [None, ["in"]])
def test_a_pipe_that_is_put_in_place_of_a_file_is_not_waited_for(
    place: Path, folders: list[str] | None
) -> None:
    policy = MediaPolicy(allow_folders=folders)
    path = checked_file(Path("in/a.png"), policy)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(MediaSourceError, match="no longer a file"), open_file(path, policy):
        pass


def test_a_file_that_grows_while_it_is_read_is_refused_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, policy = tmp_path / "a.png", MediaPolicy(max_bytes=1000)
    path.write_bytes(b"a" * 1000)
    assert len(read_file(path, policy)) == 1000
    read_piece = local_files.read_piece

    def grown(*arguments: Any) -> bytes:
        path.write_bytes(b"a" * 5000)
        return read_piece(*arguments)

    monkeypatch.setattr(local_files, "read_piece", grown)
    for read in (read_file, sha256_of_file):
        path.write_bytes(b"a" * 1000)
        with pytest.raises(MediaForbiddenError, match="1001 bytes"):
            read(path, policy)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="a thing of Linux")
def test_files_of_the_kernel_that_say_no_size_are_read_up_to_the_limit() -> None:
    policy = MediaPolicy(max_bytes=1000)
    for read in (read_file, sha256_of_file):
        with pytest.raises(MediaForbiddenError, match="1001 bytes"):
            read(Path("/proc/self/smaps"), policy)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a thing of Linux")
@pytest.mark.parametrize("journal", [None, "journal"])
@pytest.mark.parametrize("kind", [ImagePart, VideoPart, DocumentPart])
def test_files_of_the_kernel_that_cannot_be_read_are_typed_errors(
    tmp_path: Path, kind: Callable[[str], Any], journal: str | None
) -> None:
    chat = VisionChat(ScriptedBackend(lambda _: "A"))
    asked = [Message.user(kind("/proc/self/mem"), "?")]
    (failure,) = chat.ask_many([asked], journal=journal and tmp_path / journal)
    assert isinstance(failure.error, MediaNotFoundError)  # type: ignore[union-attr]


def test_what_gives_nothing_without_waiting_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    with open_file(path, MediaPolicy()) as file:

        class Waiting:
            def read(self, num_bytes: int) -> None:
                return None

        assert local_files.read_piece(file, path, 4) == PNG[:4]
        with pytest.raises(MediaNotFoundError, match="cannot be read"):
            local_files.read_piece(Waiting(), path, 4)  # type: ignore[arg-type]
