"""A document is asked about as a picture is: its pages are shown in its place."""

from __future__ import annotations

import asyncio
import base64
import io
import sys
import threading
from collections.abc import Callable
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
    Region,
    Request,
    VideoPart,
    VisionChat,
)
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    ContextLengthError,
    DocumentPasswordError,
    MediaDecodeError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaSizeError,
    MediaSourceError,
    MissingPackageError,
)
from qwenvl_kit.media import documents
from qwenvl_kit.results import Failure
from tests.media.test_pages import _locked, pdf_of
from tests.pdfs import form_of

PDF = pdf_of("red", "lime", "blue")
RED, LIME, BLUE = (254, 0, 0), (0, 255, 1), (0, 0, 254)


def _chat(**policy: Any) -> tuple[VisionChat, ScriptedBackend]:
    backend = ScriptedBackend(lambda _: "yes", context_tokens=100_000)
    return VisionChat(backend, media=MediaPolicy(**policy)), backend


def _seen(backend: ScriptedBackend) -> tuple[str, list[str]]:
    """What the model was told last, and the colours that it was shown."""
    names = {"red": RED, "lime": LIME, "blue": BLUE}
    request = backend.requests[-1]
    shown = []
    for image in request.media:
        pixel: Any = image.getpixel((5, 5))  # type: ignore[union-attr]
        shown.append(min(names, key=lambda n: sum(abs(a - b) for a, b in zip(names[n], pixel))))
    return request.messages[-1].text, shown


def _forms(folder: Path) -> dict[str, object]:
    (folder / "a.pdf").write_bytes(PDF)
    (folder / "noname").write_bytes(PDF)
    encoded = base64.b64encode(PDF).decode()
    return {
        "path": folder / "a.pdf",
        "name": str(folder / "a.pdf"),
        "file without an ending": folder / "noname",
        "file URL": (folder / "a.pdf").as_uri(),
        "bytes": PDF,
        "bytearray": bytearray(PDF),
        "data URL": f"data:application/pdf;base64,{encoded}",
        "data URL of another type": f"data:application/octet-stream;base64,{encoded}",
        "data URL in lines": f"data:application/pdf;base64,{encoded[:60]}\n{encoded[60:]}",
        "after a mark of its encoding": b"\xef\xbb\xbf" + PDF,
        "after the words of a server": b"HTTP/1.1 200 OK\r\n\r\n" + PDF,
        "part": DocumentPart(PDF),
        "picture part": ImagePart(PDF),
    }


