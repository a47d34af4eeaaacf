"""Pictures as applications hand them over: open files, rows, uploads, base64, archives."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import struct
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import fsspec
import numpy
import PIL.Image
import pytest
from starlette.datastructures import UploadFile

from qwenvl_kit import ImagePart, MediaPolicy, Message, Request, Size, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    InputError,
    MediaDecodeError,
    MediaError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaSourceError,
)
from qwenvl_kit.formats.dicts import to_openai
from qwenvl_kit.live.frame_sources import FileSource
from qwenvl_kit.media.fingerprints import identify_source
from qwenvl_kit.media.images import decode_image, measure_image
from tests.by_hand import picture

POLICY = MediaPolicy()
IMAGE = picture(30, 20, 7)


def _encoded(format_name: str = "PNG", image: PIL.Image.Image = IMAGE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


PNG = _encoded()


def _is_the_picture(source: Any, policy: MediaPolicy = POLICY) -> bool:
    sizes = {measure_image(source, policy), measure_image(source, policy)}
    return sizes == {Size(20, 30)} and decode_image(source, policy).tobytes() == IMAGE.tobytes()


class Once(io.RawIOBase):
    """An answer of a server: what was read is gone."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)
        self.num_read = 0

    def read(self, size: int = -1) -> bytes:
        piece = self._inner.read(min(size, 1000) if size > 0 else size)
        self.num_read += len(piece)
        return piece


class Upload:
    """As FastAPI and Starlette hand it over: `read` is to be awaited, `file` is not."""

    def __init__(self, content: bytes) -> None:
        self.file = tempfile.SpooledTemporaryFile()  # noqa: SIM115
        self.file.write(content)
        self.filename = "photo.png"

    async def read(self, size: int = -1) -> bytes:
        return self.file.read(size)


class Uploaded(io.BytesIO):
    """As Streamlit hands it over."""

    name = "photo.png"
    type = "image/png"


def _zipped(tmp_path: Path) -> Any:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("photo.png", PNG)
    return zipfile.ZipFile(path).open("photo.png")


def _opened(tmp_path: Path, buffering: int = -1) -> Any:
    (tmp_path / "photo.png").write_bytes(PNG)
    return (tmp_path / "photo.png").open("rb", buffering)


def _stored(tmp_path: Path) -> Any:
    (tmp_path / "photo.png").write_bytes(PNG)
    return fsspec.filesystem("file").open(str(tmp_path / "photo.png"))


FILES: dict[str, Callable[[Path], Any]] = {
    "memory": lambda _: io.BytesIO(PNG),
    "open file": _opened,
    "unbuffered": lambda path: _opened(path, buffering=0),
    "spooled": lambda _: _written(tempfile.SpooledTemporaryFile()),  # noqa: SIM115
    "temporary": lambda _: _written(tempfile.NamedTemporaryFile()),  # noqa: SIM115
    "archive": _zipped,
    "upload of Streamlit": lambda _: Uploaded(PNG),
    "upload of FastAPI": lambda _: Upload(PNG),
    "upload of Starlette": lambda _: UploadFile(io.BytesIO(PNG), filename="photo.png"),
    "tar": lambda _: _tarred(),
    "gzip": lambda _: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(PNG))),
    "store": _stored,
    "answer of a server": lambda _: Once(PNG),
}


def _written(file: Any) -> Any:
    file.write(PNG)
    return file


def _tarred() -> Any:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("photo.png")
        member.size = len(PNG)
        archive.addfile(member, io.BytesIO(PNG))
    buffer.seek(0)
    return tarfile.open(fileobj=buffer).extractfile("photo.png")


def _inner(file: Any) -> Any:
    return file.file if isinstance(file, (Upload, UploadFile)) else file


@pytest.mark.parametrize("kind", FILES)
def test_an_open_file_is_a_picture_as_often_as_it_is_asked_about(kind: str, tmp_path: Path) -> None:
    file = FILES[kind](tmp_path)
    assert all(_is_the_picture(file) for _ in range(3))


