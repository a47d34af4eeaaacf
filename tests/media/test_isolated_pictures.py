"""Pictures read in a process of its own are the same; what breaks it breaks nothing else."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy
import PIL.Image
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import MediaPolicy, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    InputError,
    MediaDecodeError,
    MediaError,
    MediaSizeError,
    MediaTimeoutError,
)
from qwenvl_kit.media.images import decode_image, read_header
from qwenvl_kit.media.isolation import process_pool
from qwenvl_kit.media.isolation.shared_memory import SharedMemory
from tests.by_hand import picture

HERE, APART = MediaPolicy(isolate_images=False), MediaPolicy(isolate_images=True)
FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000"]
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "CMYK"]
posix = pytest.mark.skipif(os.name != "posix", reason="signals are those of POSIX")


def _encoded(
    format_name: str = "PNG", mode: str = "RGB", orientation: int = 1, scale: float = 1
) -> bytes:
    buffer = io.BytesIO()
    image = picture(30, 20, 1).convert(mode)
    if scale != 1:  # white is 65535 or 1.0
        pixels = numpy.asarray(image)
        image = PIL.Image.fromarray((pixels * scale).astype(pixels.dtype))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    image.save(buffer, format_name, **({"exif": exif} if orientation > 1 else {}))
    return buffer.getvalue()


@pytest.fixture(autouse=True, scope="module")
def no_process_is_left() -> Iterator[None]:
    yield
    process_pool.POOL.close()


@pytest.mark.parametrize("as_path", [True, False])
@pytest.mark.parametrize("format_name", FORMATS)
def test_a_picture_of_every_format_is_the_same_picture(
    format_name: str, as_path: bool, tmp_path: Path
) -> None:
    content = _encoded(format_name)
    path = tmp_path / "a"
    path.write_bytes(content)
    source = path if as_path else content
    assert read_header(source, APART) == read_header(source, HERE)
    assert decode_image(source, APART).tobytes() == decode_image(source, HERE).tobytes()


@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_every_mode_is_the_same_picture(mode: str) -> None:
    content = _encoded("TIFF", mode, scale={"I;16": 257, "I": 257, "F": 1 / 255}.get(mode, 1))
    assert decode_image(content, APART).tobytes() == decode_image(content, HERE).tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright(orientation: int) -> None:
    content = _encoded("JPEG", orientation=orientation)
    assert read_header(content, APART) == read_header(content, HERE)
    assert decode_image(content, APART).tobytes() == decode_image(content, HERE).tobytes()


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300), st.integers(0, 400), st.sampled_from(FORMATS))
def test_whatever_bytes_come_the_outcome_is_that_of_this_process(
    noise: bytes, at: int, format_name: str
) -> None:
    content = _encoded(format_name)
    damaged = content[:at] + noise + content[at + len(noise) :]
    outcomes = []
    for policy in (HERE, APART):
        try:
            outcomes.append(decode_image(damaged, policy).tobytes())
        except MediaError as error:
            outcomes.append((type(error), error.problem))
    assert outcomes[0] == outcomes[1]


def test_limits_hold_there_too(tmp_path: Path) -> None:
    content = _encoded()
    for limits in ({"max_pixels": 10}, {"max_bytes": 10}, {"image_formats": ["JPEG"]}):
        with pytest.raises(MediaError):
            decode_image(content, MediaPolicy(isolate_images=True, **limits))  # type: ignore[arg-type]
    with pytest.raises(MediaError, match="no file"):
        decode_image(tmp_path / "a.png", APART)


@posix
def test_a_picture_that_takes_too_much_memory_costs_itself_alone() -> None:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (9_000, 9_000)).save(buffer, "PNG", compress_level=1)
    tight = MediaPolicy(isolate_images=True, max_decoder_bytes=50 * 2**20)
    with pytest.raises(MediaSizeError, match="52428800") as caught:
        decode_image(buffer.getvalue(), tight)
    assert "max_decoder_bytes" in caught.value.hint
    assert decode_image(_encoded(), tight).size == (30, 20)
    assert decode_image(buffer.getvalue(), APART).size == (9_000, 9_000)


def _next_process() -> int:
    """The id of the process that will answer next."""
    process_pool.POOL.close()
    read_header(_encoded(), APART)
    (idle,) = process_pool.POOL._idle
    return idle._process.pid


@posix
@pytest.mark.alone
def test_a_decoder_that_hangs_is_ended_in_time() -> None:
    pid = _next_process()
    os.kill(pid, signal.SIGSTOP)
    started = time.perf_counter()
    with pytest.raises(MediaTimeoutError, match=r"0\.3 s"):
        decode_image(_encoded(), MediaPolicy(isolate_images=True, image_timeout_seconds=0.3))
    assert time.perf_counter() - started < 3
    assert decode_image(_encoded(), APART).size == (30, 20)


@posix
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_decoder_that_crashes_is_one_typed_error(number: int) -> None:
    pid = _next_process()
    os.kill(pid, signal.SIGSTOP)

    def crash() -> None:
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)

    timer = threading.Timer(0.1, crash)
    timer.start()
    with pytest.raises(MediaDecodeError, match=f"exit status -{int(number)}"):
        decode_image(_encoded(), APART)
    timer.join()
    assert decode_image(_encoded(), APART).size == (30, 20)


def test_what_a_process_had_yet_to_say_is_no_answer_to_the_next_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _next_process()

    def fail(_: bytes) -> None:
        raise ValueError("injected")

    monkeypatch.setattr(process_pool.json, "loads", fail)
    with pytest.raises(MediaDecodeError, match="died"):
        decode_image(_encoded("JPEG"), APART)
    monkeypatch.undo()
    assert read_header(_encoded(orientation=6), APART) == read_header(_encoded(orientation=6), HERE)


@pytest.mark.parametrize("where", ["in memory that both have", "through a pipe"])
def test_pixels_come_back_whole_whichever_way_they_come(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_pool.POOL.close()
    if where == "through a pipe":
        monkeypatch.setattr(process_pool.SharedMemory, "make", lambda: None)
    for width, height in ((30, 20), (1, 1), (900, 700), (17, 5_000), (64, 48)):
        content = io.BytesIO()
        picture(width, height, width).save(content, "PNG")
        here, apart = (decode_image(content.getvalue(), policy) for policy in (HERE, APART))
        assert here.tobytes() == apart.tobytes()
    process_pool.POOL.close()


def test_a_picture_is_taken_before_its_process_may_read_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make, idle = PIL.Image.frombytes, list[int]()

    def late(*arguments: object) -> PIL.Image.Image:
        idle.append(len(process_pool.POOL._idle))
        return make(*arguments)  # type: ignore[arg-type]

    process_pool.POOL.close()
    content = _encoded()
    expected = decode_image(content, HERE).tobytes()
    monkeypatch.setattr(PIL.Image, "frombytes", late)
    assert decode_image(content, APART).tobytes() == expected
    assert idle == [0]


def test_a_picture_stays_as_it_is_while_the_next_one_is_read() -> None:
    first = decode_image(_encoded(), APART)
    before = first.tobytes()
    decode_image(_encoded("JPEG", orientation=3), APART)
    assert first.tobytes() == before


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="a thing of Linux")
def test_memory_that_both_have_cannot_shrink_under_who_reads_it() -> None:
    memory = SharedMemory.make()
    assert memory is not None
    os.write(memory.descriptor, b"abc")
    with pytest.raises(PermissionError):
        os.ftruncate(memory.descriptor, 1)
    assert bytes(memory.read(1, 2)) == b"bc"
    for start, num_bytes in ((0, 4), (-1, 2), (2, -1), (10**12, 1)):
        with pytest.raises(EOFError):
            memory.read(start, num_bytes)
    memory.close()


@posix
def test_where_no_process_can_be_started_nothing_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process_pool.POOL.close()
    monkeypatch.setattr(process_pool.sys, "executable", "")
    before = psutil.Process().num_fds()
    for _ in range(3):
        with pytest.raises(MediaDecodeError, match="isolate_images=False"):
            read_header(_encoded(), APART)
    assert psutil.Process().num_fds() == before


def test_a_question_is_answered_as_without_it() -> None:
    answers = []
    for policy in (HERE, APART):
        backend = ScriptedBackend(["A"])
        reply = VisionChat(backend, media=policy).ask("?", _encoded("JPEG", orientation=6))
        answers.append((reply.plan.images, backend.requests[0].media[0].tobytes()))
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "limits",
    [{"isolate_images": 1}, {"image_timeout_seconds": 0}, {"max_decoder_bytes": 0}],
)
def test_settings_that_cannot_be_meant_are_refused(limits: dict[str, object]) -> None:
    with pytest.raises(InputError):
        MediaPolicy(**limits)  # type: ignore[arg-type]
