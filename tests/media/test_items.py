"""A picture of a request has one record: it is collected, fetched and measured once."""

from __future__ import annotations

import asyncio
import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import (
    DocumentPart,
    ImagePart,
    MediaPolicy,
    Message,
    PixelBudget,
    Request,
    VideoPart,
    VisionChat,
)
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import MediaNotFoundError, OutOfMemoryError
from qwenvl_kit.media import documents, loader
from qwenvl_kit.media.items import with_plan
from qwenvl_kit.media.loader import decode_media, identify_media, open_media
from qwenvl_kit.plans import ImagePlan
from tests.media.test_pages import pdf_of
from tests.media.web.servers import Server, admitting, response, serving
from tests.videos import write_video

COUNTED = {
    "walk": (loader, "iter_parts"),
    "measure": (loader, "read_header"),
    "film": (loader, "measure_file"),
    "document": (documents, "measure_pages"),
    "decode": (loader, "decode_image"),
    "draw": (documents, "pages_of"),
}


def _png(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (640, 480), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each stage was called."""
    counts: Counter[str] = Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            counts[name] += 1
            return function(*arguments, **options)

        return counted

    for name, (module, function) in COUNTED.items():
        monkeypatch.setattr(module, function, counting(name, getattr(module, function)))
    return counts


@pytest.fixture
def web() -> Iterator[Server]:
    with serving({}, response(_png())) as server:
        yield server


def _chat(web: Server | None = None, **options: Any) -> VisionChat:
    backend = ScriptedBackend(lambda _: "yes", **options)
    return VisionChat(backend, media=admitting(web) if web else MediaPolicy())


def _entrances(chat: VisionChat, url: str, folder: Path) -> dict[str, Callable[[], object]]:
    request = Request.about("?", url)

    def streamed() -> object:
        with chat.stream("?", url) as stream:
            return list(stream)

    return {
        "ask": lambda: chat.ask("?", url),
        "plan": lambda: chat.plan("?", url),
        "stream": streamed,
        "ask_async": lambda: asyncio.run(chat.ask_async("?", url)),
        "ask_many": lambda: chat.ask_many([request], on_error="raise"),
        "journal": lambda: chat.ask_many([request], journal=folder / "a.jsonl", on_error="raise"),
        "samples": lambda: chat.ask("?", url, num_samples=2),
        "conversation": lambda: chat.start().ask("?", url),
    }


@pytest.mark.parametrize(
    "entrance",
    ["ask", "plan", "stream", "ask_async", "ask_many", "journal", "samples", "conversation"],
)
def test_each_entrance_collects_fetches_and_measures_a_picture_once(
    entrance: str, calls: Counter[str], web: Server, tmp_path: Path
) -> None:
    url = web.url(host="127.0.0.1")
    _entrances(_chat(web), url, tmp_path)[entrance]()
    assert len(web.asked) == 1
    assert calls["measure"] == 1
    assert calls["decode"] == (0 if entrance == "plan" else 1)
    assert calls["walk"] == (2 if entrance == "conversation" else 1)  # a conversation keeps bytes


def test_a_batch_that_shows_a_picture_twice_fetches_it_once(
    calls: Counter[str], web: Server
) -> None:
    url = web.url(host="127.0.0.1")
    requests = [Request.about(f"{number}?", url) for number in range(2)]
    _chat(web).ask_many(requests, on_error="raise")
    assert len(web.asked) == 1
    assert calls["walk"] == calls["measure"] == calls["decode"] == 2


def test_a_request_that_shows_a_picture_twice_fetches_it_once(
    calls: Counter[str], web: Server
) -> None:
    url = web.url(host="127.0.0.1")
    _chat(web).ask("?", url, url)
    assert len(web.asked) == 1
    assert calls["walk"] == 1
    assert calls["measure"] == calls["decode"] == 2


def test_a_journal_that_knows_the_answer_opens_nothing(
    calls: Counter[str], web: Server, tmp_path: Path
) -> None:
    for _ in range(2):
        request = Request.about("?", web.url(host="127.0.0.1"))
        _chat(web).ask_many([request], journal=tmp_path / "a.jsonl", on_error="raise")
    assert len(web.asked) == 1
    assert calls["walk"] == calls["measure"] == calls["decode"] == 1


@pytest.mark.parametrize("show", [DocumentPart, ImagePart])
def test_a_document_is_opened_once_to_be_measured_and_once_to_be_drawn(
    show: Callable[[bytes], DocumentPart | ImagePart], calls: Counter[str]
) -> None:
    part = show(pdf_of("red", "lime", "blue"))
    reply = _chat(context_tokens=100_000).ask([Message.user(part, part, "?")])
    assert len(reply.plan.images) == 6
    assert calls == {"walk": 1, "document": 1, "draw": 1}


def test_a_film_is_measured_once(calls: Counter[str], tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", 10)
    _chat().ask([Message.user(VideoPart(film, num_frames=2), "?")])
    assert calls == {"walk": 1, "film": 1}


def test_shrinking_to_the_context_measures_once(calls: Counter[str]) -> None:
    chat = _chat(context_tokens=200)
    plan = chat.ask("?", _png(), _png("blue"), fit="shrink").plan
    assert plan.degradations
    assert calls == {"walk": 1, "measure": 2, "decode": 2}


def test_a_request_that_runs_out_of_memory_is_only_decoded_anew(
    calls: Counter[str], web: Server
) -> None:
    tokens = []

    def answer(request: BackendRequest) -> str:
        tokens.append(request.plan.visual_tokens)
        if len(tokens) == 1:
            raise OutOfMemoryError("too little memory")
        return "yes"

    chat = VisionChat(ScriptedBackend(answer), media=admitting(web))
    reply = chat.ask("Is photo.jpg shown?", web.url(host="127.0.0.1"), fit="shrink")
    assert tokens[1] <= tokens[0] // 2
    assert reply.plan.visual_tokens == tokens[1]
    assert len(web.asked) == 1
    assert calls == {"walk": 1, "measure": 1, "decode": 2}


@pytest.mark.filterwarnings("ignore::qwenvl_kit.errors.QwenVLKitWarning")
def test_a_retry_for_memory_keeps_the_warnings_of_the_plan() -> None:
    chat = VisionChat(ScriptedBackend([OutOfMemoryError("too little memory"), "yes"]))
    messages = [
        Message.user("photo.jpg"),
        Message.assistant("I see."),
        Message.user(ImagePart(_png()), "?"),
    ]
    warned = chat.plan(messages).warnings
    assert warned
    assert chat.ask(messages, fit="shrink").plan.warnings == warned


def test_items_go_through_the_stages_without_losing_what_is_known(tmp_path: Path) -> None:
    film = write_video(tmp_path / "film.mp4", 10)
    (tmp_path / "a.png").write_bytes(_png())
    parts = ImagePart(tmp_path / "a.png"), VideoPart(film, num_frames=2), ImagePart(_png("blue"))
    messages = [Message.user("Look:", *parts, "?")]
    policy = MediaPolicy()
    opened, items = open_media(messages, policy)
    assert opened == tuple(messages)
    assert [item.where for item in items] == [f"messages[0].parts[{at}]" for at in (1, 2, 3)]
    assert [item.part for item in items] == list(parts)
    plan = _chat().plan(messages, budget=PixelBudget(max_tokens=16))
    identified = identify_media(with_plan(items, plan), policy)
    assert [item.plan for item in identified] == list(plan.media.values())
    assert len({item.key for item in identified}) == 3
    decoded = decode_media(identified, policy)
    assert [item.key for item in decoded] == [item.key for item in identified]
    for item in decoded:
        resized = item.plan.resized  # type: ignore[union-attr]
        is_image = isinstance(item.plan, ImagePlan)
        width, height = item.content.size if is_image else item.content.shape[2:0:-1]
        assert (width, height) == (resized.width_px, resized.height_px)


def test_an_item_that_has_content_is_not_decoded(calls: Counter[str]) -> None:
    policy = MediaPolicy()
    messages = [Message.user(ImagePart(_png()), DocumentPart(pdf_of("red")), "?")]
    items = with_plan(open_media(messages, policy).items, _chat().plan(messages))
    known = decode_media(items, policy)
    calls.clear()
    assert decode_media(known, policy) == known
    assert not calls


def test_another_plan_leaves_no_content_of_the_one_before() -> None:
    policy, messages = MediaPolicy(), [Message.user(ImagePart(_png()), "?")]
    (item,) = open_media(messages, policy).items
    large, small = (_chat().plan(messages, budget=PixelBudget(max_tokens=n)) for n in (64, 4))
    (decoded,) = decode_media(identify_media(with_plan([item], large), policy), policy)
    (again,) = with_plan([decoded], small)
    assert again.plan == small.images[0]
    assert (again.key, again.content) == (None, None)
    assert again.measure == item.measure


def test_of_several_parts_the_first_that_fails_is_named() -> None:
    messages = [Message.user(ImagePart(_png()), ImagePart("/no/a.png"), ImagePart("/no/b.png"))]
    with pytest.raises(MediaNotFoundError) as caught:
        open_media(messages, MediaPolicy())
    assert caught.value.where == "messages[0].parts[1]"
