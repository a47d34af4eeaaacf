"""What is not plain is read by another process_pool, unless the policy says otherwise."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy
import PIL.Image
import psutil
import pytest

from qwenvl_kit import MediaPolicy
from qwenvl_kit.errors import MediaDecodeError, MediaError, MediaSizeError, MediaTimeoutError
from qwenvl_kit.geometry import Size
from qwenvl_kit.media import documents, images, isolation
from qwenvl_kit.media.encoding import source_url
from qwenvl_kit.media.images import decode_image, read_header, resize_image
from qwenvl_kit.media.isolation import process_pool
from qwenvl_kit.media.isolation.deadlines import Deadline
from qwenvl_kit.media.isolation.protocol import IMAGE_HEADER, IMAGE_PIXELS, PAGE_IMAGES
from qwenvl_kit.media.pages import read_pages
from qwenvl_kit.media.types import Page
from qwenvl_kit.media.worker.limits import within
from qwenvl_kit.plans import ImagePlan
from tests.by_hand import picture
from tests.hostile.growing import endless_pdf
from tests.house.test_arrows import imports_of
from tests.media.test_pages import pdf_of

POLICY = MediaPolicy()
PLAIN = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
OTHERS = ("TIFF", "AVIF", "JPEG2000", "PPM", "ICO")


def _saved(format_name: str) -> bytes:
    buffer = io.BytesIO()
    picture(32, 32, 1).save(buffer, format_name)
    return buffer.getvalue()


@pytest.fixture(autouse=True, scope="module")
def no_process_is_left() -> Iterator[None]:
    yield
    process_pool.POOL.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What other processes are asked."""
    found: list[str] = []
    ask = process_pool.DecoderProcess.ask

    def noted(self: Any, request: Any, *arguments: Any) -> Any:
        found.append(request["kind"])
        return ask(self, request, *arguments)

    monkeypatch.setattr(process_pool.DecoderProcess, "ask", noted)
    return found


@pytest.mark.parametrize("format_name", [*PLAIN, *OTHERS])
def test_pictures_of_which_formats_another_process_reads(
    format_name: str, asked: list[str], tmp_path: Path
) -> None:
    content = _saved(format_name)
    path = tmp_path / "a"
    path.write_bytes(content)
    for source in (content, path, {"bytes": content, "path": None}):
        header = read_header(source, POLICY)
        assert decode_image(source, POLICY).size == (32, 32)
        assert header.format == format_name
    each = [] if format_name in PLAIN else [IMAGE_HEADER, IMAGE_PIXELS]
    assert asked == 3 * each


