"""JSON is read as far as it has been written."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.structured_output.partial_json import PartialJson

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.floats(-9, 9) | st.text(max_size=8),
    lambda inside: (
        st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=5), inside, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_what_is_whole_is_what_json_says(value, indent, is_ascii):
    text = json.dumps({"value": value}, indent=indent, ensure_ascii=is_ascii)
    found = PartialJson(text)
    assert found.is_whole
    assert found.value == {"value": value}
    for leaf in found.leaves:
        inside = {"value": value}
        for step in leaf.path:
            inside = inside[step]
        assert json.loads(text[leaf.start : leaf.stop - 1]) == inside


@settings(deadline=None)
@given(VALUES, st.data())
def test_a_beginning_holds_nothing_that_the_whole_does_not(value, data):
    text = json.dumps({"value": value}, ensure_ascii=False)
    cut = data.draw(st.integers(0, len(text) - 1))
    found = PartialJson(text[:cut])
    assert not found.is_whole
    assert begins(found.value, {"value": value})


def begins(part, whole) -> bool:
    if part is None:
        return True
    if isinstance(part, str):
        return isinstance(whole, str) and whole.startswith(part.rstrip("\ud83d"))
    if isinstance(part, list):
        return len(part) <= len(whole) and all(map(begins, part, whole))
    if isinstance(part, dict):
        return all(begins(item, whole[name]) for name, item in part.items())
    return part == whole


@pytest.mark.parametrize("text", ["", " ", "{", '{"', '{"a', '{"a"', '{"a":', '{"a": ', '{"a": 1'])
def test_a_value_that_has_not_ended_is_not_there(text):
    assert not PartialJson(text).is_whole
    assert PartialJson(text).value in (None, {})


@settings(deadline=None)
@given(VALUES, st.booleans(), st.data())
def test_what_comes_piece_by_piece_is_what_is_given_at_once(value, is_ascii, data):
    text = json.dumps([value], ensure_ascii=is_ascii)
    found, at = PartialJson(), 0
    while at < len(text):
        size = data.draw(st.integers(1, 5))
        found.feed(text[at : at + size])
        at += size
        assert begins(found.value, [value])
        assert found.value == PartialJson(text[:at]).value
    assert found.value == [value]
    assert found.leaves == PartialJson(text).leaves


@settings(deadline=None)
@given(st.text(alphabet='{}[]",:\\ tfn01.e-ud8', max_size=60))
def test_what_is_no_json_is_the_same_piece_by_piece(text):
    found = PartialJson()
    for character in text:
        found.feed(character)
    at_once = PartialJson(text)
    assert (found.value, found.leaves, found.is_whole) == (
        at_once.value,
        at_once.leaves,
        at_once.is_whole,
    )


def num_calls(run):
    """How many calls of functions, those in C included, something takes."""
    calls = 0

    def count(_, event, __):
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(None)
    return calls


def test_what_comes_piece_by_piece_is_read_once():
    def read(num_items):
        found = PartialJson()
        for piece in ['{"items": [', *['{"name": "a\\n', 'b", "cents": 12}, '] * num_items]:
            found.feed(piece)
            assert found.value is not None

    assert num_calls(lambda: read(400)) < 2.2 * num_calls(lambda: read(200))


def test_what_has_ended_is_the_same_object_afterwards():
    found = PartialJson('{"a": {"b": [1, 2]}, "c": [')
    before = found.value
    found.feed("3, 4")
    assert found.value["a"] is before["a"]
    assert before["c"] == []


def test_a_number_is_finite():
    assert PartialJson('{"a": 1e999, "b": 2}').value == {}
    assert not PartialJson('{"a": 1e999, "b": 2}').is_whole


def test_a_text_counts_as_far_as_it_goes():
    assert PartialJson('{"a": "one\\\\').value == {"a": "one\\"}
    assert PartialJson('{"a": "one tw').value == {"a": "one tw"}
    assert PartialJson('{"a": "one\\').value == {"a": "one"}
    assert PartialJson('{"a": "one\\u00').value == {"a": "one"}


@settings(deadline=None)
@given(st.text(alphabet='{}[]",:\\ tfn01.e-u', max_size=200))
def test_nothing_makes_it_raise(text):
    PartialJson(text)


@pytest.mark.parametrize("piece", ["[", '{"a":', '"', "\\", "1"])
def test_depth_and_length_do_no_harm(piece):
    PartialJson(piece * 50_000)


def test_an_object_where_a_name_was_due_is_no_json_and_not_deep() -> None:
    written = PartialJson("{" + '{"a":' * 5000)
    assert (written.is_whole, written.value) == (False, {})
