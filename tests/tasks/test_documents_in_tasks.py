"""Tasks take documents where they take pictures, and say so where one page is meant."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit import DocumentPart, ImagePart, MediaPolicy, VisionChat
from qwenvl_kit.backends.base import BackendRequest
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    MediaDecodeError,
    MediaNotFoundError,
    MediaSizeError,
    MessageError,
)
from qwenvl_kit.media import pdf
from qwenvl_kit.tasks import (
    classify,
    compare,
    describe,
    document_qa,
    extract,
    locate,
    next_action,
    point_at,
    read_text,
    stream_extract,
)
from tests.media.test_pages import pdf_of
from tests.media.test_tiff_pages import scan_of
from tests.media.web.servers import admitting, response, serving

RED = PIL.Image.new("RGB", (60, 40), "red")
PDF, ONE_PAGE, SCAN = pdf_of("red", "lime", "blue"), pdf_of("red"), scan_of("red", "lime", "blue")


@dataclass
class Total:
    total: int


TASKS: dict[str, tuple[str, Callable[[VisionChat, object], object]]] = {
    "read_text": ("words", read_text),  # type: ignore[arg-type]
    "markdown": ("# A", lambda chat, given: read_text(chat, given, form="markdown")),  # type: ignore[arg-type]
    "describe": ("a page", describe),  # type: ignore[arg-type]
    "extract": ('{"total": 3}', lambda chat, given: extract(chat, given, Total)),  # type: ignore[arg-type]
    "stream_extract": (
        '{"total": 3}',
        lambda chat, given: list(stream_extract(chat, given, Total)),  # type: ignore[arg-type]
    ),
    "classify": ("bill", lambda chat, given: classify(chat, given, ["bill", "letter"])),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("task", list(TASKS))
@pytest.mark.parametrize("given", [PDF, SCAN, DocumentPart(PDF), ImagePart(PDF)])
def test_a_task_about_pictures_sees_all_pages(task: str, given: object) -> None:
    answer, run = TASKS[task]

    def script(request: BackendRequest) -> str:
        return (request.constraint and request.constraint.only_answer) or answer

    backend = ScriptedBackend(script, context_tokens=100_000)
    run(VisionChat(backend), given)
    assert len(backend.requests[0].plan.images) == 3
    assert "Page 3:" in backend.requests[0].messages[-1].text


def test_two_documents_are_compared_page_by_page() -> None:
    backend = ScriptedBackend(["same"], context_tokens=100_000)
    compare(VisionChat(backend), PDF, DocumentPart(PDF, pages=(2,)))
    assert [where[17:] for where in backend.requests[0].plan.media] == [
        "[0].pages[1]",
        "[0].pages[2]",
        "[0].pages[3]",
        "[1].pages[2]",
    ]


SEARCHES: dict[str, Callable[[VisionChat, object], object]] = {
    "locate": lambda chat, given: locate(chat, given, "a cat"),  # type: ignore[arg-type]
    "point_at": lambda chat, given: point_at(chat, given, "a cat"),  # type: ignore[arg-type]
    "lines": lambda chat, given: read_text(chat, given, form="lines"),  # type: ignore[arg-type]
    "next_action": lambda chat, given: next_action(chat, given, "buy it"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("search", list(SEARCHES))
@pytest.mark.parametrize("given", [PDF, SCAN, DocumentPart(PDF, pages=(1, 2))])
def test_a_search_in_several_pages_is_refused_before_anything_is_asked(
    search: str, given: object
) -> None:
    backend = ScriptedBackend([], context_tokens=100_000)
    with pytest.raises(MessageError, match="pages was given") as caught:
        SEARCHES[search](VisionChat(backend), given)
    assert "pages=[1]" in caught.value.hint
    assert not backend.requests


@pytest.mark.parametrize("given", [ONE_PAGE, ImagePart(ONE_PAGE), DocumentPart(PDF, pages=(1,))])
def test_boxes_are_in_pixels_of_the_page_and_can_be_drawn_on_it(given: object) -> None:
    answer = '[{"bbox_2d": [100, 100, 500, 500], "label": "a"}]'
    backend = ScriptedBackend([answer], family="qwen3_vl", context_tokens=100_000)
    boxes = locate(VisionChat(backend), given, "a")  # type: ignore[arg-type]
    assert boxes.image_size == backend.requests[0].plan.images[0].original
    assert (boxes.image_size.width_px, boxes.image_size.height_px) == (400, 200)
    assert (boxes[0].x2_px, boxes[0].y2_px) == (200, 100)
    assert boxes.draw().size == (400, 200)


def _documents(folder: Path) -> dict[str, object]:
    (folder / "a.pdf").write_bytes(PDF)
    (folder / "noname").write_bytes(PDF)
    (folder / "a.tiff").write_bytes(SCAN)
    return {
        "path": folder / "a.pdf",
        "file without an ending": folder / "noname",
        "file URL": (folder / "noname").as_uri(),
        "data URL": "data:application/pdf;base64," + base64.b64encode(PDF).decode(),
        "bytes": PDF,
        "scan": folder / "a.tiff",
        "bytes of a scan": SCAN,
    }


@pytest.mark.parametrize(
    "form",
    ["path", "file without an ending", "file URL", "data URL", "bytes", "scan", "bytes of a scan"],
)
def test_questions_about_some_pages_of_a_document(tmp_path: Path, form: str) -> None:
    document = _documents(tmp_path)[form]
    backend = ScriptedBackend(lambda _: '{"answer": "x", "page": 3}', context_tokens=100_000)
    answer = document_qa(VisionChat(backend), document, "Who?", pages=[3, 2])["Who?"]  # type: ignore[arg-type]
    assert (answer.pages, answer.page, answer.text) == ((3, 2), 3, "x")
    answer = document_qa(VisionChat(backend), document, "Who?")["Who?"]  # type: ignore[arg-type]
    assert answer.pages == (1, 2, 3)
    with pytest.raises(MediaSizeError, match="page 4"):
        document_qa(VisionChat(backend), document, "Who?", pages=[4])  # type: ignore[arg-type]


def test_questions_about_a_document_part_follow_its_own_settings() -> None:
    backend = ScriptedBackend(lambda _: '{"answer": "x", "page": 2}', context_tokens=100_000)
    part = DocumentPart(PDF, pages=(2, 3), page_name="Sheet {}:", dpi=36, budget="native")
    answer = document_qa(VisionChat(backend), part, "Who?")["Who?"]
    assert answer.pages == (2, 3)
    assert "Sheet 3:" in backend.requests[0].messages[0].text
    assert {str(image.original) for image in backend.requests[0].plan.images} == {"100 x 50 px"}
    for settings in ({"pages": [1]}, {"password": "x"}):
        with pytest.raises(MessageError, match="together with a DocumentPart"):
            document_qa(VisionChat(backend), part, "Who?", **settings)  # type: ignore[arg-type]


def test_a_list_of_pages_and_a_picture_have_no_pages_to_choose_from() -> None:
    picture = PIL.Image.new("RGB", (60, 40))
    chat = VisionChat(ScriptedBackend([]))
    for document in ([picture, picture], picture, ImagePart(PDF)):
        for settings in ({"pages": [1]}, {"password": "x"}):
            with pytest.raises(MessageError, match="given with pictures"):
                document_qa(chat, document, "Who?", **settings)  # type: ignore[arg-type]


def test_a_scan_of_one_page_has_a_first_page() -> None:
    chat = VisionChat(ScriptedBackend(lambda _: "x"))
    assert document_qa(chat, scan_of("red"), "Who?", pages=[1])["Who?"].page == 1
    assert document_qa(chat, ImagePart(scan_of("red")), "Who?")["Who?"].page == 1


def test_a_document_among_pages_must_be_one_page() -> None:
    backend = ScriptedBackend(lambda _: '{"answer": "x", "page": 2}')
    mixed = [ONE_PAGE, DocumentPart(PDF, pages=(2,)), PIL.Image.new("RGB", (60, 40))]
    assert document_qa(VisionChat(backend), mixed, "Who?")["Who?"].pages == (1, 2, 3)
    for item in (PDF, SCAN, DocumentPart(PDF)):
        with pytest.raises(MessageError, match="3 pages") as caught:
            document_qa(VisionChat(backend), [ONE_PAGE, item], "Who?")  # type: ignore[list-item]
        assert caught.value.where == "document[1]"


def test_a_picture_that_is_missing_fails_its_questions_and_not_the_call() -> None:
    chat = VisionChat(ScriptedBackend([]))
    for document in ("/no/such.png", [RED, "/no/such.png"], "https://example.com/a"):
        assert set(document_qa(chat, document, "Who?").failures) == {"Who?"}
    with pytest.raises(MediaNotFoundError):
        document_qa(chat, "/no/such.pdf", "Who?")


def test_a_document_on_the_network_is_known_by_what_it_holds() -> None:
    with serving({"/a": response(PDF)}) as server:
        url = server.url("/a", host="127.0.0.1")
        backend = ScriptedBackend(lambda _: '{"answer": "x", "page": 2}', context_tokens=100_000)
        chat = VisionChat(backend, media=admitting(server))
        for document in (url, DocumentPart(url)):
            assert document_qa(chat, document, "Who?")["Who?"].pages == (1, 2, 3)
            assert len(chat.plan("?", document).images) == 3  # type: ignore[arg-type]
        assert len(server.asked) == 4


def test_a_document_is_drawn_once_for_all_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, draw = list[int](), pdf.PdfPages.draw

    def counted(self: pdf.PdfPages, number: int, dpi: float) -> PIL.Image.Image:
        drawn.append(number)
        return draw(self, number, dpi)

    monkeypatch.setattr(pdf.PdfPages, "draw", counted)
    backend = ScriptedBackend(lambda _: '{"answer": "x", "page": 1}', context_tokens=100_000)
    questions = [f"Question {number}?" for number in range(8)]
    chat = VisionChat(backend, media=MediaPolicy(isolate_images=False))
    assert not document_qa(chat, PDF, questions).failures
    assert sorted(drawn) == [1, 2, 3]


def test_a_document_that_is_none_is_told() -> None:
    with pytest.raises(MediaDecodeError):
        document_qa(VisionChat(ScriptedBackend([])), b"%PDF-1.7", "Who?")
