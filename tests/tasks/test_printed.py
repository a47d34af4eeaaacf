"""The rule by which a text that was read in a picture holds a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit.tasks.extract.printed import is_printed

HELD = [
    (1234.5, "$1,234.50"),
    (1234.5, "1.234,50 €"),
    (1234.5, "1 234,5 kr"),
    (1234.5, "CHF 1'234.50"),
    (1234, "$1,234.00"),
    (-5.0, "(5.00)"),
    (1000, "1.000"),
    (0, "0"),
    (62.5, "Total: 62.50"),
    (250, "250毫克"),
    (548, "含548大卡热量"),
    (3, "3 4"),
    ("Acme", "Acme, Inc."),
    ("Acme, Inc.", "ACME INC"),
    ("静脉注射", "患者被给予250毫克静脉 注射头孢"),
    ("INV-7", "No. INV – 7"),
    ("INV-7", "ＩＮＶ－７"),
    ("café", "CAFE\u0301"),
    ("line one line two", "Line one\nline two"),
    ("1,234", "1234.00"),
    ("2024-03-18", "18 March 2024"),
    ("2024-03-18", "Mar 18, 24"),
    ("2024-03-18", "18/03/2024"),
    ("2024-03-18T00:00:00", "2024年3月18日"),
    ("€", "5 €"),
    ("A-7", "A-7 2024, A-70"),
]
NOT_HELD = [
    ("250", "1,250"),
    ("1", "1,250.00"),
    (1234.5, "1234"),
    (5, "50"),
    (5, "No. 15"),
    (62.5, "black circle"),
    ("6atu", "Tax: 4.20"),
    ("A-7", "A-70"),
    ("7-A", "17 A"),
    ("Acme", "Acne"),
    ("每份约200克，含548大卡", "每份约200克"),
    ("2024-03-18", "18 May 2024"),
    ("2024-03-03", "March 2024"),
    ("", "anything"),
    ("  ", "  "),
    ("€", "5 $"),
]


@pytest.mark.parametrize(("value", "text"), HELD)
def test_a_text_holds_a_value_in_the_forms_that_people_print(value, text):
    assert is_printed(value, text)


@pytest.mark.parametrize(("value", "text"), NOT_HELD)
def test_a_text_does_not_hold_what_is_only_like_it(value, text):
    assert not is_printed(value, text)


@given(st.decimals(0, 10**9, places=2, allow_nan=False))
def test_a_number_is_held_however_its_thousands_are_set_apart(number):
    written = f"{number:,.2f}"
    german = written.translate({ord(","): ".", ord("."): ","})
    for form in (written, german, written.replace(",", " "), written.replace(",", "'")):
        assert is_printed(float(number), f"Total: {form} EUR"), form


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_a_text_holds_each_of_its_own_parts(before, part, after):
    if any(character.isalnum() for character in part):
        assert is_printed(f"x{part}", f"{before} x{part} {after}")


@given(st.text(max_size=60) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
       st.text(max_size=200))  # fmt: skip
def test_any_value_and_any_text_get_a_verdict(value, text):
    assert is_printed(value, text) in (True, False)


def test_a_long_text_of_digits_is_read_in_linear_time():
    assert not is_printed(7.5, "1 " * 50_000)
    assert not is_printed("2024-03-18", "9" * 100_000)
