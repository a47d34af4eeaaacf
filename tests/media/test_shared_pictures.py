"""One Pillow object in several requests at once: right pixels, and the object as it was."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy
import PIL.Image
import PIL.ImageSequence
import pytest

from qwenvl_kit import MediaPolicy, Message, Request, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MediaDecodeError, MediaSizeError, MediaSourceError
from qwenvl_kit.media.fingerprints import identify_source
from qwenvl_kit.media.images import decode_image, measure_image
from qwenvl_kit.media.pillow_objects import content_of

POLICY = MediaPolicy()
FORMATS = {
    "PNG": {},
    "GIF": {},
    "BMP": {},
    "TIFF": {},
    "JPEG": {"quality": 90},
    "WEBP": {"quality": 80},
    "PPM": {},
    "JPEG2000": {},
    "AVIF": {},
}
NUM_THREADS = 8


def _noise(width: int = 400, height: int = 300) -> PIL.Image.Image:
    pixels = numpy.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype="uint8")
    return PIL.Image.fromarray(pixels).resize((width, height))


def _encoded(format_name: str, image: PIL.Image.Image | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image or _noise()).save(buffer, format_name, **{**FORMATS.get(format_name, {}), **options})
    return buffer.getvalue()


def _at_once(function: Callable[[int], Any], num_threads: int = NUM_THREADS) -> list[Any]:
    """What a function gives in threads that begin at the same moment."""
    start = threading.Barrier(num_threads)

    def run(index: int) -> Any:
        start.wait()
        return function(index)

    with ThreadPoolExecutor(num_threads) as pool:
        return list(pool.map(run, range(num_threads)))


class Seen(ScriptedBackend):
    """Keeps the pixels that it is given."""

    def __init__(self) -> None:
        super().__init__(lambda _: "yes")
        self.pixels: list[bytes] = []

    def resize_image(self, image: PIL.Image.Image, size: Any) -> PIL.Image.Image:
        self.pixels.append(image.tobytes())
        return super().resize_image(image, size)


def _lazily(content: bytes, kind: str, folder: Path) -> PIL.Image.Image:
    """A picture that Pillow has opened and not read, from where pictures are opened."""
    path = folder / "picture"
    path.write_bytes(content)
    if kind == "path":
        return PIL.Image.open(path)
    if kind == "file":
        return PIL.Image.open(path.open("rb"))
    if kind == "memory":
        return PIL.Image.open(io.BytesIO(content))
    return PIL.Image.open(_Slow(content))


class _Slow(io.RawIOBase):
    """A file that is neither in memory nor of the system, as those of archives and of networks."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._inner.seek(offset, whence)

    def tell(self) -> int:
        return self._inner.tell()

    def seekable(self) -> bool:
        return True


@pytest.mark.parametrize("kind", ["path", "file", "memory", "other"])
@pytest.mark.parametrize("format_name", FORMATS)
def test_a_picture_that_was_not_read_yet_has_the_same_pixels_in_every_thread(
    format_name: str, kind: str, tmp_path: Path
) -> None:
    content = _encoded(format_name)
    expected = PIL.Image.open(io.BytesIO(content)).convert("RGB").tobytes()
    for _ in range(3):
        image = _lazily(content, kind, tmp_path)
        decoded = _at_once(lambda _, image=image: decode_image(image, POLICY).tobytes())
        assert all(pixels == expected for pixels in decoded)
        assert image.convert("RGB").tobytes() == expected


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "GIF", "WEBP"])
def test_requests_of_one_batch_share_a_picture(format_name: str) -> None:
    content = _encoded(format_name)
    expected = PIL.Image.open(io.BytesIO(content)).convert("RGB").tobytes()
    backend = Seen()
    image = PIL.Image.open(io.BytesIO(content))
    requests = [Request.about(f"Question {index}?", image) for index in range(12)]
    replies = VisionChat(backend).ask_many(requests)
    assert [reply.text for reply in replies] == ["yes"] * 12
    assert backend.pixels == [expected] * 12


def test_questions_that_are_awaited_together_share_a_picture() -> None:
    content, backend = _encoded("PNG"), Seen()
    image = PIL.Image.open(io.BytesIO(content))
    chat = VisionChat(backend)

    async def ask_all() -> None:
        await asyncio.gather(*(chat.ask_async(f"Question {i}?", image) for i in range(12)))

    asyncio.run(ask_all())
    assert backend.pixels == [_noise().tobytes()] * 12


def test_questions_from_threads_share_a_picture() -> None:
    backend = Seen()
    image = PIL.Image.open(io.BytesIO(_encoded("PNG")))
    chat = VisionChat(backend)
    _at_once(lambda index: chat.ask(f"Question {index}?", image))
    assert backend.pixels == [_noise().tobytes()] * NUM_THREADS


def test_frames_may_be_one_picture_that_was_not_read_yet() -> None:
    backend = Seen()
    image = PIL.Image.open(io.BytesIO(_encoded("PNG")))
    film = VideoPart([image] * 4, fps=2)
    VisionChat(backend).ask_many([Request([Message.user(film, f"{i}?")]) for i in range(6)])
    assert set(backend.pixels) == {_noise().tobytes()}