@pytest.mark.parametrize("position", [0, 5, len(PNG)])
@pytest.mark.parametrize("kind", [kind for kind in FILES if kind != "answer of a server"])
def test_an_open_file_is_read_from_its_beginning_and_stays_where_it_was(
    kind: str, position: int, tmp_path: Path
) -> None:
    file = FILES[kind](tmp_path)
    _inner(file).seek(position)
    assert _is_the_picture(file)
    assert _inner(file).tell() == position
    assert not _inner(file).closed


@pytest.mark.parametrize("kind", FILES)
def test_one_open_file_serves_many_requests_at_once(kind: str, tmp_path: Path) -> None:
    file, backend = FILES[kind](tmp_path), ScriptedBackend(lambda _: "yes")
    requests = [Request.about(f"Question {index}?", file) for index in range(8)]
    replies = VisionChat(backend).ask_many(requests)
    assert [reply.text for reply in replies] == ["yes"] * 8
    with ThreadPoolExecutor(8) as pool:
        shown = list(pool.map(lambda _: decode_image(file, POLICY).tobytes(), range(8)))
    assert set(shown) == {IMAGE.tobytes()}


@pytest.mark.parametrize("kind", FILES)
def test_an_open_file_has_the_identity_of_its_bytes(kind: str, tmp_path: Path) -> None:
    assert identify_source(FILES[kind](tmp_path), POLICY) == identify_source(PNG, POLICY)
    assert identify_source({"bytes": PNG, "path": None}, POLICY) == identify_source(PNG, POLICY)
    assert identify_source(base64.b64encode(PNG).decode(), POLICY) == identify_source(PNG, POLICY)


def test_a_file_that_cannot_go_back_is_read_once() -> None:
    file = Once(PNG)
    chat = VisionChat(ScriptedBackend(lambda _: "yes"))
    for _ in range(3):
        chat.ask("What is this?", file)
    assert file.num_read == len(PNG)


def test_a_file_is_read_once_for_each_question() -> None:
    class Counting(io.BytesIO):
        num_reads = 0

        def seek(self, *args: Any) -> int:
            self.num_reads += args == (0,)
            return super().seek(*args)

    file = Counting(PNG)
    file.seek(3)
    VisionChat(ScriptedBackend(["yes"])).ask("What is this?", file)
    assert file.num_reads == 1


