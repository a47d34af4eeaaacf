"""Pages of a document are remembered as pictures are, and no other page is taken for one."""

from __future__ import annotations

import io
from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit import DocumentPart, ImagePart, Message, PixelBudget, Reply, Sampling, VisionChat
from qwenvl_kit.backends.local import load_backend
from qwenvl_kit.media import pdf
from qwenvl_kit.media.pages import read_pages
from qwenvl_kit.media.policy import MediaPolicy
from tests.by_hand import ids_of
from tests.media.test_pages import pdf_of
from tests.media.test_tiff_pages import scan_of

SHORT, SMALL = Sampling(max_new_tokens=6), PixelBudget(max_tokens=16)
PDF = pdf_of("red", "lime", "blue")


@pytest.fixture
def chat(tiny_folder: Path) -> VisionChat:
    """A chat with a cache of its own, which is empty."""
    here = MediaPolicy(isolate_images=False)  # so that what is drawn can be counted
    return VisionChat(load_backend(tiny_folder), media=here, budget=SMALL)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Which pages were drawn."""
    numbers, draw = list[int](), pdf.PdfPages.draw

    def counted(self: pdf.PdfPages, number: int, dpi: float) -> PIL.Image.Image:
        numbers.append(number)
        return draw(self, number, dpi)

    monkeypatch.setattr(pdf.PdfPages, "draw", counted)
    return numbers


def _same(one: Reply, other: Reply) -> bool:
    return ids_of(one) == ids_of(other) and one.plan.prompt_tokens == other.plan.prompt_tokens


@pytest.mark.parametrize("as_path", [False, True])
def test_a_page_that_was_seen_is_not_drawn_again(
    chat: VisionChat, drawn: list[int], tmp_path: Path, as_path: bool
) -> None:
    (tmp_path / "a.pdf").write_bytes(PDF)
    source = tmp_path / "a.pdf" if as_path else PDF
    first = chat.ask("What?", source, sampling=SHORT)
    assert sorted(drawn) == [1, 2, 3]
    assert _same(first, chat.ask("What?", source, sampling=SHORT))
    chat.ask("Why?", DocumentPart(source, pages=(3, 1)), sampling=SHORT)
    assert len(drawn) == 3
    chat.ask("Why?", DocumentPart(source, pages=(2,), dpi=72), sampling=SHORT)
    assert len(drawn) == 4


@pytest.mark.parametrize("content", [PDF, scan_of("red", "lime", "blue")])
def test_a_document_is_answered_as_its_pages_given_as_pictures(
    chat: VisionChat, content: bytes
) -> None:
    pages = [page.image for page in read_pages(content, MediaPolicy())]
    named: list[object] = []
    for number, page in enumerate(pages, 1):
        buffer = io.BytesIO()
        page.save(buffer, "PNG")
        named += [f"Page {number}:", ImagePart(buffer.getvalue())]
    by_hand = chat.ask([Message.user(*named, "What?")], sampling=SHORT)  # type: ignore[arg-type]
    chat.clear_cache()
    assert _same(chat.ask("What?", content, sampling=SHORT), by_hand)


def test_a_file_that_was_written_anew_is_drawn_anew(
    chat: VisionChat, drawn: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_of("red"))
    chat.ask("What?", path, sampling=SHORT)
    path.write_bytes(pdf_of("lime"))
    chat.ask("What?", path, sampling=SHORT)
    assert drawn == [1, 1]
