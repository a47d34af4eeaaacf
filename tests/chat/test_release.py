"""What was given is let go with the answer, without Python looking for cycles of references."""

from __future__ import annotations

import asyncio
import gc
import math
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import DocumentPart, ImagePart, Message, Request, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import GenerationError, QwenVLKitError
from qwenvl_kit.tasks import (
    ask_choice,
    ask_number,
    ask_video,
    ask_yes_no,
    chart_to_table,
    classify,
    compare,
    compare_by_aspects,
    count,
    describe,
    document_qa,
    extract,
    find_differences,
    judge_description,
    locate,
    next_action,
    point_at,
    read_table,
    read_text,
    stream_extract,
    summarize_video,
    translate_text_in_image,
    write_from_image,
)
from qwenvl_kit.testing import build_tiny_model
from tests.media.test_pages import pdf_of

SHORT = Sampling(max_new_tokens=3)
WANTED = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
PDF = pdf_of("red", "lime", "blue")
FAILS = "~"
"""In a question: the model fails."""


class Watch:
    """Pictures that are given, and whether they live."""

    def __init__(self) -> None:
        self._alive: list[weakref.ref[Any]] = []

    def picture(self, width: int = 56) -> Any:
        """A new one."""
        made = PIL.Image.new("RGB", (width, 56), "red")
        self._alive.append(weakref.ref(made))
        return made

    def film(self) -> VideoPart:
        """A new one of two frames."""
        return VideoPart([self.picture(), self.picture()], fps=1)

    @property
    def num_alive(self) -> int:
        """Of all that were made."""
        return sum(ref() is not None for ref in self._alive)


async def _cancelled(chat: VisionChat, watch: Watch) -> None:
    task = asyncio.create_task(chat.ask_async("x", watch.picture(), sampling=SHORT))
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _failing(chat: VisionChat, watch: Watch) -> None:
    """Caught here: `asyncio.run` itself keeps what it raises."""
    try:
        await chat.ask_async(FAILS, watch.picture(), sampling=SHORT)
    except GenerationError as error:
        caught = str(error)
    raise GenerationError(caught)


def _left_within(chat: VisionChat, watch: Watch) -> None:
    with chat.stream("a b c d", watch.picture(), sampling=SHORT) as stream:
        next(stream)


def _abandoned(chat: VisionChat, watch: Watch) -> None:
    stream = chat.stream("a b c d", watch.picture(), sampling=SHORT)
    next(stream)
    stream.cancel()


def _broken_batch(chat: VisionChat, watch: Watch) -> None:
    with chat.stream_many([Request.about("x", watch.picture()) for _ in range(3)]) as stream:
        next(stream)


def _turns(chat: VisionChat, watch: Watch) -> Any:
    conversation = chat.start()
    replies = [conversation.ask(f"q{turn}", watch.picture(), sampling=SHORT) for turn in range(2)]
    del conversation
    return replies


def _requests(watch: Watch, *questions: str) -> Iterator[Request]:
    for question in questions:
        yield Request.about(question, watch.picture())


def look(name: str) -> str:
    """Look at something.

    Args:
        name: what.
    """
    return name