FORMS = (
    "path", "name", "file without an ending", "file URL", "bytes", "bytearray", "data URL",
    "data URL of another type", "data URL in lines", "after a mark of its encoding",
    "after the words of a server", "part", "picture part",
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("isolate", [False, True])
def test_a_pdf_is_known_by_its_bytes_however_it_is_given(
    tmp_path: Path, form: str, isolate: bool
) -> None:
    chat, backend = _chat(isolate_images=isolate)
    chat.ask("What?", _forms(tmp_path)[form])  # type: ignore[arg-type]
    assert _seen(backend) == ("Page 1:Page 2:Page 3:What?", ["red", "lime", "blue"])


def _ways(chat: VisionChat) -> dict[str, Callable[[], object]]:
    def streamed() -> object:
        with chat.stream("What?", PDF) as stream:
            return list(stream)

    return {
        "ask": lambda: chat.ask("What?", PDF),
        "stream": streamed,
        "ask_async": lambda: asyncio.run(chat.ask_async("What?", PDF)),
        "ask_many": lambda: chat.ask_many([Request.about("What?", PDF)], on_error="raise"),
        "conversation": lambda: chat.start().ask("What?", PDF),
        "samples": lambda: chat.ask("What?", PDF, num_samples=1),
        "messages": lambda: chat.ask([Message.user(ImagePart(PDF), "What?")]),
        "dicts": lambda: chat.ask(
            [{"role": "user", "content": [{"type": "image", "image": PDF}, "What?"]}]
        ),
    }


@pytest.mark.parametrize(
    "way",
    ["ask", "stream", "ask_async", "ask_many", "conversation", "samples", "messages", "dicts"],
)
def test_every_entrance_shows_all_pages(way: str) -> None:
    chat, backend = _chat()
    _ways(chat)[way]()
    assert _seen(backend) == ("Page 1:Page 2:Page 3:What?", ["red", "lime", "blue"])


def test_a_plan_has_an_entry_for_each_page_and_draws_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwenvl_kit.media.pdf.PdfPages.draw", None)
    plan = _chat()[0].plan("What?", PDF)
    assert [image.where for image in plan.images] == [
        f"messages[0].parts[0].pages[{number}]" for number in (1, 2, 3)
    ]
    assert {str(image.original) for image in plan.images} == {"400 x 200 px"}
    assert "messages[0].parts[0].pages[3]" in str(plan)


def test_pages_are_shown_in_the_order_that_was_asked_for() -> None:
    chat, backend = _chat()
    reply = chat.ask("What?", DocumentPart(PDF, pages=(3, 1)))
    assert _seen(backend) == ("Page 3:Page 1:What?", ["blue", "red"])
    assert [where[-8:] for where in reply.plan.media] == ["pages[3]", "pages[1]"]


def test_a_single_page_has_no_name_before_it() -> None:
    chat, backend = _chat()
    chat.ask("What?", DocumentPart(PDF, pages=(2,)))
    assert _seen(backend) == ("What?", ["lime"])


def test_what_stands_around_a_document_keeps_its_place() -> None:
    chat, backend = _chat()
    picture = PIL.Image.new("RGB", (60, 60), "lime")
    parts = ["Look:", DocumentPart(PDF, page_name="<{}>"), ImagePart(picture), ImagePart(PDF), "?"]
    reply = chat.ask([Message.system("s"), Message.user(*parts)])
    text, shown = _seen(backend)
    assert text == "Look:\n<1><2><3>Page 1:Page 2:Page 3:?"
    assert shown == ["red", "lime", "blue", "lime", "red", "lime", "blue"]
    assert list(reply.plan.media)[3] == "messages[1].parts[2]"
    assert list(reply.plan.media)[4] == "messages[1].parts[3].pages[1]"


def test_a_part_that_stands_twice_is_shown_twice() -> None:
    chat, backend = _chat()
    part = ImagePart(PDF, budget=PixelBudget(max_tokens=16))
    reply = chat.ask([Message.user(part, part, "?")])
    assert len(reply.plan.media) == 6
    assert _seen(backend)[1] == ["red", "lime", "blue"] * 2


def test_settings_of_a_part_hold_for_each_page() -> None:
    chat, _ = _chat()
    cut = ImagePart(PDF, crop=Region(0, 0, 100, 50), budget=PixelBudget(max_tokens=4))
    plans = chat.plan([Message.user(cut, "?")]).images
    assert [(plan.crop, plan.tokens <= 4) for plan in plans] == [(cut.crop, True)] * 3
    exact = ImagePart(PDF, height_px=56, width_px=84)
    assert {str(plan.resized) for plan in chat.plan([Message.user(exact, "?")]).images} == {
        "84 x 56 px"
    }
    fine = chat.plan("?", DocumentPart(PDF, dpi=36, budget="native")).images
    assert {str(plan.original) for plan in fine} == {"100 x 50 px"}


def test_a_budget_is_shared_by_the_pages_of_a_request() -> None:
    chat, _ = _chat()
    budget = PixelBudget(total_tokens=60)
    plan = chat.plan("?", PDF, PIL.Image.new("RGB", (400, 400)), budget=budget)
    assert plan.visual_tokens <= 60
    assert len(plan.images) == 4


def test_a_long_document_is_refused_or_shrunk_as_pictures_are() -> None:
    chat = VisionChat(ScriptedBackend(["yes"], context_tokens=200))
    with pytest.raises(ContextLengthError, match="shrink"):
        chat.ask("?", PDF)
    assert chat.plan("?", PDF, fit="shrink").fits


def test_a_conversation_goes_on_seeing_a_document() -> None:
    chat, backend = _chat()
    talk = chat.start()
    talk.ask("First?", PDF)
    reply = talk.ask("Second?")
    assert len(reply.plan.images) == 3
    assert _seen(backend)[0] == "Second?"
    assert isinstance(talk.messages[0].parts[0], ImagePart)


def test_a_page_that_is_damaged_is_named_and_the_others_can_be_asked_about() -> None:
    content = PDF.replace(b"/Kids [ ", b"/Kids [ 9999 0 R ").replace(b"/Count 3", b"/Count 4")
    chat, backend = _chat()
    with pytest.raises(MediaDecodeError, match="page 1") as caught:
        chat.ask([Message.user("Look:", ImagePart(content), "?")])
    assert caught.value.where == "messages[0].parts[1].pages[1]"
    assert "DocumentPart" in caught.value.hint
    chat.ask("?", DocumentPart(content, pages=(2, 4)))
    assert _seen(backend)[1] == ["red", "blue"]


def test_a_document_that_fails_costs_its_own_request_alone() -> None:
    chat, _ = _chat()
    requests = [Request.about("?", content) for content in (PDF, PDF[:300], PDF)]
    first, failed, last = chat.ask_many(requests)
    assert isinstance(failed, Failure)
    assert failed.error.where == "requests[1].messages[0].parts[0]"
    assert not isinstance(first, Failure)
    assert not isinstance(last, Failure)


@pytest.mark.parametrize(
    ("part", "policy", "error", "where"),
    [
        (DocumentPart(PDF, pages=(9,)), {}, MediaSizeError, ".pages"),
        (ImagePart(PDF), {"max_pages": 2}, MediaSizeError, ""),
        (ImagePart(PDF), {"max_bytes": 10}, MediaForbiddenError, ""),
        (ImagePart(PDF), {"max_pixels": 100}, MediaSizeError, ".pages[1]"),
        (DocumentPart("https://example.com/a.pdf"), {}, MediaForbiddenError, ""),
        (DocumentPart("/no/such.pdf"), {}, MediaNotFoundError, ""),
        (ImagePart(_locked(b"secret")), {}, DocumentPasswordError, ""),
        (DocumentPart(_locked(b"secret"), password="wrong"), {}, DocumentPasswordError, ""),
        (DocumentPart(b"hello"), {}, MediaDecodeError, ""),
    ],
)
def test_a_document_that_cannot_be_used_is_told_with_its_place(
    part: Any, policy: dict[str, Any], error: type[Exception], where: str
) -> None:
    for isolate in (False, True):
        chat, _ = _chat(**policy, isolate_images=isolate)
        with pytest.raises(error) as caught:
            chat.plan([Message.user("Look:", part, "?")])
        assert caught.value.where == f"messages[0].parts[1]{where}"  # type: ignore[attr-defined]


def test_a_locked_document_is_opened_by_its_password() -> None:
    chat, _ = _chat()
    assert chat.ask("?", DocumentPart(_locked(b"secret"), password="secret")).text == "yes"


def test_files_are_fenced_in_for_documents_too(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    chat, _ = _chat(allow_folders=[str(tmp_path / "elsewhere")])
    for part in (DocumentPart(tmp_path / "a.pdf"), ImagePart(tmp_path / "a.pdf")):
        with pytest.raises(MediaForbiddenError):
            chat.plan([Message.user(part, "?")])


@pytest.mark.parametrize("isolate", [False, True])
def test_without_pypdfium2_a_pdf_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, isolate: bool
) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    chat, _ = _chat(isolate_images=isolate)
    with pytest.raises(MissingPackageError) as caught:
        chat.ask("?", PDF)
    assert "qwenvl-kit[pdf]" in caught.value.hint
    pages = [PIL.Image.new("RGB", (60, 40)) for _ in range(2)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    assert len(chat.plan("?", buffer.getvalue()).images) == 2


def test_a_picture_that_mentions_a_pdf_is_a_picture() -> None:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (60, 40)).save(buffer, "JPEG", comment=b"scanned for %PDF-1.7")
    plan = _chat()[0].plan("?", buffer.getvalue())
    assert [image.where for image in plan.images] == ["messages[0].parts[0]"]


def test_a_pdf_as_a_film_is_refused_with_the_way_to_show_it(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    for source in (PDF, tmp_path / "a.pdf"):
        with pytest.raises(MediaSourceError, match="PDF") as caught:
            _chat()[0].ask([Message.user(VideoPart(source), "?")])
        assert "DocumentPart" in caught.value.hint


def test_a_filled_form_is_seen() -> None:
    chat, backend = _chat()
    chat.ask("Who?", form_of(b"/FT/Tx/V(JOHN SMITH)"))
    (page,) = backend.requests[0].media
    assert page.getextrema()[0][0] < 100  # type: ignore[union-attr,index]


def test_one_page_at_a_time_is_held_at_its_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    alive, most = [0], [0]
    draw = documents.pages_of

    class Counted(PIL.Image.Image):
        def __del__(self) -> None:
            alive[0] -= 1

    def counted(*arguments: Any) -> Any:
        for page in draw(*arguments):
            image = page.image
            image.__class__ = Counted
            alive[0] += 1
            most[0] = max(most[0], alive[0])
            yield page._replace(image=image)
            del image, page

    monkeypatch.setattr(documents, "pages_of", counted)
    chat, _ = _chat()
    chat.ask("?", pdf_of(*["red"] * 12), budget=PixelBudget(max_tokens=4))
    assert 1 <= most[0] <= 2


def test_the_same_document_is_drawn_by_many_threads_at_once() -> None:
    chat, _ = _chat()
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            chat.ask("?", PDF)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_a_journal_knows_a_document_by_its_bytes(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        (tmp_path / name).write_bytes(PDF)
    journal = tmp_path / "journal"
    chat, backend = _chat()
    for name in ("a.pdf", "b.pdf"):
        part = DocumentPart(tmp_path / name, pages=(1, 3), password="x")
        chat.ask_many([Request.about("?", part, id="one")], journal=journal)
    assert len(backend.requests) == 1
    assert "password" not in journal.read_text()


@pytest.mark.filterwarnings("ignore::qwenvl_kit.errors.QwenVLKitWarning")
def test_a_warning_names_the_place_that_was_given_and_not_one_after_the_pages() -> None:
    chat, _ = _chat()
    messages = [Message.user(DocumentPart(PDF), "<image>What is it?")]
    (planned,) = chat.plan(messages).warnings
    assert "parts[1]" in planned
    assert chat.ask(messages).warnings == (planned,)
