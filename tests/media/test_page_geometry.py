"""A page has the size, the side up and the layers that a viewer shows."""

from __future__ import annotations

import io
import zlib

import pypdfium2
import pytest

from qwenvl_kit.errors import MediaSizeError
from qwenvl_kit.media.pages import measure_pages, read_pages
from qwenvl_kit.media.pdf_units import may_have_units
from qwenvl_kit.media.policy import MediaPolicy
from tests.pdfs import SQUARE, drawing, layered, page_of

POLICY = MediaPolicy()


def _size(content: bytes, dpi: float = 72) -> tuple[int, int]:
    """Width and height of the page, which its measure has foretold."""
    ((_, image),) = read_pages(content, POLICY, dpi=dpi)
    ((_, size),) = measure_pages(content, POLICY, None, dpi, None)
    assert (size.width_px, size.height_px) == image.size
    return image.size


def _ink(content: bytes) -> int:
    ((_, image),) = read_pages(content, POLICY, dpi=72)
    return sum(image.convert("L").histogram()[:200])


@pytest.mark.parametrize(
    ("page", "size"),
    [
        (b"", (300, 200)),
        (b"/UserUnit 2", (600, 400)),
        (b"/UserUnit 2.5", (750, 500)),
        (b"/UserUnit .5", (150, 100)),
        (b"/UserUnit 6 0 R", (900, 600)),
        (b"/UserUnit 2/Rotate 90", (400, 600)),
        (b"/UserUnit 2/CropBox[10 10 110 60]", (200, 100)),
        (b"/UserUnit 0", (300, 200)),
        (b"/UserUnit -1", (300, 200)),
        (b"/UserUnit 1e9", (300, 200)),
        (b"/UserUnit (2)", (300, 200)),
        (b"/UserUnit 99 0 R", (300, 200)),
    ],
)
def test_a_page_is_as_large_as_its_units_say(page: bytes, size: tuple[int, int]) -> None:
    assert _size(page_of(b" ", b"3", page=page)) == size


def test_a_page_with_units_is_drawn_whole() -> None:
    plain, doubled = (page_of(SQUARE, page=unit) for unit in (b"", b"/UserUnit 2"))
    assert (_ink(plain), _ink(doubled)) == (10_000, 40_000)


def test_a_text_about_units_is_no_unit() -> None:
    assert _size(page_of(b"BT /F1 9 Tf (/Type/Page/UserUnit 9) Tj ET")) == (300, 200)


def test_units_are_each_pages_own() -> None:
    document, buffer = pypdfium2.PdfDocument.new(), io.BytesIO()
    for unit in (b"", b"/UserUnit 3", b""):
        document.import_pages(pypdfium2.PdfDocument(page_of(page=unit)))
    document.save(buffer)
    pages = read_pages(buffer.getvalue(), POLICY, dpi=72)
    assert [page.image.width for page in pages] == [300, 900, 300]


def test_a_page_that_its_units_make_too_large_is_refused_before_it_is_drawn() -> None:
    content = page_of(page=b"/UserUnit 1000")
    with pytest.raises(MediaSizeError) as caught:
        read_pages(content, POLICY, dpi=72)
    assert caught.value.where == "pages[1]"
    with pytest.raises(MediaSizeError):
        measure_pages(content, POLICY, None, 72, None)


@pytest.mark.parametrize("unit", [b"", b"/UserUnit 3"])
def test_units_are_found_in_packed_objects(unit: bytes) -> None:
    content = _packed(unit)
    assert may_have_units(content) == bool(unit)
    assert _size(content) == ((900, 600) if unit else (300, 200))


@pytest.mark.parametrize("spoilt", [b"/Filter/LZWDecode  ", b"/DecodeParms<</Predictor 12>>"])
def test_packed_objects_that_cannot_be_looked_into_may_hold_units(spoilt: bytes) -> None:
    assert may_have_units(b"<</Type/ObjStm" + spoilt + b">>stream\n\x80\x0b\x60")


def test_a_packed_bomb_is_not_unpacked_and_many_are_not_gone_through() -> None:
    packed = zlib.compress(b" " * 2**24)
    assert may_have_units(b"<</Type/ObjStm>>stream\n" + packed)
    assert may_have_units(b"<</Type/ObjStm>>stream\n" * 100_000)
    assert may_have_units(b"/ObjStm" * 2_000_000)


def test_documents_that_hold_no_units_are_not_looked_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("qwenvl_kit.media.pdf.user_unit", None)
    assert _size(page_of()) == (300, 200)


@pytest.mark.parametrize(
    ("page", "box", "tree", "size"),
    [
        (b"/Rotate 90", b"/MediaBox[0 0 300 200]", b"", (200, 300)),
        (b"/Rotate -90", b"/MediaBox[0 0 300 200]", b"", (200, 300)),
        (b"/Rotate 180", b"/MediaBox[0 0 300 200]", b"", (300, 200)),
        (b"/Rotate 450", b"/MediaBox[0 0 300 200]", b"", (200, 300)),
        (b"", b"", b"/MediaBox[0 0 100 50]/Rotate 90", (50, 100)),
        (b"", b"", b"", (612, 792)),
        (b"", b"/MediaBox[-100 -50 200 150]", b"", (300, 200)),
        (b"", b"/MediaBox[300 200 0 0]", b"", (300, 200)),
        (b"/CropBox[10 10 110 60]", b"/MediaBox[0 0 300 200]", b"", (100, 50)),
        (b"/CropBox[10 10 110 60]/Rotate 270", b"/MediaBox[0 0 300 200]", b"", (50, 100)),
        (b"/CropBox[-50 -50 900 900]", b"/MediaBox[0 0 300 200]", b"", (300, 200)),
        (b"/CropBox[5 5 5 5]", b"/MediaBox[0 0 300 200]", b"", (300, 200)),
        (b"", b"/MediaBox[0 0 595.276 841.89]", b"", (596, 842)),
    ],
)
def test_a_page_is_turned_and_cut_as_viewers_do(
    page: bytes, box: bytes, tree: bytes, size: tuple[int, int]
) -> None:
    assert _size(page_of(page=page, box=box, tree=tree)) == size


