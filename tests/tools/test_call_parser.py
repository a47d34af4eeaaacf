"""Calls are read in each family's form as far as they are sound, and never raise."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit.tools.call_parser import parse_calls

SCHEMAS = {
    "f": {
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "where": {"type": "object"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        }
    }
}


def calls(text: str) -> list[tuple[str, dict[str, object]]]:
    return [(call.name, dict(call.arguments)) for call in parse_calls(text, SCHEMAS).calls]


def test_json_between_tags_is_a_call_and_the_rest_is_what_is_said() -> None:
    text = (
        'I will look.\n<tool_call>\n{"name": "f", "arguments": {"city": "Rome", "days": 2}}\n'
        '</tool_call>\n<tool_call>{"name": "g", "arguments": {}}</tool_call>'
    )
    found = parse_calls(text, SCHEMAS)
    assert calls(text) == [("f", {"city": "Rome", "days": 2}), ("g", {})]
    assert found.text == "I will look."
    assert found.warnings == ()


def test_parameters_between_tags_are_read_by_the_schema() -> None:
    text = (
        "<tool_call>\n<function=f>\n<parameter=city>\n12\n</parameter>\n<parameter=days>\n12\n"
        '</parameter>\n<parameter=where>\n{"x": 1}\n</parameter>\n<parameter=note>\ntwo\nlines\n'
        "</parameter>\n</function>\n</tool_call>"
    )
    assert calls(text) == [
        ("f", {"city": "12", "days": 12, "where": {"x": 1}, "note": "two\nlines"})
    ]


def test_arguments_may_be_json_inside_json() -> None:
    text = '<tool_call>{"name": "f", "arguments": "{\\"city\\": \\"Rome\\"}"}</tool_call>'
    assert calls(text) == [("f", {"city": "Rome"})]


def test_a_whole_call_without_its_last_tag_is_read_and_told_and_one_that_is_cut_off_is_none() -> (
    None
):
    found = parse_calls('<tool_call>{"name": "f", "arguments": {}}', SCHEMAS)
    assert [call.name for call in found.calls] == ["f"]
    assert found.warnings == ("a call is not closed",)
    cut = parse_calls('Hm. <tool_call>{"name": "f", "argu', SCHEMAS)
    assert cut.calls == ()
    assert cut.text == "Hm."
    assert len(cut.warnings) == len(cut.unread) == 1
    assert "cut off" in cut.warnings[0]


@pytest.mark.parametrize(
    "body", ["", "{}", "[]", "3", '"f"', '{"name": 3}', '{"name": "f", "arguments": [1]}', "hello"]
)
def test_what_is_no_call_is_told(body: str) -> None:
    found = parse_calls(f"<tool_call>{body}</tool_call>", SCHEMAS)
    assert found.calls == ()
    assert found.warnings


def test_an_answer_without_calls_is_itself() -> None:
    found = parse_calls("Just 3 < 4 words.", SCHEMAS)
    assert (found.text, found.calls, found.warnings) == ("Just 3 < 4 words.", (), ())


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=9), max_size=3))
def test_what_json_can_hold_comes_back(arguments: dict[str, object]) -> None:
    text = json.dumps({"name": "g", "arguments": arguments})
    if "tool_call>" not in text:
        assert calls(f"<tool_call>{text}</tool_call>") == [("g", arguments)]


@settings(deadline=None)
@given(st.text(alphabet='<>/={}[]",:\\ntolcafupr_me ', max_size=200))
def test_nothing_makes_it_raise(text: str) -> None:
    parse_calls(text, SCHEMAS)
    parse_calls(f"<tool_call>{text}<function=f><parameter=days>{text}", SCHEMAS)


@pytest.mark.parametrize("piece", ["<tool_call>", "<function=f>", "<parameter=a>", "{", "["])
def test_a_long_answer_of_nothing_but_openings_takes_no_time(piece: str) -> None:
    parse_calls("<tool_call>" + piece * 5_000, SCHEMAS)
