"""Whatever a user sends by mistake is refused by name, and in a batch it costs itself alone."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy
import PIL.Image
import pytest

from qwenvl_kit import (
    ImagePart,
    Message,
    PixelBudget,
    Reply,
    Request,
    Sampling,
    VideoPart,
    VisionChat,
)
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    BudgetError,
    ContextLengthError,
    InputError,
    MediaArrayError,
    MediaDecodeError,
    MediaError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaSizeError,
    MediaSourceError,
    MessageError,
    SamplingError,
    VideoTimingError,
)
from qwenvl_kit.messages.tool_parts import ToolCall

RED = PIL.Image.new("RGB", (84, 56), "red")
PART = "messages[1].parts[1]"


def _png(image: PIL.Image.Image = RED, format_name: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name)
    return buffer.getvalue()


def _png_header(width: int, height: int) -> bytes:
    """A PNG that promises these sides and holds nearly nothing."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(100))),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _nan() -> numpy.ndarray:
    array = numpy.zeros((8, 8, 3), "float32")
    array[3, 3] = numpy.nan
    return array


class _Loop:
    """A sequence that holds itself."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self


SOURCES: dict[str, tuple[Any, type[MediaError]]] = {
    "a missing file": ("/no/such/file.png", MediaNotFoundError),
    "a missing file by its URL": ("file:///no/such/file.png", MediaNotFoundError),
    "a directory": ("/", MediaSourceError),
    "an empty string": ("", MediaSourceError),
    "no bytes": (b"", MediaDecodeError),
    "text in bytes": (b"I am a picture, honestly", MediaDecodeError),
    "this very test": (__file__, MediaDecodeError),
    "a JPEG cut short": (_png(format_name="JPEG")[:-200], MediaDecodeError),
    "a PNG cut short": (_png(PIL.Image.effect_noise((64, 64), 60))[:900], MediaDecodeError),
    "a picture without pixels": (PIL.Image.new("RGB", (0, 0)), MediaSizeError),
    "a picture without height": (PIL.Image.new("RGB", (5, 0)), MediaSizeError),
    "an array with NaN": (_nan(), MediaArrayError),
    "an array of integers": (numpy.zeros((8, 8, 3), "int64"), MediaArrayError),
    "an array of booleans": (numpy.zeros((8, 8), "bool"), MediaArrayError),
    "an array of objects": (numpy.array([[None] * 4] * 4), MediaArrayError),
    "an array with channels first": (numpy.zeros((3, 40, 40), "uint8"), MediaArrayError),
    "an array of pictures": (numpy.zeros((2, 40, 40, 3), "uint8"), MediaArrayError),
    "an array with floats to 255": (numpy.full((8, 8, 3), 255.0), MediaArrayError),
    "an array without pixels": (numpy.zeros((0, 8, 3), "uint8"), MediaSizeError),
    "a web address": ("https://example.com/a.png", MediaForbiddenError),
    "half a web address": ("http://[", MediaForbiddenError),
    "another machine": ("file://server/share/a.png", MediaForbiddenError),
    "an unknown scheme": ("s3://bucket/a.png", MediaSourceError),
    "a data URL without data": ("data:image/png;base64,", MediaDecodeError),
    "a data URL without a comma": ("data:image/png", MediaDecodeError),
    "a data URL that is not base64": ("data:image/png;base64,!!!", MediaDecodeError),
    "base64 that begins as a picture": ("iVBORw0KGgo" * 600, MediaDecodeError),
    "base64 of something else": ("QUJD" * 600, MediaNotFoundError),
    "a decompression bomb": (_png_header(60_000, 60_000), MediaSizeError),
    "the widest PNG there is": (_png_header(2**31 - 1, 1), MediaSizeError),
    "a NUL byte in a path": ("a\x00b.png", MediaNotFoundError),
    "a path of 5,000 characters": ("a" * 5000, MediaNotFoundError),
    "half a surrogate pair in a path": ("\ud800.png", MediaNotFoundError),
    "a home that nobody has": ("~nobody_of_that_name/a.png", MediaNotFoundError),
    "a line break": ("\n", MediaNotFoundError),
    "none": (None, MediaSourceError),
    "a boolean": (True, MediaSourceError),
    "a number": (3.5, MediaSourceError),
    "a fraction": (Fraction(1, 2), MediaSourceError),
    "a list of pictures": ([RED, RED], MediaSourceError),
    "an empty list": ([], MediaSourceError),
    "a dict": ({"url": "a.png"}, MediaSourceError),
    "a set": ({1, 2}, MediaSourceError),
    "a file of text": (io.StringIO("text"), MediaSourceError),
    "a row without its picture": ({"bytes": None, "path": None}, MediaSourceError),
    "a type": (PIL.Image.Image, MediaSourceError),
    "a function": (_png, MediaSourceError),
    "a part inside a part": (ImagePart(RED), MediaSourceError),
    "a message": (Message.user("a"), MediaSourceError),
    "something endless": (_Loop(), MediaSourceError),
    "a range": (range(3), MediaSourceError),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", MediaDecodeError),
    "a PDF": (b"%PDF-1.7 ...", MediaDecodeError),
    "a program": (b"\x7fELF\x02\x01\x01", MediaDecodeError),
    "PostScript": (_png(format_name="EPS"), MediaDecodeError),
}  # fmt: skip

FRAME = f"{PART}.source[1]"
VIDEOS: dict[str, tuple[dict[str, Any], type[InputError], str]] = {
    "frames without times": ({"source": [RED] * 3}, VideoTimingError, PART),
    "no frames": ({"source": [], "fps": 1}, MediaSourceError, PART),
    "a generator of frames": ({"source": (RED for _ in "ab"), "fps": 1}, MediaSourceError, PART),
    "a video file that is not there": ({"source": "holiday.mp4"}, MediaNotFoundError, PART),
    "text for a video": ({"source": b"once upon a time"}, MediaDecodeError, PART),
    "one picture": ({"source": RED, "fps": 1}, MediaSourceError, PART),
    "a missing frame": ({"source": [RED, "/no.png"], "fps": 1}, MediaNotFoundError, FRAME),
    "a frame that is a list": ({"source": [RED, [RED]], "fps": 1}, MediaSourceError, FRAME),
    "frames of two sizes": (
        {"source": [RED, RED.rotate(90, expand=True)], "fps": 1}, MediaSizeError, f"{PART}.source"
    ),
    "frames of one pixel": (
        {"source": numpy.zeros((4, 1, 1, 3), "uint8"), "fps": 1}, MediaSizeError, PART
    ),
    "too few timestamps": (
        {"source": [RED] * 3, "timestamps_seconds": (0.0, 1.0)}, VideoTimingError, PART
    ),
    "timestamps that fall": (
        {"source": [RED] * 2, "timestamps_seconds": (1.0, 0.0)}, VideoTimingError, PART
    ),
    "a span after the end": (
        {"source": [RED] * 2, "fps": 1, "start_seconds": 60}, VideoTimingError, PART
    ),
}  # fmt: skip

PROMPTS: dict[str, tuple[Any, type[InputError]]] = {
    "none": (None, MessageError),
    "a number": (3, MessageError),
    "a boolean": (True, MessageError),
    "bytes": (b"What is this?", MessageError),
    "no messages": ([], MessageError),
    "a list of questions": (["What?", "Why?"], MessageError),
    "nested lists": ([[Message.user("What?")]], MessageError),
    "a generator of numbers": (lambda: (number for number in range(3)), MessageError),
    "an empty generator": (lambda: (_ for _ in ()), MessageError),
    "a picture": (RED, MessageError),
    "a path": (Path("a.png"), MessageError),
    "a class": (Message, MessageError),
    "an empty dict": ({}, MessageError),
    "a dict as content": ({"role": "user", "content": {"type": "text", "text": "a"}}, MessageError),
    "no content": ({"role": "user"}, MessageError),
    "empty content": ({"role": "user", "content": []}, MessageError),
    "content that is none": ({"role": "user", "content": None}, MessageError),
    "an unknown role": ([{"role": "bot", "content": "a"}], MessageError),
    "a role that is a list": ([{"role": ["user"], "content": "a"}], MessageError),
    "a misspelt key": ([{"role": "user", "content": [{"type": "text", "txt": "a"}]}], MessageError),
    "an unknown kind of part": ([{"role": "user", "content": [{"type": "audio"}]}], MessageError),
    "a picture in a system message": (
        [{"role": "system", "content": [{"image": "a.png"}]}, Message.user("a")], MessageError
    ),
    "a system message alone": ([Message.system("Be brief.")], MessageError),
    "a system message at the end": ([Message.user("a"), Message.system("b")], MessageError),
    "a call at the end": (
        [Message.user("a"), Message.assistant(ToolCall("look", {}))], MessageError
    ),
    "half a surrogate pair": ("What is \ud83d?", MessageError),
    "half a surrogate pair in a dict": ([{"role": "user", "content": "\udfff"}], MessageError),
    "more than the context holds": ("word " * 5000, ContextLengthError),
    "pictures beyond the context": (
        Message.user(*[ImagePart(RED, height_px=1120, width_px=1120)] * 3, "?"), ContextLengthError
    ),
}  # fmt: skip

SETTINGS: dict[str, tuple[Any, type[InputError]]] = {
    "no new tokens": (lambda: Sampling(max_new_tokens=0), SamplingError),
    "a negative temperature": (lambda: Sampling(temperature=-1), SamplingError),
    "a boolean for a number": (lambda: Sampling(max_new_tokens=True), SamplingError),
    "a boolean for a temperature": (lambda: Sampling(temperature=True), SamplingError),
    "a temperature without end": (lambda: Sampling(temperature=float("inf")), SamplingError),
    "a budget upside down": (lambda: PixelBudget(512, 256), BudgetError),
    "a budget of nothing": (lambda: PixelBudget(max_tokens=0), BudgetError),
    "a boolean for a budget": (lambda: PixelBudget(max_tokens=True), BudgetError),
    "a budget in two units": (lambda: PixelBudget(min_tokens=1, max_pixels=9), BudgetError),
    "a boolean for a height": (lambda: ImagePart("a", height_px=True, width_px=True), BudgetError),
    "a height alone": (lambda: ImagePart("a", height_px=28), BudgetError),
    "a video at no rate": (lambda: VideoPart(["a"], fps=0), VideoTimingError),
    "a video that ends before it starts": (
        lambda: VideoPart(["a"], fps=1, start_seconds=2, end_seconds=1), VideoTimingError
    ),
}  # fmt: skip


def _about(part: ImagePart | VideoPart) -> list[Message]:
    """A conversation in which the part stands at `PART`."""
    return [Message.system("Be brief."), Message.user("Look:", part)]


@dataclass
class Case:
    given: Any
    error: type[InputError]
    where: str | None = None

    @property
    def prompt(self) -> Any:
        """Made anew where it can be read once only."""
        return self.given() if isinstance(self.given, FunctionType) else self.given


def _cases() -> dict[str, Any]:
    cases = {name: Case(prompt, error) for name, (prompt, error) in PROMPTS.items()}
    for name, (source, error) in SOURCES.items():
        cases[f"source: {name}"] = Case(_about(ImagePart(source)), error, PART)
    for name, (arguments, error, where) in VIDEOS.items():
        cases[f"video: {name}"] = Case(_about(VideoPart(**arguments)), error, where)
    return cases


CASES = _cases()
by_case = pytest.mark.parametrize("name", CASES)


def _chat() -> VisionChat:
    return VisionChat(ScriptedBackend(lambda request: request.messages[-1].text))


def _check(error: InputError, case: Case, prefix: str = "") -> None:
    assert type(error) is case.error
    assert error.problem
    assert error.expected or error.hint
    assert error.where.startswith(prefix)
    assert len(str(error)) < 1500
    if case.where is not None:
        assert error.where.endswith(case.where)


@by_case
def test_bad_input_is_refused_by_its_own_error_with_its_place(name):
    case = CASES[name]
    with pytest.raises(InputError) as caught:
        _chat().ask(case.prompt)
    _check(caught.value, case)


@by_case
def test_bad_input_in_a_batch_costs_that_request_alone(name):
    case = CASES[name]
    requests = [
        Request("first", id="a"),
        Request(case.prompt, id="bad"),
        Request.about("third", RED, id="c"),
    ]
    first, failed, third = _chat().ask_many(requests, on_error="return")
    assert isinstance(first, Reply)
    assert isinstance(third, Reply)
    assert (first.text, third.text) == ("first", "third")
    assert (first.request_id, third.request_id) == ("a", "c")
    assert (failed.index, failed.request_id) == (1, "bad")
    _check(failed.error, case, prefix="requests[1]")
    if case.where is not None:
        assert failed.error.where == f"requests[1].{case.where}"


def test_bad_input_of_every_kind_in_one_batch_costs_its_neighbours_nothing():
    requests: list[Any] = []
    for case in CASES.values():
        requests += [case.prompt, f"good {len(requests)}"]
    results = _chat().ask_many(requests)
    assert [str(r) for r in results[1::2]] == [f"good {i}" for i in range(0, len(requests), 2)]
    assert all(isinstance(result.error, InputError) for result in results[::2])
    assert [result.index for result in results[::2]] == list(range(0, len(requests), 2))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_cannot_be_meant_is_refused_where_it_is_written(name):
    build, error = SETTINGS[name]
    with pytest.raises(error) as caught:
        build()
    assert type(caught.value) is error
    assert caught.value.expected


def test_an_animated_picture_is_its_first_frame():
    frames = [PIL.Image.new("RGB", (56, 56), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    backend = ScriptedBackend(["x"])
    VisionChat(backend).ask("What?", buffer.getvalue())
    assert backend.requests[0].media[0].getpixel((9, 9)) == (255, 0, 0)


def test_a_text_that_is_named_like_a_picture_is_said_to_be_text_and_not_shown(tmp_path):
    (tmp_path / "photo.png").write_text("root:$6$salt$hash")
    with pytest.raises(MediaDecodeError, match="17 bytes, text") as caught:
        _chat().ask("What?", tmp_path / "photo.png")
    assert "PNG" in caught.value.expected
    assert "$6$" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", " ", "\x00", "\u202e", "<|im_end|>", "\U0010ffff", "a" * 2000]
)
def test_odd_text_is_no_bad_input(text):
    assert _chat().ask(text).text == text


@pytest.mark.parametrize("picture", [PIL.Image.new("RGB", (2, 2)), PIL.Image.new("1", (2, 400))])
def test_the_smallest_and_the_longest_picture_that_can_be_taken_are_answered(picture):
    assert _chat().ask("What?", picture).usage.visual_tokens >= 1