def test_a_run_that_is_repeated_knows_what_an_open_file_showed(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    first = ScriptedBackend(lambda _: "yes")
    VisionChat(first).ask_many([Request.about("What?", io.BytesIO(PNG))], journal=journal)
    again = ScriptedBackend(lambda _: pytest.fail("asked again"))
    for same in (Once(PNG), {"bytes": PNG, "path": "photo.png"}):
        (reply,) = VisionChat(again).ask_many([Request.about("What?", same)], journal=journal)
        assert reply.text == "yes"
    assert base64.b64encode(PNG).decode()[:40] not in journal.read_text()


def test_a_file_with_other_content_by_now_is_another_picture() -> None:
    file = io.BytesIO(PNG)
    assert _is_the_picture(file)
    file.seek(0)
    file.truncate()
    file.write(_encoded(image=PIL.Image.new("RGB", (5, 3), "red")))
    assert decode_image(file, POLICY).size == (5, 3)


class _Failing(io.BytesIO):
    def read(self, *_: Any) -> bytes:
        raise OSError("secret")


class _Awaited:
    async def read(self) -> bytes:
        return PNG


def _closed() -> io.BytesIO:
    file = io.BytesIO(PNG)
    file.close()
    return file


@pytest.mark.parametrize(
    ("make", "error", "hint"),
    [
        (_closed, MediaSourceError, "file.read()"),
        (lambda: io.StringIO("text"), MediaSourceError, 'open(path, "rb")'),
        (_Awaited, MediaSourceError, "await file.read()"),
        (_Failing, MediaDecodeError, "file.read()"),
        (lambda: io.BytesIO(b""), MediaDecodeError, ""),
        (lambda: io.BytesIO(b"no picture"), MediaDecodeError, ""),
        (lambda: Once(b""), MediaDecodeError, ""),
        (lambda: io.BytesIO, MediaSourceError, ""),
    ],
)
def test_a_file_that_gives_no_picture_is_refused_with_the_cure(
    make: Callable[[], Any], error: type[MediaError], hint: str
) -> None:
    with pytest.raises(error) as caught:
        decode_image(make(), POLICY)
    assert hint in caught.value.hint
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("kind", ["memory", "open file", "answer of a server", "upload of FastAPI"])
def test_no_more_is_read_of_a_file_than_the_policy_admits(kind: str, tmp_path: Path) -> None:
    file = FILES[kind](tmp_path)
    for _ in range(2):
        with pytest.raises(MediaForbiddenError, match="bytes"):
            measure_image(file, MediaPolicy(max_bytes=50))
    once = Once(bytes(10_000))
    with pytest.raises(MediaForbiddenError):
        measure_image(once, MediaPolicy(max_bytes=50))
    assert once.num_read == 51


def test_a_file_is_decoded_in_the_decoding_process_too() -> None:
    apart = MediaPolicy(isolate_images=True)
    for source in (io.BytesIO(PNG), {"bytes": PNG, "path": None}, base64.b64encode(PNG).decode()):
        assert _is_the_picture(source, apart)


def test_an_open_file_is_a_film(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as film:
        stream = film.add_stream("mpeg4", rate=4)
        stream.width, stream.height = 64, 48
        for _ in range(8):
            frame = av.VideoFrame.from_ndarray(numpy.zeros((48, 64, 3), "uint8"), format="rgb24")
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    chat = VisionChat(ScriptedBackend(lambda _: "yes"))
    expected = chat.plan("What?", VideoPart(path)).videos[0].timestamps_seconds
    for source in (io.BytesIO(path.read_bytes()), {"bytes": path.read_bytes(), "path": None}):
        plan = chat.plan("What?", VideoPart(source))
        assert plan.videos[0].timestamps_seconds == expected


def test_a_film_may_be_made_of_rows_and_files() -> None:
    frames = [{"bytes": PNG, "path": None}, io.BytesIO(PNG), base64.b64encode(PNG).decode()]
    backend = ScriptedBackend(["yes"])
    reply = VisionChat(backend).ask([Message.user(VideoPart(frames, fps=1), "What?")])
    assert len(reply.plan.videos[0].frame_indices) == 3


class TestRows:
    def test_bytes_count_before_the_path(self) -> None:
        assert _is_the_picture({"bytes": PNG, "path": "gone.png"})
        assert _is_the_picture({"bytes": bytearray(PNG)})

    def test_a_path_alone_is_a_path(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(PNG)
        assert _is_the_picture({"bytes": None, "path": str(tmp_path / "a.png")})
        assert _is_the_picture({"path": tmp_path / "a.png"})

    def test_the_path_of_a_row_is_fenced_in(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(PNG)
        policy = MediaPolicy(allow_folders=[tmp_path / "b"])
        with pytest.raises(MediaForbiddenError):
            measure_image({"bytes": None, "path": str(tmp_path / "a.png")}, policy)
        assert _is_the_picture({"bytes": PNG, "path": str(tmp_path / "a.png")}, policy)

    @pytest.mark.parametrize(
        "row",
        [
            {},
            {"bytes": None, "path": None},
            {"bytes": "text", "path": None},
            {"bytes": [1, 2]},
            {"path": 3},
            {"path": b"a.png", "url": "x"},
            {"bytes": PNG, "label": 3},
            {"image": PNG},
        ],
    )
    def test_a_row_of_another_form_is_refused_with_the_form(self, row: dict[str, Any]) -> None:
        with pytest.raises(MediaSourceError) as caught:
            measure_image(row, POLICY)
        assert "bytes" in caught.value.expected or "path" in caught.value.expected

    def test_a_row_of_a_table_is_asked_about(self) -> None:
        row = {"id": "a", "image": {"bytes": PNG, "path": "x/photo.png"}}  # as Arrow gives it
        backend = ScriptedBackend(["yes"])
        reply = VisionChat(backend).ask("What is this?", row["image"])
        assert reply.plan.images[0].original == Size(20, 30)


class TestBase64:
    @pytest.mark.parametrize("name", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
    def test_a_picture_in_base64_needs_no_data_url(self, name: str) -> None:
        content = _encoded(name)
        forms = [
            base64.b64encode(content).decode(),
            base64.encodebytes(content).decode(),
            base64.urlsafe_b64encode(content).decode(),
            base64.b64encode(content).decode().rstrip("="),
            f"  {base64.b64encode(content).decode()}\n",
        ]
        for text in forms:
            assert decode_image(text, POLICY).tobytes() == decode_image(content, POLICY).tobytes()

    def test_a_file_of_that_name_is_not_looked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Path, "stat", lambda *_, **__: pytest.fail("looked for"))
        assert decode_image(base64.b64encode(PNG).decode(), POLICY).size == (30, 20)

    @pytest.mark.parametrize(
        "name", ["a" * 40, "iVBORw0KGgo.png", "Qk" + "a" * 60, "9b" * 32, "UklGR" + "a" * 60]
    )
    def test_a_name_that_only_looks_like_it_is_a_path(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).write_bytes(PNG)
        assert _is_the_picture(str(tmp_path / name))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)
            assert _is_the_picture(name)

    @pytest.mark.parametrize(
        "content", [b"no picture of any kind, " * 9, bytes(range(256)), PNG[:2] + bytes(99)]
    )
    def test_other_base64_is_refused_and_not_printed(self, content: bytes) -> None:
        text = base64.b64encode(content).decode()
        for source in (text, f"data:image/png;base64,{text}", f"data:image/png;base64,{text}!"):
            with pytest.raises(MediaError) as caught:
                decode_image(source, POLICY)
            assert text[:30] not in str(caught.value)
            assert text[-30:] not in str(caught.value)
        with pytest.raises(MediaNotFoundError, match=r"data:image/png;base64,"):
            decode_image(text, POLICY)

    def test_a_picture_that_is_cut_in_base64_is_not_printed(self) -> None:
        text = base64.b64encode(PNG).decode()
        for cut in (text[: len(text) // 2], text[:-3], text[:201]):
            with pytest.raises(MediaDecodeError) as caught:
                decode_image(cut, POLICY)
            assert cut[:30] not in str(caught.value)

    def test_base64_that_was_left_as_bytes_is_told_from_a_picture(self) -> None:
        encoded = base64.b64encode(PNG)
        for content in (encoded, b"data:image/png;base64," + encoded, base64.encodebytes(PNG)):
            with pytest.raises(MediaDecodeError, match="a picture as text") as caught:
                decode_image(content, POLICY)
            assert caught.value.hint == "source.decode()"
            assert decode_image(content.decode(), POLICY).tobytes() == IMAGE.tobytes()
            assert encoded[:12].decode() not in str(caught.value)

    def test_more_of_it_than_the_policy_admits_is_not_decoded(self) -> None:
        with pytest.raises(MediaForbiddenError, match="bytes"):
            measure_image(base64.b64encode(PNG).decode(), MediaPolicy(max_bytes=50))


def test_what_strangers_gave_stands_in_no_message_and_no_name_of_a_part() -> None:
    secret = b"SECRET of a stranger, " * 20
    text = base64.b64encode(secret).decode()
    sources = [
        secret,
        memoryview(secret),
        text,
        text[:60],
        f"data:image/png;base64,{text}",
        {"bytes": secret, "path": None},
        {"bytes": text, "path": None},
        io.BytesIO(secret),
    ]
    chat = VisionChat(ScriptedBackend(lambda _: "x"))
    for source in sources:
        part = ImagePart(source)
        said = [repr(part), repr(Message.user(part, "?")), repr(Request.about("?", source))]
        with pytest.raises(MediaError) as caught:
            chat.ask("?", source)
        (failure,) = chat.ask_many([Request.about("?", source)])
        said += [str(caught.value), repr(failure), str(failure)]
        for line in said:
            assert "SECRET" not in line
            assert text[:20] not in line
            assert " at 0x" not in line


def test_the_words_for_what_is_no_picture_name_its_kind() -> None:
    kinds = {
        b"%PDF-1.7": "a PDF",
        b"<!DOCTYPE html><html>": "a page of the web",
        b"\xef\xbb\xbf<svg xmlns=''>": "SVG",
        b"version https://git-lfs.github.com/spec/v1": "a pointer of Git LFS",
        b"PK\x03\x04aaaa": "a ZIP archive",
        b"\0\0\0\x18ftypmp42": "a video",
        b"\x1a\x45\xdf\xa3": "a video",
        b"hello": "text",
        b"\x00\x01": "of a kind that is not known",
    }
    for content, words in kinds.items():
        with pytest.raises(MediaDecodeError, match=words) as caught:
            decode_image(content, POLICY)
        assert ("VideoPart" in caught.value.hint) == (words == "a video")


def test_a_tiff_of_a_kind_that_pillow_does_not_read_is_said_to_be_one() -> None:
    tags = {256: 2, 257: 2, 258: 5, 259: 1, 262: 1, 273: 8, 277: 1, 278: 2, 279: 4}  # of 5 bits
    entries = b"".join(struct.pack("<HHII", number, 3, 1, value) for number, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    with pytest.raises(MediaDecodeError, match="begins as TIFF") as caught:
        decode_image(b"II*\0\x08\0\0\0" + directory, POLICY)
    assert "PNG" in caught.value.hint


def test_a_frame_of_a_film_is_a_picture() -> None:
    frame = av.VideoFrame.from_image(IMAGE)
    with ThreadPoolExecutor(8) as pool:
        shown = list(pool.map(lambda _: decode_image(frame, POLICY).tobytes(), range(16)))
    assert set(shown) == {IMAGE.tobytes()}
    assert measure_image(frame, POLICY) == Size(20, 30)
    assert identify_source(frame, POLICY) == identify_source(
        av.VideoFrame.from_image(IMAGE), POLICY
    )


def test_pictures_in_every_wrapping_become_data_urls_for_others() -> None:
    encoded = base64.b64encode(PNG).decode()
    for source in (PNG, encoded, io.BytesIO(PNG), {"bytes": PNG, "path": None}):
        (message,) = to_openai([Message.user(ImagePart(source), "?")])
        assert message["content"][0]["image_url"]["url"] == f"data:image/png;base64,{encoded}"


def test_questions_that_are_awaited_share_a_file() -> None:
    file, chat = io.BytesIO(PNG), VisionChat(ScriptedBackend(lambda _: "yes"))

    async def ask_all() -> list[str]:
        asked = (chat.ask_async(f"Question {index}?", file) for index in range(8))
        return [reply.text for reply in await asyncio.gather(*asked)]

    assert asyncio.run(ask_all()) == ["yes"] * 8


def test_a_file_that_waits_for_another_holds_up_no_others() -> None:
    class Waiting(io.BytesIO):
        began, may_end = threading.Event(), threading.Event()

        def read(self, *args: Any) -> bytes:
            self.began.set()
            assert self.may_end.wait(30)
            return super().read(*args)

    waiting = Waiting(PNG)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(decode_image, waiting, POLICY)
        assert waiting.began.wait(30)
        assert _is_the_picture(io.BytesIO(PNG))
        waiting.may_end.set()
        assert future.result().size == (30, 20)


def test_a_film_that_is_played_is_a_file_and_never_printed() -> None:
    for film in (base64.b64encode(PNG).decode(), {"bytes": PNG, "path": None}):
        with pytest.raises(MediaSourceError, match="path of a video file") as caught:
            FileSource(film)  # type: ignore[arg-type]
        assert "IHDR" not in str(caught.value)


def test_schemes_of_stores_are_names_and_never_those_of_files_and_of_the_web() -> None:
    assert MediaPolicy(allow_schemes=["S3://", "gs"]).allow_schemes == ("s3", "gs")
    for given in ("s3", ["file"], ["local"], ["https"], ["data"], ["zip"], ["simplecache"], [""]):
        with pytest.raises(InputError, match="allow_schemes"):
            MediaPolicy(allow_schemes=given)
    with pytest.raises(InputError, match="allow_schemes"):
        MediaPolicy(allow_schemes=[3])  # type: ignore[list-item]