@pytest.mark.parametrize("dpi", [72, 100, 144, 150, 299.7])
def test_the_size_of_a_page_is_foretold_to_the_pixel(dpi: float) -> None:
    for side in (594.9, 595.2, 595.276, 841.89):
        _size(page_of(box=b"/MediaBox[0 0 %f 100.3]" % side), dpi)


def test_what_a_crop_box_leaves_out_is_not_shown() -> None:
    corner = (b"/CropBox[0 0 50 50]", b"/CropBox[200 100 300 200]")
    assert [_ink(page_of(SQUARE, page=box)) for box in corner] == [2500, 0]


def test_a_turned_page_is_shown_upright() -> None:
    ((_, image),) = read_pages(page_of(SQUARE, page=b"/Rotate 90"), POLICY, dpi=72)
    grey = image.convert("L")
    assert [grey.getpixel(at) for at in ((5, 5), (195, 5), (5, 295))] == [0, 255, 255]


LAYER = b"/OC/L BDC 0 0 100 100 re f EMC"
VIEW_OFF = b"/Usage<</View<</ViewState/OFF>>/Print<</PrintState/ON>>>>"
PRINT_OFF = b"/Usage<</View<</ViewState/ON>>/Print<</PrintState/OFF>>>>"


@pytest.mark.parametrize(
    ("state", "usage", "is_shown"),
    [
        (b"/ON[6 0 R]", b"", True),
        (b"", b"", True),
        (b"/OFF[6 0 R]", b"", False),
        (b"/BaseState/OFF", b"", False),
        (b"/BaseState/OFF/ON[6 0 R]", b"", True),
        (b"/ON[6 0 R]/AS[<</Event/View/OCGs[6 0 R]/Category[/View]>>]", VIEW_OFF, False),
        (b"/ON[6 0 R]/AS[<</Event/Print/OCGs[6 0 R]/Category[/Print]>>]", PRINT_OFF, True),
    ],
)
def test_a_layer_is_shown_as_a_viewer_shows_it_at_first(
    state: bytes, usage: bytes, is_shown: bool
) -> None:
    assert _ink(layered(LAYER, state, usage=usage)) == (10_000 if is_shown else 0)
    assert _ink(layered(b"/X Do", state, usage=usage, drawn=b"/OC 6 0 R")) == (
        10_000 if is_shown else 0
    )


@pytest.mark.parametrize(
    ("annotation", "is_shown"),
    [
        (b"/Subtype/Stamp/F 4/AP<</N 7 0 R>>", True),
        (b"/Subtype/Stamp/F 0/AP<</N 7 0 R>>", True),
        (b"/Subtype/Stamp/F 2/AP<</N 7 0 R>>", False),
        (b"/Subtype/Stamp/F 32/AP<</N 7 0 R>>", False),
        (b"/Subtype/FreeText/Contents(APPROVED)/AP<</N 7 0 R>>", True),
        (b"/Subtype/Highlight/C[1 0 0]/QuadPoints[80 180 260 180 80 100 260 100]", True),
        (b"/Subtype/Ink/C[1 0 0]/InkList[[90 110 200 170]]", True),
        (b"/Subtype/Square/C[1 0 0]", True),
        (b"/Subtype/Popup/Contents(note)/AP<</N 7 0 R>>", False),
    ],
)
def test_what_was_written_onto_a_page_is_shown(annotation: bytes, is_shown: bool) -> None:
    note = b"<</Type/Annot/Rect[80 100 260 180]%s>>" % annotation
    assert (_ink(page_of(b" ", note, drawing(SQUARE), page=b"/Annots[6 0 R]")) > 50) == is_shown


def _packed(page: bytes) -> bytes:
    """A document whose objects are in a compressed stream (ISO 32000-1, 7.5.7)."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]%s>>" % page,
    ]
    places, body = b"", b""
    for number, content in enumerate(objects, 1):
        places, body = places + b"%d %d " % (number, len(body)), body + content + b" "
    data = zlib.compress(places + body)
    start = b"%PDF-1.7\n"
    packed = b"4 0 obj<</Type/ObjStm/N 3/First %d/Length %d/Filter/FlateDecode>>stream\n"
    content = start + packed % (len(places), len(data)) + data + b"\nendstream endobj\n"
    entries = [(0, 0, 255), *((2, 4, at) for at in range(3)), (1, len(start), 0)]
    entries.append((1, len(content), 0))
    table = b"".join(bytes([kind, at >> 8, at & 255, rank]) for kind, at, rank in entries)
    index = b"5 0 obj<</Type/XRef/Size 6/W[1 2 1]/Root 1 0 R/Length %d>>stream\n" % len(table)
    end = b"\nendstream endobj\nstartxref\n%d\n%%%%EOF\n" % len(content)
    return content + index + table + end