def test_pictures_may_share_a_file(tmp_path: Path) -> None:
    pages = [_noise(), _noise().rotate(180), _noise().transpose(PIL.Image.Transpose.TRANSPOSE)]
    content = _encoded("TIFF", pages[0], save_all=True, append_images=pages[1:])
    for file in (io.BytesIO(content), _Slow(content)):
        opened = [PIL.Image.open(file) for _ in range(6)]
        for index, image in enumerate(opened):
            image.seek(index % 3)
        decoded = _at_once(lambda i, opened=opened: decode_image(opened[i], POLICY).tobytes(), 6)
        assert decoded == [pages[index % 3].tobytes() for index in range(6)]
        assert [image.tell() for image in opened] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("format_name", ["GIF", "PNG", "WEBP", "TIFF"])
def test_an_animation_shows_the_frame_that_it_stands_at_and_stays_there(format_name: str) -> None:
    frames = [PIL.Image.new("RGB", (64, 48), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if format_name == "WEBP" else {}
    content = _encoded(format_name, frames[0], save_all=True, append_images=frames[1:], **options)
    for index, frame in enumerate(frames):
        image = PIL.Image.open(io.BytesIO(content))
        image.seek(index)
        decoded = _at_once(lambda _, image=image: decode_image(image, POLICY).tobytes())
        assert set(decoded) == {frame.tobytes()}
        assert image.tell() == index
        image.seek(0)
        assert image.convert("RGB").tobytes() == frames[0].tobytes()


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_picture_stands_upright_in_every_thread(format_name: str, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    content = _encoded(format_name, _noise(), exif=exif)
    size = decode_image(content, POLICY).size
    for loads in (False, True):
        image = PIL.Image.open(io.BytesIO(content))
        if loads:
            image.load()

        def look(index: int, image: PIL.Image.Image = image) -> tuple[int, int]:
            if index % 2:
                return decode_image(image, POLICY).size
            measured = measure_image(image, POLICY)
            return (measured.width_px, measured.height_px)

        assert set(_at_once(look)) == {size}


def test_a_picture_with_a_palette_is_the_same_in_every_thread() -> None:
    palette = _noise().quantize(64)
    expected = palette.convert("RGB").tobytes()
    for _ in range(5):
        image = palette.copy()
        image.putpalette(palette.getpalette() or [])
        image.palette.dirty = 1
        assert set(_at_once(lambda _, i=image: decode_image(i, POLICY).tobytes())) == {expected}


@pytest.mark.parametrize("kind", ["path", "file", "memory", "other"])
@pytest.mark.parametrize("format_name", FORMATS)
def test_a_callers_picture_and_its_file_are_as_they_were(
    format_name: str, kind: str, tmp_path: Path
) -> None:
    image = _lazily(_encoded(format_name), kind, tmp_path)
    file: Any = image.fp
    before = (image.mode, image.size, image.tell(), dict(image.info), file and file.tell())
    decode_image(image, POLICY)
    measure_image(image, POLICY)
    identify_source(image, POLICY)
    after = (image.mode, image.size, image.tell(), dict(image.info))
    assert after == before[:-1]
    assert image.fp is file
    assert file is None or file.tell() == before[-1]
    assert file is None or content_of(image) is not None  # it is not read yet
    expected = PIL.Image.open(io.BytesIO(_encoded(format_name))).convert("RGB").tobytes()
    assert image.convert("RGB").tobytes() == expected
    image.close()


def test_a_caller_may_read_the_picture_at_the_same_time() -> None:
    content = _encoded("PNG")
    for _ in range(5):
        image = PIL.Image.open(io.BytesIO(content))

        def use(index: int, image: PIL.Image.Image = image) -> bytes:
            if index:
                return decode_image(image, POLICY).tobytes()
            return image.convert("RGB").tobytes()  # the caller's own thread

        assert set(_at_once(use)) == {_noise().tobytes()}


def test_what_the_caller_changed_before_it_is_read_counts() -> None:
    image = PIL.Image.open(io.BytesIO(_encoded("JPEG", _noise(800, 600))))
    image.draft("RGB", (100, 75))
    assert decode_image(image, POLICY).size == image.size == (100, 75)
    turned = PIL.Image.open(io.BytesIO(_encoded("JPEG")))
    turned.getexif()[0x0112] = 6
    assert decode_image(turned, POLICY).size == (300, 400)


def test_a_picture_of_a_class_of_its_own_is_read() -> None:
    class Labelled(PIL.Image.Image):
        label = "mine"

    image = Labelled()
    image.__dict__.update(_noise().__dict__)
    assert decode_image(image, POLICY).tobytes() == _noise().tobytes()


def test_a_picture_that_was_closed_is_refused_in_every_thread() -> None:
    image = PIL.Image.open(io.BytesIO(_encoded("PNG")))
    image.close()

    def refused(_: int) -> bool:
        with pytest.raises(MediaDecodeError):
            decode_image(image, POLICY)
        return True

    assert all(_at_once(refused))


def test_a_picture_is_not_turned_twice_when_it_is_asked_about_again() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    once = decode_image(_encoded("JPEG", exif=exif), POLICY)
    assert decode_image(once, POLICY).size == once.size == (300, 400)


def test_a_file_that_grew_under_a_picture_is_still_that_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(_encoded("PNG"))
    image = PIL.Image.open(path)
    path.rename(tmp_path / "b.png")
    path.write_bytes(_encoded("PNG", PIL.Image.new("RGB", (400, 300), "red")))
    assert decode_image(image, POLICY).tobytes() == _noise().tobytes()


def test_one_identity_for_a_picture_whether_it_was_read_or_not() -> None:
    content = _encoded("PNG", _noise().quantize(32))
    lazily, read = (PIL.Image.open(io.BytesIO(content)) for _ in range(2))
    read.load()
    names = _at_once(lambda index: str(identify_source(lazily if index % 2 else read, POLICY)))
    assert len(set(names)) == 1


def test_pictures_of_16_bits_that_differ_have_different_identities() -> None:
    bright = numpy.full((4, 4), 40_000, "uint16")
    pictures = [PIL.Image.fromarray(bright), PIL.Image.fromarray(bright + 10_000)]
    assert identify_source(pictures[0], POLICY) != identify_source(pictures[1], POLICY)


@pytest.mark.parametrize("format_name", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("kind", ["memory", "path", "other"])
def test_a_part_shows_the_frame_at_which_its_picture_stood(
    format_name: str, kind: str, tmp_path: Path
) -> None:
    """As PIL.ImageSequence walks through an animation: one object, moved on and on."""
    frames = [PIL.Image.new("RGB", (64, 48), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if format_name == "WEBP" else {}
    content = _encoded(format_name, frames[0], save_all=True, append_images=frames[1:], **options)
    image = _lazily(content, kind, tmp_path)
    walked = PIL.ImageSequence.Iterator(image)
    asked = (Request.about(f"{index}?", frame) for index, frame in enumerate(walked))
    for requests in (asked, [Request.about("?", frame) for frame in walked]):
        backend = Seen()
        VisionChat(backend).ask_many(requests, journal=tmp_path / f"{id(requests)}.jsonl")
        shown = [
            PIL.Image.frombytes("RGB", (64, 48), pixels).getpixel((9, 9))
            for pixels in backend.pixels
        ]
        expected = [frame.getpixel((0, 0)) for frame in frames]
        for pixel, colour in zip(sorted(shown), sorted(expected)):
            assert numpy.abs(numpy.subtract(pixel, colour)).max() <= 8
    assert image.tell() == 2


def test_a_frame_that_its_owner_has_drawn_on_is_shown_with_that() -> None:
    frames = [PIL.Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    content = _encoded("GIF", frames[0], save_all=True, append_images=frames[1:])
    image = PIL.Image.open(io.BytesIO(content))
    image.seek(1)
    image.load()
    image.paste("white", (0, 0, 64, 48))
    backend = Seen()
    VisionChat(backend).ask("What?", image)
    assert backend.pixels == [PIL.Image.new("RGB", (64, 48), "white").tobytes()]


def test_an_animation_that_was_moved_and_closed_is_refused_with_the_cure() -> None:
    frames = [PIL.Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    content = _encoded("GIF", frames[0], save_all=True, append_images=frames[1:])
    file = io.BytesIO(content)
    image = PIL.Image.open(file)
    request = Request.about("What?", image)
    image.seek(1)
    file.close()
    (failure,) = VisionChat(Seen()).ask_many([request])
    assert isinstance(failure.error, MediaSourceError)
    assert "frame.copy()" in failure.error.hint


def test_frames_of_an_animation_are_copied_by_the_one_who_walks_through_it() -> None:
    frames = [PIL.Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    content = _encoded("GIF", frames[0], save_all=True, append_images=frames[1:])
    image = PIL.Image.open(io.BytesIO(content))
    backend = Seen()
    parts = [frame.copy() for frame in PIL.ImageSequence.Iterator(image)]
    VisionChat(backend).ask([Message.user(VideoPart(parts, fps=1), "What?")])
    assert backend.pixels == [frame.tobytes() for frame in frames]


@pytest.mark.parametrize("format_name", ["MPO", "TIFF"])
def test_each_picture_of_a_file_is_judged_when_its_owner_has_moved_to_it(format_name: str) -> None:
    buffer = io.BytesIO()
    small, large = PIL.Image.new("RGB", (16, 16)), PIL.Image.new("RGB", (600, 500))
    small.save(buffer, format_name, save_all=True, append_images=[large])
    image = PIL.Image.open(buffer)
    policy = MediaPolicy(max_pixels=100_000)
    assert measure_image(image, policy).area_pixels == 256
    image.seek(1)
    for use in (measure_image, decode_image):
        with pytest.raises(MediaSizeError, match="600 x 500"):
            use(image, policy)
