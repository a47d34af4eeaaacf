"""Pages of a PDF are pictures, and a PDF that cannot be used says why."""

from __future__ import annotations

import io
import itertools
import time
from pathlib import Path

import PIL.Image
import pypdfium2
import pytest
from PIL import ImageChops

from qwenvl_kit.errors import (
    DocumentPasswordError,
    InputError,
    MediaDecodeError,
    MediaError,
    MediaForbiddenError,
    MediaNotFoundError,
    MediaSizeError,
    MediaSourceError,
)
from qwenvl_kit.media.pages import is_pdf, read_pages
from qwenvl_kit.media.policy import MediaPolicy

POLICY, APART = MediaPolicy(isolate_images=False), MediaPolicy(isolate_images=True)


def pdf_of(*colours: str, size: tuple[int, int] = (200, 100)) -> bytes:
    """A PDF with a page of each colour, at 72 dpi."""
    first, *others = (PIL.Image.new("RGB", size, colour) for colour in colours)
    buffer = io.BytesIO()
    first.save(buffer, "PDF", save_all=True, append_images=others)
    return buffer.getvalue()


def test_pages_are_drawn_in_their_order_at_the_size_that_was_asked_for() -> None:
    pages = read_pages(pdf_of("red", "blue"), POLICY, dpi=144)
    assert [page.number for page in pages] == [1, 2]
    red, blue = (page.image for page in pages)
    assert red.size == (400, 200)
    assert red.mode == "RGB"
    assert red.getpixel((50, 50))[0] > 240  # type: ignore[index]
    assert blue.getpixel((50, 50))[2] > 240  # type: ignore[index]


def test_some_pages_may_be_chosen_from_a_file_or_from_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_of("red", "green", "blue"))
    ((number, blue),) = read_pages(path, POLICY, pages=[3], dpi=72)
    assert number == 3
    assert blue.getpixel((5, 5))[2] > 240  # type: ignore[index]
    assert len(read_pages(path.as_uri(), POLICY, dpi=72)) == 3


@pytest.mark.parametrize("pages", [[0], [4], [-1], ["1"], [True], []])
def test_a_page_that_is_not_there_is_refused(pages: list[object]) -> None:
    with pytest.raises(MediaSizeError, match="page"):
        read_pages(pdf_of("red", "green", "blue"), POLICY, pages=pages)  # type: ignore[arg-type]


def test_a_document_of_too_many_pages_is_refused_before_any_is_drawn() -> None:
    document = pypdfium2.PdfDocument.new()
    for _ in range(10_000):
        document.new_page(10, 10)
    buffer = io.BytesIO()
    document.save(buffer)
    document.close()
    with pytest.raises(MediaSizeError, match="10000 pages") as caught:
        read_pages(buffer.getvalue(), POLICY)
    assert "pages=" in caught.value.hint
    assert len(read_pages(buffer.getvalue(), POLICY, pages=[9_999])) == 1


def test_a_page_of_too_many_pixels_is_refused_with_its_number() -> None:
    document = pypdfium2.PdfDocument.new()
    document.new_page(100, 100)
    document.new_page(14_400, 14_400)
    buffer = io.BytesIO()
    document.save(buffer)
    document.close()
    with pytest.raises(MediaSizeError) as caught:
        read_pages(buffer.getvalue(), POLICY)
    assert caught.value.where == "pages[2]"
    assert "dpi" in caught.value.hint


def test_a_damaged_page_is_named_and_the_others_can_be_drawn() -> None:
    content = (
        pdf_of("red", "blue")
        .replace(b"/Kids [ ", b"/Kids [ 9999 0 R ")
        .replace(b"/Count 2", b"/Count 3")
    )
    with pytest.raises(MediaDecodeError, match="page 1") as caught:
        read_pages(content, POLICY)
    assert caught.value.where == "pages[1]"
    assert [page.number for page in read_pages(content, POLICY, pages=[2, 3])] == [2, 3]


def test_pages_without_end_are_not_gone_through() -> None:
    with pytest.raises(MediaSizeError, match="more than 200"):
        read_pages(pdf_of("red"), POLICY, pages=itertools.repeat(1))


@pytest.mark.parametrize("as_path", [True, False])
def test_pages_drawn_in_another_process_are_the_same(tmp_path: Path, as_path: bool) -> None:
    content = pdf_of("red", "green", "blue")
    path = tmp_path / "a.pdf"
    path.write_bytes(content)
    source = path if as_path else content
    here, apart = (read_pages(source, policy, pages=[3, 1]) for policy in (POLICY, APART))
    assert [page.number for page in here] == [page.number for page in apart] == [3, 1]
    for page, other in zip(here, apart):
        assert ImageChops.difference(page.image, other.image).getbbox() is None


