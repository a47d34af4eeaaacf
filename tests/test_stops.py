"""Stop strings end an answer and never appear in it, however it is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.backends.stops import StopText

LETTERS = st.text("ab#", max_size=25)
STOPS = st.text("ab#", min_size=1, max_size=4)


@st.composite
def pieces(draw):
    return draw(st.lists(st.text("ab#", max_size=4), max_size=12))


def _fed(stop, given_):
    collected = StopText(tuple(stop))
    shown = [collected.feed(piece) for piece in given_]
    return collected, shown, collected.flush()


@given(pieces(), STOPS)
@settings(max_examples=200)
def test_an_answer_ends_where_its_stop_string_begins(given_, stop):
    whole = "".join(given_)
    collected, shown, rest = _fed([stop], given_)
    assert "".join(shown) + rest == collected.text == whole.partition(stop)[0]
    assert collected.is_stopped == (stop in whole)


@given(pieces(), st.lists(STOPS, max_size=4))
@settings(max_examples=200)
def test_none_of_several_stop_strings_ever_appears(given_, stops):
    whole = "".join(given_)
    collected, shown, rest = _fed(stops, given_)
    assert "".join(shown) + rest == collected.text
    assert whole.startswith(collected.text)
    assert not any(stop in collected.text for stop in stops)
    assert collected.is_stopped == any(stop in whole for stop in stops)
    if not collected.is_stopped:
        assert collected.text == whole


@given(pieces(), STOPS)
@settings(max_examples=100)
def test_what_was_shown_is_never_taken_back(given_, stop):
    collected = StopText((stop,))
    shown = ""
    for piece in given_:
        shown += collected.feed(piece)
        assert collected.text == shown


@given(LETTERS)
@settings(max_examples=50)
def test_without_stop_strings_nothing_is_held_back(text):
    assert StopText(()).feed(text) == text


def test_only_what_may_still_become_a_stop_string_is_held_back():
    collected = StopText(("END",))
    assert collected.feed("the EN") == "the "
    assert collected.feed("GLISH") == "ENGLISH"
    assert collected.feed(" E") == " "
    assert collected.flush() == "E"


@pytest.mark.parametrize("after", ["more", "", "END"])
def test_nothing_comes_after_a_stop_string(after):
    collected = StopText(("END",))
    assert collected.feed("a EN") == "a "
    assert collected.feed("D and on") == ""
    assert collected.feed(after) == ""
    assert collected.flush() == ""
    assert collected.text == "a "