@pytest.mark.parametrize("format_name", OTHERS)
def test_no_decoder_of_this_process_sees_a_header_that_is_not_plain(
    format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(PIL.Image, "open", fail)
    content = _saved(format_name)
    assert read_header(content, POLICY).size == Size(32, 32)
    assert decode_image(content, POLICY).size == (32, 32)
    assert source_url(content, POLICY).startswith(("data:image/", "data:application/"))


def test_a_policy_has_all_of_them_read_there_or_none(asked: list[str]) -> None:
    for format_name in ("PNG", "TIFF"):
        content = _saved(format_name)
        decode_image(content, MediaPolicy(isolate_images=False))
        assert not asked
        decode_image(content, MediaPolicy(isolate_images=True))
        assert asked.pop() == IMAGE_PIXELS


def test_what_is_in_memory_needs_no_process(asked: list[str]) -> None:
    opened = PIL.Image.open(io.BytesIO(_saved("TIFF")))
    for source in (opened, picture(4, 4, 1), numpy.zeros((4, 4, 3), numpy.uint8)):
        read_header(source, POLICY)
        decode_image(source, POLICY)
    assert not asked


def test_what_is_no_picture_starts_no_process(asked: list[str]) -> None:
    for content in (b"", b"text", b"<html>", bytes(64), b"GIF89a", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(MediaError):
            decode_image(content, POLICY)
    assert not asked


@pytest.mark.parametrize("packing", [0, 1, 2, 3, 4])
def test_a_bmp_that_is_unpacked_byte_by_byte_is_not_plain(packing: int, asked: list[str]) -> None:
    content = bytearray(_saved("BMP"))
    content[30] = packing
    with suppress(MediaError):
        decode_image(bytes(content), POLICY)
    assert bool(asked) == (packing in (1, 2, 4))


def test_pixels_are_as_many_as_the_header_said_by_which_they_were_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "load", lambda image: image.resize((33, 32)))
    with pytest.raises(MediaDecodeError, match="33 x 32 px, and its header says 32 x 32 px"):
        decode_image(_saved("PNG"), POLICY)


def test_documents_are_read_by_another_process(asked: list[str]) -> None:
    assert len(read_pages(pdf_of("red"), POLICY)) == 1
    assert asked == [PAGE_IMAGES]
    read_pages(pdf_of("red"), MediaPolicy(isolate_images=False))
    assert len(asked) == 1


def test_a_document_that_hangs_keeps_no_other_waiting() -> None:
    process_pool.POOL.close()
    ends: list[BaseException] = []

    def hang() -> None:
        try:
            read_pages(endless_pdf(), MediaPolicy(image_timeout_seconds=300))
        except MediaError as error:
            ends.append(error)

    others = set(psutil.Process().children())  # of earlier tests
    thread = threading.Thread(target=hang)
    thread.start()
    while not (children := set(psutil.Process().children()) - others):
        time.sleep(0.01)
    assert len(read_pages(pdf_of("red", "lime"), POLICY)) == 2
    assert thread.is_alive()
    children.pop().kill()
    thread.join()
    assert isinstance(ends[0], MediaDecodeError)


def test_a_page_that_hangs_ends_at_its_deadline_and_the_next_document_is_read() -> None:
    with pytest.raises(MediaTimeoutError, match=r"1\.5 s"):
        read_pages(endless_pdf(), MediaPolicy(image_timeout_seconds=1.5))
    assert len(read_pages(pdf_of("red"), POLICY)) == 1


def test_a_deadline_is_for_each_answer_and_for_all_of_them() -> None:
    ended = threading.Event()
    with Deadline(ended.set, 300, 200) as deadline:
        for _ in range(3):
            deadline.pause()
            deadline.go_on()
        assert not ended.is_set()
    for total, each in ((0.01, None), (300, 0.01), (0.01, 300)):
        ended.clear()
        with Deadline(ended.set, total, each) as deadline:
            assert ended.wait(30)
            assert deadline.is_over
        assert "0.01 s" in str(deadline.error())


def test_time_that_passes_between_two_answers_is_not_that_of_the_process() -> None:
    ended = threading.Event()
    with Deadline(ended.set, 300, 0.2) as deadline:
        deadline.pause()
        assert not ended.wait(0.5)


def test_who_waits_for_a_page_that_hangs_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, waited = threading.Event(), threading.Event()
    num_drawn = [0]

    def hang(*_: object) -> Iterator[Page]:
        num_drawn[0] += 1
        begun.set()
        assert waited.wait(60)
        raise MediaTimeoutError("late", expected="", hint="")
        yield

    monkeypatch.setattr(documents, "pages_of", hang)
    document = documents.Document(b"", 72, None)
    plan = ImagePlan("", Size(4, 4), Size(4, 4), 1)
    errors: list[BaseException] = []

    def show() -> None:
        with pytest.raises(MediaTimeoutError, match="late") as caught:
            document.show([(1, plan)], POLICY, resize_image)
        errors.append(caught.value)

    threads = [threading.Thread(target=show) for _ in range(3)]
    threads[0].start()
    assert begun.wait(60)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.2)  # until they wait
    waited.set()
    for thread in threads:
        thread.join()
    assert len({id(error) for error in errors}) == 3
    assert num_drawn[0] == 1


def test_who_waits_for_other_pages_ends_by_a_deadline_of_its_own() -> None:
    document = documents.Document(b"", 72, None)
    plan = ImagePlan("", Size(4, 4), Size(4, 4), 1)
    with document._lock, pytest.raises(MediaTimeoutError, match="other requests"):
        document.show([(1, plan)], MediaPolicy(timeout_seconds=0.05), resize_image)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="a thing of Linux")
def test_a_header_of_few_pixels_admits_little_memory() -> None:
    limits: list[str] = []
    for judged in (10**9, None):
        with pytest.raises(MediaSizeError) as caught, within(2 * 10**9, judged):
            raise MemoryError
        limits.append(str(caught.value))
    assert "1000000000" in limits[0]
    assert "save it again" in limits[0]
    assert "2000000000" in limits[1]
    assert "max_decoder_bytes" in limits[1]


@pytest.mark.parametrize(
    "path", sorted(Path(isolation.__file__).parent.glob("*.py")), ids=lambda path: path.name
)
def test_the_parents_side_of_isolation_imports_no_decoder(path: Path) -> None:
    decoders = ("documents", "heif", "images", "loader", "pages", "pdf", "tiff_pages", "worker")
    for module in imports_of(path):
        assert not module.startswith(tuple(f"media.{name}" for name in decoders))