ENTRANCES: dict[str, Callable[[VisionChat, Watch], Any]] = {
    "ask": lambda chat, w: chat.ask("x", w.picture(), sampling=SHORT),
    "ask with samples": lambda chat, w: chat.ask("x", w.picture(), sampling=SHORT, num_samples=2),
    "ask a conversation": lambda chat, w: chat.ask(
        [Message.user(ImagePart(w.picture()), "x")], sampling=SHORT
    ),
    "ask a film": lambda chat, w: chat.ask("x", w.film(), sampling=SHORT),
    "stream": lambda chat, w: chat.stream("x", w.picture(), sampling=SHORT).reply,
    "stream, left": _left_within,
    "stream, abandoned": _abandoned,
    "ask_async": lambda chat, w: asyncio.run(chat.ask_async("x", w.picture(), sampling=SHORT)),
    "ask_async, cancelled": lambda chat, w: asyncio.run(_cancelled(chat, w)),
    "ask_many": lambda chat, w: chat.ask_many(_requests(w, *"abcdef"), sampling=SHORT),
    "ask_many with progress": lambda chat, w: chat.ask_many(
        list(_requests(w, *"abc")), sampling=SHORT, progress=True
    ),
    "stream_many": lambda chat, w: chat.stream_many(_requests(w, *"abc"), sampling=SHORT).results,
    "stream_many, broken off": _broken_batch,
    "run_tools": lambda chat, w: (
        chat.run_tools("x", w.picture(), tools=[look], sampling=SHORT).reply
    ),
    "a conversation": _turns,
    "plan": lambda chat, w: chat.plan("x", w.picture()),
    "describe": lambda chat, w: describe(chat, w.picture(), sampling=SHORT),
    "compare": lambda chat, w: compare(chat, w.picture(), w.picture(), sampling=SHORT),
    "compare_by_aspects": lambda chat, w: compare_by_aspects(
        chat, w.picture(), w.picture(), sampling=SHORT
    ),
    "classify": lambda chat, w: classify(chat, w.picture(), ["a", "b"]),
    "ask_yes_no": lambda chat, w: ask_yes_no(chat, "x", w.picture()),
    "ask_choice": lambda chat, w: ask_choice(chat, "x", ["a", "b"], w.picture()),
    "judge_description": lambda chat, w: judge_description(chat, w.picture(), "Red. Blue."),
    "document_qa of pictures": lambda chat, w: document_qa(
        chat, [w.picture(), w.picture()], ["x", "y"]
    ),
    "read_text": lambda chat, w: read_text(chat, w.picture(), sampling=SHORT),
    "ask_video": lambda chat, w: ask_video(chat, w.film(), "x", sampling=SHORT),
    "summarize_video": lambda chat, w: summarize_video(chat, w.film(), sampling=SHORT),
    "write_from_image": lambda chat, w: write_from_image(chat, w.picture(), sampling=SHORT),
    "locate": lambda chat, w: [*locate(chat, w.picture(), "cup", sampling=SHORT)],
    "point_at": lambda chat, w: [*point_at(chat, w.picture(), "cup", sampling=SHORT)],
    "translate": lambda chat, w: translate_text_in_image(chat, w.picture(), sampling=SHORT),
}
"""That give an answer. What `locate` gives keeps the picture, to draw on it; its boxes do not."""

FAILING: dict[str, Callable[[VisionChat, Watch], Any]] = {
    "ask": lambda chat, w: chat.ask(FAILS, w.picture(), sampling=SHORT),
    "ask, too long": lambda chat, w: chat.ask("x " * 9000, w.picture()),
    "ask, a bad picture": lambda chat, w: chat.ask("x", w.picture(), b"GIF89a"),
    "stream": lambda chat, w: list(chat.stream(FAILS, w.picture(), sampling=SHORT)),
    "ask_async": lambda chat, w: asyncio.run(_failing(chat, w)),
    "ask_many, raising": lambda chat, w: chat.ask_many(
        _requests(w, "x", FAILS, "y"), sampling=SHORT, on_error="raise"
    ),
    "run_tools": lambda chat, w: chat.run_tools(FAILS, w.picture(), tools=[look]),
    "plan": lambda chat, w: chat.plan("x", w.picture(), b"GIF89a"),
    "describe": lambda chat, w: describe(chat, w.picture(), prompt=FAILS),
    "extract": lambda chat, w: extract(chat, w.picture(), WANTED, prompt=FAILS),
    "extract what is none": lambda chat, w: extract(
        chat, w.picture(), WANTED, sampling=Sampling(max_new_tokens=1)
    ),
    "stream_extract": lambda chat, w: list(
        stream_extract(chat, w.picture(), WANTED, sampling=Sampling(max_new_tokens=1))
    ),
    "read_table": lambda chat, w: read_table(chat, w.picture(), prompt=FAILS),
    "chart_to_table": lambda chat, w: chart_to_table(chat, w.picture(), prompt=FAILS),
    "find_differences": lambda chat, w: find_differences(
        chat, w.picture(), w.picture(), prompt=FAILS
    ),
    "classify": lambda chat, w: classify(chat, w.picture(), ["a", "b"], prompt=FAILS),
    "count": lambda chat, w: count(chat, w.picture(), "cups", sampling=Sampling(max_new_tokens=1)),
    "ask_number": lambda chat, w: ask_number(chat, FAILS, w.picture()),
    "next_action": lambda chat, w: next_action(chat, w.picture(), "go", sampling=SHORT),
    "summarize_video": lambda chat, w: summarize_video(chat, w.film(), FAILS),
}
"""That raise an error."""


def script(request: BackendRequest) -> str:
    if FAILS in request.messages[-1].text:
        raise GenerationError("the model failed")
    return (request.constraint and request.constraint.only_answer) or "one two three"


