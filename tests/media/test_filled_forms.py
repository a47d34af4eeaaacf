"""What was filled into a PDF is seen, and nothing in a form is run."""

from __future__ import annotations

import logging
import threading
from types import SimpleNamespace

import pypdfium2
import pytest

from qwenvl_kit.errors import MediaDecodeError, UnsupportedFeatureError
from qwenvl_kit.media.pages import read_pages
from qwenvl_kit.media.policy import MediaPolicy
from tests.pdfs import drawing, form_of, page_of

POLICY, APART = MediaPolicy(isolate_images=False), MediaPolicy(isolate_images=True)
TEXT = drawing(b"/Tx BMC q BT /F1 14 Tf 0 g 2 5 Td (JOHN SMITH) Tj ET Q EMC", height=30)
TICK, NOTHING = drawing(b"0 0 30 30 re f", height=30), drawing(b" ", height=30)


def _ink(content: bytes, policy: MediaPolicy = POLICY) -> int:
    """Dark pixels of the page; all of them are the field's."""
    ((_, image),) = read_pages(content, policy, dpi=72)
    return sum(image.convert("L").histogram()[:128])


@pytest.mark.parametrize(
    ("field", "more", "form"),
    [
        (b"/FT/Tx/V(JOHN SMITH)/AP<</N 8 0 R>>", [TEXT], b""),
        (b"/FT/Tx/V(JOHN SMITH)/AP<</N 8 0 R>>", [TEXT], b"/NeedAppearances true"),
        (b"/FT/Tx/V(JOHN SMITH)/AP<</N 8 0 R>>", [NOTHING], b"/NeedAppearances true"),
        (b"/FT/Tx/V(JOHN SMITH)", [], b""),
        (b"/FT/Tx/V(JOHN SMITH)", [], b"/NeedAppearances true"),
        (b"/FT/Tx/V<FEFF004A004F0048004E>", [], b""),
        (b"/FT/Tx/Ff 4096/V(JOHN\nSMITH)", [], b""),
        (b"/FT/Tx/Ff 16777216/MaxLen 12/V(JOHN SMITH)", [], b""),
        (b"/FT/Tx/Ff 8192/V(secret)", [], b""),
        (b"/FT/Ch/Ff 131072/Opt[(Red)(Green)]/V(Green)", [], b""),
        (b"/FT/Ch/Opt[(Red)(Green)]/V(Green)", [], b""),
        (b"/FT/Btn/Ff 65536/MK<</CA(SEND)/BG[0.3]>>", [], b""),
        (b"/FT/Sig/V<</Type/Sig/Filter/Adobe.PPKLite>>/AP<</N 8 0 R>>", [TEXT], b""),
        (b"/FT/Btn/V/Yes/AS/Yes/MK<</CA(4)>>/DA(/ZaDb 0 Tf 0 g)", [], b""),
    ],
)
def test_what_was_filled_in_is_drawn(field: bytes, more: list[bytes], form: bytes) -> None:
    assert _ink(form_of(field, *more, form=form)) > 20


@pytest.mark.parametrize("kind", [b"/FT/Btn", b"/FT/Btn/Ff 32768"])
def test_a_box_or_button_is_drawn_as_it_is_ticked(kind: bytes) -> None:
    states = b"/AP<</N<</Yes 8 0 R/Off 9 0 R>>>>"
    ticked = form_of(kind + b"/V/Yes/AS/Yes" + states, TICK, NOTHING)
    empty = form_of(kind + b"/V/Off/AS/Off" + states, TICK, NOTHING)
    assert _ink(ticked) == 900
    assert _ink(empty) == 0


@pytest.mark.parametrize("flags", [b"/F 2", b"/F 32"])
def test_a_field_that_no_viewer_shows_is_not_drawn(flags: bytes) -> None:
    assert _ink(form_of(b"/FT/Tx/V(JOHN)/AP<</N 8 0 R>>" + flags, TEXT)) == 0


def test_an_empty_field_is_not_coloured() -> None:
    ((_, image),) = read_pages(form_of(b"/FT/Tx/V()"), POLICY, dpi=72)
    assert image.getextrema() == ((255, 255),) * 3


def test_a_field_has_the_value_of_the_one_above_it() -> None:
    above = b"<</FT/Tx/T(p)/V(JOHN SMITH)/Kids[6 0 R]>>"
    assert _ink(form_of(b"/Parent 8 0 R", above, fields=b"8 0 R")) > 100


@pytest.mark.parametrize("fields", [b"", b"6 0 R"])
def test_a_field_is_drawn_though_the_form_does_not_list_it(fields: bytes) -> None:
    content = form_of(b"/FT/Tx/V(JOHN)/AP<</N 8 0 R>>", TEXT, fields=fields)
    assert _ink(content) > 100
    assert _ink(content.replace(b"/AcroForm", b"/NoForm__")) > 100


@pytest.mark.parametrize("xfa", [b"/XFA 9 0 R", b"/XFA[(template)9 0 R]"])
def test_a_form_in_xfa_is_shown_by_its_fields_and_never_run(
    xfa: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    script = b'<xdp><script contentType="application/x-javascript">1</script></xdp>'
    content = form_of(b"/FT/Tx/V(JOHN)/AP<</N 8 0 R>>", TEXT, script, form=xfa)
    with caplog.at_level(logging.WARNING):
        assert _ink(content) > 100
    assert not caplog.records


@pytest.mark.parametrize("when", [b"F", b"C", b"K", b"V"])
def test_a_script_of_a_field_changes_nothing(when: bytes) -> None:
    action = b"/AA<</%s<</S/JavaScript/JS(event.value='WWWWWWWWWWWW')>>>>" % when
    assert _ink(form_of(b"/FT/Tx/V(1)" + action)) == _ink(form_of(b"/FT/Tx/V(1)"))


@pytest.mark.parametrize("flag", ["V8", "XFA"])
def test_a_pdfium_that_would_run_scripts_is_refused(
    flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pypdfium2, "PDFIUM_INFO", SimpleNamespace(flags=(flag,)))
    assert len(read_pages(page_of(), POLICY)) == 1
    with pytest.raises(UnsupportedFeatureError, match="scripts") as caught:
        read_pages(form_of(b"/FT/Tx/V(1)"), POLICY)
    assert "pypdfium2" in caught.value.hint


def test_a_form_that_pdfium_cannot_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise pypdfium2.PdfiumError("no form")

    monkeypatch.setattr(pypdfium2.PdfDocument, "init_forms", fail)
    with pytest.raises(MediaDecodeError, match="no form"):
        read_pages(form_of(b"/FT/Tx/V(1)"), POLICY)


def test_a_form_is_drawn_alike_by_another_process() -> None:
    content = form_of(b"/FT/Tx/V(JOHN SMITH)")
    assert _ink(content, APART) == _ink(content)


def test_forms_are_drawn_alike_by_many_threads() -> None:
    content = form_of(b"/FT/Tx/V(JOHN SMITH)")
    alone, found = _ink(content), list[int]()
    threads = [
        threading.Thread(target=lambda: found.extend(_ink(content) for _ in range(5)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [alone] * 20