def test_no_page_is_overwritten_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    make = PIL.Image.frombytes

    def late(*arguments: object) -> PIL.Image.Image:
        time.sleep(0.3)  # in which the next page is drawn
        return make(*arguments)  # type: ignore[arg-type]

    content = pdf_of("red", "blue", size=(50, 50))
    here = read_pages(content, POLICY, dpi=72)
    monkeypatch.setattr(PIL.Image, "frombytes", late)
    for page, other in zip(here, read_pages(content, APART, dpi=72), strict=True):
        assert ImageChops.difference(page.image, other.image).getbbox() is None


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        (b"%PDF-1.7", {}),
        (b"hello", {}),
        (pdf_of("red"), {"pages": [2]}),
        (pdf_of("red", "blue").replace(b"/Kids [ ", b"/Kids [ 9999 0 R "), {}),
    ],
)
def test_what_cannot_be_drawn_is_told_alike_by_another_process(
    content: bytes, settings: dict[str, list[int]]
) -> None:
    told = []
    for policy in (POLICY, APART):
        with pytest.raises(MediaError) as caught:
            read_pages(content, policy, **settings)
        told.append((type(caught.value), str(caught.value)))
    assert told[0] == told[1]


def test_a_locked_document_is_opened_in_another_process_too(locked_pdf: bytes) -> None:
    with pytest.raises(DocumentPasswordError, match="password of the PDF is wrong"):
        read_pages(locked_pdf, APART, password="wrong")
    assert len(read_pages(locked_pdf, APART, password="secret")) == 1


def test_an_empty_page_is_a_white_picture() -> None:
    document = pypdfium2.PdfDocument.new()
    document.new_page(100, 50)
    buffer = io.BytesIO()
    document.save(buffer)
    document.close()
    ((_, page),) = read_pages(buffer.getvalue(), POLICY, dpi=72)
    assert page.size == (100, 50)
    assert page.getextrema() == ((255, 255),) * 3


def test_a_locked_document_asks_for_its_password(locked_pdf: bytes) -> None:
    with pytest.raises(DocumentPasswordError, match="is locked"):
        read_pages(locked_pdf, POLICY)
    with pytest.raises(DocumentPasswordError, match="password of the PDF is wrong"):
        read_pages(locked_pdf, POLICY, password="wrong")
    assert len(read_pages(locked_pdf, POLICY, password="secret")) == 1


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7", b"%PDF-1.7\n" + b"\0" * 500, b"hello"])
def test_what_is_no_whole_document_is_refused(content: bytes) -> None:
    with pytest.raises(MediaDecodeError, match="damaged"):
        read_pages(content, POLICY)


def test_sources_are_judged_as_those_of_pictures_are() -> None:
    with pytest.raises(MediaNotFoundError):
        read_pages("/no/such.pdf", POLICY)
    with pytest.raises(MediaForbiddenError):
        read_pages("https://example.com/a.pdf", POLICY)
    with pytest.raises(MediaForbiddenError, match="bytes"):
        read_pages(pdf_of("red"), MediaPolicy(max_bytes=10))
    with pytest.raises(MediaSourceError):
        read_pages(PIL.Image.new("RGB", (5, 5)), POLICY)
    with pytest.raises(InputError, match="dpi"):
        read_pages(pdf_of("red"), POLICY, dpi=0)


def test_a_document_is_known_by_its_name_or_its_first_bytes() -> None:
    assert is_pdf("A.PDF")
    assert is_pdf(Path("a.pdf"))
    assert is_pdf(pdf_of("red"))
    assert not any(map(is_pdf, ("a.png", b"\x89PNG", PIL.Image.new("L", (1, 1)), ["a.pdf"])))


@pytest.fixture
def locked_pdf() -> bytes:
    """A document that was locked with "secret" (RC4, 128 bit), written by hand."""
    return _locked(b"secret")


def _locked(password: bytes) -> bytes:
    """PDF 1.7 (ISO 32000-1), 7.6.3: standard security handler, revision 3."""
    import hashlib

    padding = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
    key_of = (password + padding)[:32]
    file_id, permissions = b"0123456789abcdef", -4

    def rc4(key: bytes, data: bytes) -> bytes:
        box, j, out, i = list(range(256)), 0, bytearray(), 0
        for at in range(256):
            j = (j + box[at] + key[at % len(key)]) % 256
            box[at], box[j] = box[j], box[at]
        j = 0
        for byte in data:
            i = (i + 1) % 256
            j = (j + box[i]) % 256
            box[i], box[j] = box[j], box[i]
            out.append(byte ^ box[(box[i] + box[j]) % 256])
        return bytes(out)

    owner_key = hashlib.md5(key_of).digest()
    for _ in range(50):
        owner_key = hashlib.md5(owner_key).digest()
    owner = key_of
    for step in range(20):
        owner = rc4(bytes(byte ^ step for byte in owner_key), owner)
    key = hashlib.md5(key_of + owner + permissions.to_bytes(4, "little", signed=True) + file_id)
    digest = key.digest()
    for _ in range(50):
        digest = hashlib.md5(digest).digest()
    user = hashlib.md5(padding + file_id).digest()
    for step in range(20):
        user = rc4(bytes(byte ^ step for byte in digest), user)
    user += b"\0" * 16
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 50]>>",
        b"<</Filter/Standard/V 2/R 3/Length 128/P -4/O<%s>/U<%s>>>"
        % (owner.hex().encode(), user.hex().encode()),
    ]
    body, offsets = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj%sendobj\n" % (number, content)
    start = len(body)
    body += b"xref\n0 5\n0000000000 65535 f \n"
    body += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    ident = file_id.hex().encode()
    body += b"trailer<</Size 5/Root 1 0 R/Encrypt 4 0 R/ID[<%s><%s>]>>\n" % (ident, ident)
    return body + b"startxref\n%d\n%%%%EOF\n" % start
