"""An argument that is written as plain text is read by the schema of its parameter."""

from __future__ import annotations

from typing import Any

import pytest

from qwenvl_kit.tools.arguments import Parameters
from qwenvl_kit.tools.literals import UnreadError, read_literal, read_whole

STRING, INTEGER, NULL = {"type": "string"}, {"type": "integer"}, {"type": "null"}
DEFINITIONS = {"$defs": {"Mode": {"enum": ["fast", "slow"]}, "Loop": {"$ref": "#/$defs/Loop"}}}

READINGS: list[tuple[Any, str, Any]] = [
    (STRING, "None", "None"),
    (STRING, "12", "12"),
    (STRING, '{"a": 1}', '{"a": 1}'),
    (STRING, " padded ", " padded "),
    ({"anyOf": [STRING, NULL]}, "None", None),
    ({"oneOf": [NULL, STRING]}, " null ", None),
    ({"type": ["string", "null"]}, "null", None),
    ({"type": "string", "nullable": True}, "null", None),
    ({"anyOf": [STRING, INTEGER]}, "12", "12"),
    ({"anyOf": [STRING, {"type": "array"}]}, "[1]", [1]),
    ({"anyOf": [STRING, {"type": "array"}]}, "[a]", "[a]"),
    (INTEGER, " 3 ", 3),
    (INTEGER, "3.0", 3),
    (INTEGER, "'3'", 3),
    ({"type": "number"}, "3", 3),
    ({"type": "number"}, "1e3", 1000.0),
    ({"type": "float"}, "3.5", 3.5),
    ({"type": ["integer", "null"]}, "None", None),
    ({"type": "boolean"}, "True", True),
    ({"type": "boolean"}, "TRUE", True),
    ({"type": "boolean"}, "false", False),
    ({"type": "array"}, "('a', None)", ["a", None]),
    ({"type": "array"}, '"[1]"', [1]),
    ({"type": "object"}, "{'a': True, \"b\": null}", {"a": True, "b": None}),
    ({"enum": ["a", 3, None]}, "3", 3),
    ({"enum": ["a", 3, None]}, "None", None),
    ({"enum": ["a", 3, None]}, '"a"', "a"),
    ({"enum": ["None", None]}, "None", "None"),
    ({"const": 5}, "5", 5),
    ({"$ref": "#/$defs/Mode"}, "fast", "fast"),
    ({"allOf": [{"$ref": "#/$defs/Mode"}], "default": "fast"}, "slow", "slow"),
    ({"anyOf": [{"$ref": "#/$defs/Mode"}, NULL]}, "None", None),
    ({"$ref": "#/$defs/Loop"}, "1", 1),
    ({}, "None", None),
    ({}, "01234", "01234"),
    ({}, "NaN", "NaN"),
    ({"type": "widget"}, "word", "word"),
    ("nonsense", "12", 12),
]


@pytest.mark.parametrize(("schema", "text", "value"), READINGS)
def test_a_text_is_read_by_its_schema(schema: Any, text: str, value: Any) -> None:
    found, is_wanted = Parameters({"properties": {"p": schema}, **DEFINITIONS}).read("p", text)
    assert (found, type(found), is_wanted) == (value, type(value), True)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (INTEGER, "abc"),
        (INTEGER, "3.5"),
        (INTEGER, "007"),
        ({"type": "number"}, "1e999"),
        ({"$ref": "#/$defs/Mode"}, "medium"),
        ({"type": "array"}, "[1, 2"),
        ({"anyOf": [INTEGER, NULL]}, "True"),
        (NULL, "nothing"),
    ],
)
def test_a_text_that_is_none_of_what_is_wanted_stays_and_is_told(schema: Any, text: str) -> None:
    parameters = Parameters({"properties": {"p": schema}, **DEFINITIONS})
    assert parameters.read("p", text) == (text, False)


def test_a_parameter_is_unknown_where_the_tool_says_what_it_takes() -> None:
    assert Parameters({"properties": {"a": STRING}}).is_unknown("b")
    assert not Parameters({"properties": {"a": STRING}}).is_unknown("a")
    assert not Parameters({"properties": {}, "additionalProperties": STRING}).is_unknown("b")
    assert not Parameters({}).is_unknown("b")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, -2.5e-3, "\\u00e9", true], "b": {}}', {"a": [1, -0.0025, "é", True], "b": {}}),
        ("{'a': 'it\\'s \"so\" \\x41\\\\'}", {"a": 'it\'s "so" A\\'}),
        ("[True, False, None, (1,), ]", [True, False, None, [1]]),
        ('{"a": 1, "a": 1}', {"a": 1}),
        ("'text'", "text"),
    ],
)  # fmt: skip
def test_json_and_python_are_read_alike(text: str, value: Any) -> None:
    assert read_whole(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[1, 2", '{"a": "b', "{'a': 'b'c'}", '{"a" "b"}', '{"a": }', "[1, 2}", "{1, 2}",
        '{"a": 1, "a": 2}', "[1 2]", "1_000", "0x10", "f(1)", "b'a'", "[" * 100_000, '{"a": 1} x',
        '"\\u12"', "nul",
    ],
)  # fmt: skip
def test_what_is_no_value_or_has_two_readings_is_refused(text: str) -> None:
    with pytest.raises(UnreadError):
        read_whole(text)


def test_brackets_are_added_only_before_what_may_follow() -> None:
    found = read_literal('{"a": [1</tool_call>', until=("</tool_call>",))
    assert (found.value, found.notes) == ({"a": [1]}, ("its last ']}' was missing",))
    for text in ('{"a": [1', '{"a": [1</tool', '{"a": "1</tool_call>', '{"a":</tool_call>'):
        with pytest.raises(UnreadError):
            read_literal(text, until=("</tool_call>",))