@pytest.fixture(scope="module", params=["scripted", "tiny"])
def chat(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VisionChat:
    if request.param == "scripted":
        return VisionChat(ScriptedBackend(script))
    return failing_chat(build_tiny_model(tmp_path_factory.mktemp("tiny")))


def failing_chat(folder: Path) -> VisionChat:
    """A tiny model that gives what is no number where that is asked for."""
    chat = VisionChat.from_pretrained(folder, dtype="float32", device="cpu", max_cache_bytes=10**6)
    backend: Any = chat._backend
    (token_id,) = backend.processor.tokenizer.encode(FAILS, add_special_tokens=False)

    def spoil(_: object, given: Any, made: Any) -> Any:
        return made.masked_fill((given[0] == token_id)[..., None], math.nan)

    backend.model.get_input_embeddings().register_forward_hook(spoil)
    return chat


@pytest.fixture(autouse=True)
def collector_off() -> Iterator[None]:
    """What lives in a cycle lives on."""
    gc.disable()
    yield
    gc.enable()


def alive_after(chat: VisionChat, watch: Watch) -> int:
    """How many pictures live once all threads have had time to end what they are at."""
    if isinstance(chat._backend, ScriptedBackend):
        chat._backend.requests.clear()  # which are kept for tests to look at
    deadline = time.monotonic() + 2
    while watch.num_alive and time.monotonic() < deadline:
        time.sleep(0.01)
    return watch.num_alive


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_pictures_go_with_the_answer(chat: VisionChat, entrance: str) -> None:
    watch = Watch()
    result = ENTRANCES[entrance](chat, watch)
    assert alive_after(chat, watch) == 0
    del result


@pytest.mark.parametrize("entrance", FAILING)
def test_pictures_go_with_the_error(chat: VisionChat, entrance: str) -> None:
    watch = Watch()
    with suppress(QwenVLKitError):
        FAILING[entrance](chat, watch)
        pytest.fail("it gave an answer")
    assert alive_after(chat, watch) == 0


def test_failures_that_are_held_hold_no_pictures(chat: VisionChat, tmp_path: Path) -> None:
    watch = Watch()
    asked = [
        Request.about(FAILS, watch.picture()),
        Request.about("x " * 9000, watch.picture()),
        Request.about("x", watch.picture(), b"GIF89a"),
        Request.about("x", watch.picture(), "/nowhere.png"),
        Request.about("fine", watch.picture()),
        {"role": "user", "content": [{"type": "image", "image": watch.picture()}, {"type": "?"}]},
    ]
    results = chat.ask_many(iter(asked), sampling=SHORT, journal=tmp_path / "journal")  # type: ignore[call-overload]
    del asked
    names = [type(result).__name__ for result in results]
    assert names == ["Failure"] * 4 + ["Reply", "Failure"]
    assert alive_after(chat, watch) == 0


@pytest.mark.parametrize("question", ["x", FAILS])
def test_a_stream_that_has_ended_holds_no_pictures(chat: VisionChat, question: str) -> None:
    watch = Watch()
    stream = chat.stream(question, watch.picture(), sampling=SHORT)
    with suppress(GenerationError):
        assert stream.reply.text
    assert alive_after(chat, watch) == 0
    with suppress(GenerationError):
        assert stream.reply.text


def test_a_batch_that_has_ended_holds_no_pictures(chat: VisionChat) -> None:
    watch = Watch()
    with chat.stream_many(_requests(watch, "x", FAILS, "y"), sampling=SHORT) as stream:
        assert len(stream.results) == 3
    assert alive_after(chat, watch) == 0
    assert len(stream.results) == 3


def pixels() -> list[PIL.Image.Image]:
    """All pictures that there are, decoded ones and pages too."""
    return [found for found in gc.get_objects() if isinstance(found, PIL.Image.Image)]


@pytest.mark.parametrize("question", ["x", FAILS])
def test_pages_and_decoded_pixels_go_with_the_answers(chat: VisionChat, question: str) -> None:
    before = {id(picture) for picture in pixels()}
    document = DocumentPart(PDF)
    answers = document_qa(chat, document, [question, "y"], sampling=SHORT)
    alive_after(chat, Watch())
    deadline = time.monotonic() + 2
    while (left := [p for p in pixels() if id(p) not in before]) and time.monotonic() < deadline:
        del left
        time.sleep(0.05)
    assert not left
    assert len(answers) + len(answers.failures) == 2
