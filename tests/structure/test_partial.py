"""JSON is read as far as it has been written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.structure.partial import PartialJson

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


def test_a_text_counts_as_far_as_it_goes():
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
