"""Stop strings end an answer and never appear in it, however it is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.backends.answer_builder import StopText

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


@given(pieces(), st.lists(STOPS, min_size=1, max_size=3))
@settings(max_examples=100)
def test_a_stop_string_ends_the_answer_and_not_the_thoughts_before_it(given_, stops):
    thoughts = "<think>" + "".join(given_) + "</think>"
    for begins_inside, said in ((False, thoughts), (True, thoughts.removeprefix("<think>"))):
        for answer in ("", "\n\n"):
            collected = StopText(tuple(stops), begins_in_thought=begins_inside)
            whole = "".join(given_)
            shown = [collected.feed(piece) for piece in (*said, *answer, *whole)]
            plain, _, _ = _fed(stops, whole)
            assert "".join(shown) + collected.flush() == said + answer + plain.text
            assert collected.is_stopped == plain.is_stopped


def test_empty_lines_behind_thoughts_are_no_answer_yet():
    collected = StopText(("\n\n",))
    for piece in ("<think>", "a\n\nb", "</think>", "\n", "\n", "yes", "\n\n", "more"):
        collected.feed(piece)
    assert collected.text == "<think>a\n\nb</think>\n\nyes"
    assert collected.is_stopped


def test_a_stop_string_that_holds_the_closing_tag_ends_thoughts_as_it_says():
    for stop in ("</think>", "</think>\n"):
        collected = StopText((stop, "b"), begins_in_thought=True)
        shown = "".join(map(collected.feed, ("a b ", "</thi", "nk>", "\n", "b")))
        assert collected.is_stopped
        assert shown == collected.text == "a b "


@pytest.mark.parametrize("text", ["a</think> b END c", "<thin END", " <thought> END", "< END"])
def test_text_that_opens_no_thoughts_is_searched_for_stop_strings(text):
    collected = StopText(("END",))
    shown = "".join(map(collected.feed, text)) + collected.flush()
    assert shown == text.partition("END")[0]


@given(st.lists(st.tuples(st.text("ab#", max_size=3), st.booleans()), max_size=12), STOPS)
@settings(max_examples=200)
def test_hidden_text_is_searched_and_never_shown(parts, stop):
    collected = StopText((stop,))
    shown = "".join(collected.feed(piece, is_hidden=hidden) for piece, hidden in parts)
    shown += collected.flush()
    raw, visible = "".join(p for p, _ in parts), "".join(p for p, hidden in parts if not hidden)
    assert shown == collected.text
    assert visible.startswith(shown)
    assert raw.startswith(collected.raw_text)
    assert stop not in shown
    assert stop not in collected.raw_text
    assert collected.is_stopped == (stop in raw or stop in visible)
    if not collected.is_stopped:
        assert (shown, collected.raw_text) == (visible, raw)


@pytest.mark.parametrize("after", ["more", "", "END"])
def test_nothing_comes_after_a_stop_string(after):
    collected = StopText(("END",))
    assert collected.feed("a EN") == "a "
    assert collected.feed("D and on") == ""
    assert collected.feed(after) == ""
    assert collected.flush() == ""
    assert collected.text == "a "
