"""What models were seen to write in place of a call is read if it has one meaning, and told else.

Each text has the shape of one in a public bug report or in a test suite of vLLM, SGLang or ollama;
what it says is our own.
"""

from __future__ import annotations

from typing import Any

import pytest

from qwenvl_kit.tools.call_parser import WrittenCalls, parse_calls

OR_NULL = {"type": "null"}
SCHEMAS: dict[str, dict[str, Any]] = {
    "tree": {
        "type": "object",
        "properties": {
            "path": {"type": "string", "default": "/"},
            "depth": {"anyOf": [{"type": "integer"}, OR_NULL]},
            "note": {"anyOf": [{"type": "string"}, OR_NULL]},
            "flag": {"type": "boolean"},
            "items": {"type": "array"},
            "zip": {"type": "string"},
        },
    },
    "now": {"type": "object", "properties": {}},
}


def tagged(**values: str) -> str:
    """A call of `tree` as Qwen3.5 writes it."""
    inside = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in values.items())
    return f"<tool_call>\n<function=tree>\n{inside}</function>\n</tool_call>"


def marked(body: str) -> str:
    """What stands between the tags of a call."""
    return f"<tool_call>\n{body}\n</tool_call>"


def read(text: str) -> WrittenCalls:
    return parse_calls(text, SCHEMAS)


def arguments(text: str) -> list[dict[str, Any]]:
    found = read(text)
    assert all(call.name == "tree" for call in found.calls)
    return [dict(call.arguments) for call in found.calls]


PATH = '"arguments": {"path": "/data"}'
UNDERSTOOD: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "no tag around the function": (
        "<function=tree>\n<parameter=path>\n/data\n</parameter>\n</function>",
        [{"path": "/data"}],
    ),
    "no opening tag around the function": (
        "So:\n<function=tree>\n<parameter=path>\n/data\n</parameter>\n</function>\n</tool_call>",
        [{"path": "/data"}],
    ),
    "two functions without tags": (
        "<function=tree>\n<parameter=path>/a</parameter>\n</function>\n"
        "<function=tree>\n<parameter=flag>True</parameter>\n</function>",
        [{"path": "/a"}, {"flag": True}],
    ),
    "null": (tagged(note="null"), [{"note": None}]),
    "Python's None": (tagged(note="None", depth="None"), [{"note": None, "depth": None}]),
    "Python's True and list": (
        tagged(flag="True", items="['a', True, None]"),
        [{"flag": True, "items": ["a", True, None]}],
    ),
    "a list of JSON and Python at once": (
        tagged(items="[{'a': true}, {\"b\": None},]"),
        [{"items": [{"a": True}, {"b": None}]}],
    ),
    "digits that are text": (tagged(zip="01234"), [{"zip": "01234"}]),
    "None that is text": (tagged(path="None", zip="null"), [{"path": "None", "zip": "null"}]),
    "parameters in place of arguments": (
        marked('{"name": "tree", "parameters": {"path": "/data"}}'),
        [{"path": "/data"}],
    ),
    "the dict of OpenAI's API": (
        marked('{"id": "c1", "type": "function", "function": {"name": "tree", ' + PATH + "}}"),
        [{"path": "/data"}],
    ),
    "a function without its type": (
        marked('{"function": {"name": "tree", ' + PATH + "}}"),
        [{"path": "/data"}],
    ),
    "arguments as JSON in a text": (
        marked('{"name": "tree", "arguments": "{\\"path\\": \\"/data\\"}"}'),
        [{"path": "/data"}],
    ),
    "a list in a text": (
        marked('{"name": "tree", "arguments": {"items": "[1, 2]", "zip": "[1]"}}'),
        [{"items": [1, 2], "zip": "[1]"}],
    ),
    "a dict of Python": (
        marked("{'name': 'tree', 'arguments': {'path': 'it\\'s', 'flag': True, 'note': None}}"),
        [{"path": "it's", "flag": True, "note": None}],
    ),
    "a code block between the tags": (
        marked('```json\n{"name": "tree", ' + PATH + "}\n```"),
        [{"path": "/data"}],
    ),
    "line ends inside a text of JSON": (
        marked('{"name": "tree", "arguments": {"note": "one\n\ttwo"}}'),
        [{"note": "one\n\ttwo"}],
    ),
    "JSON inside a function": (
        marked('<function=tree>{"path": "/data", "depth": 2}</function>'),
        [{"path": "/data", "depth": 2}],
    ),
    "tags inside a value": (
        tagged(note="use </function> and <parameter=x> here", path="/a"),
        [{"note": "use </function> and <parameter=x> here", "path": "/a"}],
    ),
    "closing tags inside a value": (
        tagged(note='return "</parameter>"\n# </tool_call> ends it'),
        [{"note": 'return "</parameter>"\n# </tool_call> ends it'}],
    ),
    "a whole call inside a value": (
        tagged(note=tagged(path="/inner"), path="/outer"),
        [{"note": tagged(path="/inner"), "path": "/outer"}],
    ),
    "the closing tag inside a text of JSON": (
        marked('{"name": "tree", "arguments": {"note": "a </tool_call> b <tool_call> {"}}'),
        [{"note": "a </tool_call> b <tool_call> {"}],
    ),
    "several calls between two tags": (
        marked(f'{{"name": "tree", {PATH}}}\n{{"name": "tree", "arguments": {{"path": "/b"}}}}'),
        [{"path": "/data"}, {"path": "/b"}],
    ),
    "several functions between two tags": (
        marked("\n".join(["<function=tree>\n<parameter=path>\n/a\n</parameter>\n</function>"] * 2)),
        [{"path": "/a"}, {"path": "/a"}],
    ),
    "a list of calls": (
        marked(f'[{{"name": "tree", {PATH}}}, {{"name": "tree", "arguments": {{}}}}]'),
        [{"path": "/data"}, {}],
    ),
    "tags that stand twice": (
        marked(marked('{"name": "tree", ' + PATH + "}")),
        [{"path": "/data"}],
    ),
    "names in quotes": (
        marked('<function="tree">\n<parameter="path">\n/data\n</parameter>\n</function>'),
        [{"path": "/data"}],
    ),
    "spaces around names": (
        marked("<function= tree >\n<parameter= path >\n/data\n</parameter>\n</function>"),
        [{"path": "/data"}],
    ),
    "line ends of Windows": (tagged(path="/data").replace("\n", "\r\n"), [{"path": "/data"}]),
    "arguments that are null": (marked('{"name": "tree", "arguments": null}'), [{}]),
}


@pytest.mark.parametrize(("text", "wanted"), UNDERSTOOD.values(), ids=UNDERSTOOD)
def test_a_call_with_one_meaning_is_read(text: str, wanted: list[dict[str, Any]]) -> None:
    found = read(text)
    assert arguments(text) == wanted
    assert found.warnings == ()
    assert found.unread == ()


@pytest.mark.parametrize("text", [text for text, _ in UNDERSTOOD.values()], ids=UNDERSTOOD)
def test_wherever_an_answer_is_cut_off_no_call_has_other_arguments(text: str) -> None:
    wanted = read(text).calls
    for stop in range(len(text)):
        found = read(text[:stop])
        assert found.calls == wanted[: len(found.calls)], text[:stop]
        begun = text[:stop].partition("<")[2]
        assert found.calls or found.warnings or len(begun) < 4, text[:stop]


ASSUMED: dict[str, tuple[str, list[dict[str, Any]], str]] = {
    "a brace too few": (
        marked('{"name": "tree", ' + PATH),
        [{"path": "/data"}],
        "its last '}' was missing",
    ),
    "a brace too many": (
        marked('{"name": "tree", ' + PATH + "}}}"),
        [{"path": "/data"}],
        "'}}' closes nothing",
    ),
    "all braces twice": (
        marked('{{"name": "tree", ' + PATH + "}}"),
        [{"path": "/data"}],
        "'{' opens nothing",
    ),
    "an escape that JSON has not": (
        marked('{"name": "tree", "arguments": {"path": "\\d+"}}'),
        [{"path": "\\d+"}],
        "taken as it stands",
    ),
    "a closing tag that the next parameter shows": (
        marked(
            "<function=tree>\n<parameter=path>\n/data\n<parameter=zip>\n01\n</parameter>\n</function>"
        ),
        [{"path": "/data", "zip": "01"}],
        "</parameter> was missing after 'path'",
    ),
    "no closing tag of a parameter at all": (
        "<function=tree>\n<parameter=path>/data\n<parameter=depth>3\n</function>",
        [{"path": "/data", "depth": 3}],
        "</parameter> was missing after 'depth'",
    ),
    "no closing tag of the last parameter, and another call": (
        marked("<function=tree>\n<parameter=path>\n/a\n</function>") + tagged(path="/b"),
        [{"path": "/a"}, {"path": "/b"}],
        "</parameter> was missing",
    ),
    "no closing tag of the function": (
        marked("<function=tree>\n<parameter=path>\n/data\n</parameter>"),
        [{"path": "/data"}],
        "</function> was missing",
    ),
    "no last tag": (
        '<tool_call>\n{"name": "tree", ' + PATH + "}\n</tool_c",
        [{"path": "/data"}],
        "a call is not closed",
    ),
    "no first tag": (
        'Sure.\n{"name": "tree", ' + PATH + "}\n</tool_call>",
        [{"path": "/data"}],
        "<tool_call> was missing",
    ),
    "a parameter that the tool has not": (
        tagged(pth="/data"),
        [{"pth": "/data"}],
        "the tool has no parameter 'pth'",
    ),
    "an argument that the tool has not": (
        marked('{"name": "tree", "arguments": {"pth": "/data"}}'),
        [{"pth": "/data"}],
        "the tool has no parameter 'pth'",
    ),
    "a value of another kind": (
        tagged(depth="deep"),
        [{"depth": "deep"}],
        "not of the kind that the tool takes",
    ),
}


@pytest.mark.parametrize(("text", "wanted", "told"), ASSUMED.values(), ids=ASSUMED)
def test_what_had_to_be_assumed_of_a_call_is_told_once(
    text: str, wanted: list[dict[str, Any]], told: str
) -> None:
    found = read(text)
    assert arguments(text) == wanted
    (warning,) = found.warnings
    assert told in warning
    assert found.unread == ()


NOT_UNDERSTOOD: dict[str, tuple[str, str]] = {
    "parameters by their own tags": (
        marked("<function=tree>\n<path>/data</path>\n</function>"),
        "'<path>/data</path>' stands outside",
    ),
    "a parameter by its own tag after another": (
        marked(
            "<function=tree>\n<parameter=path>\n/data\n</parameter>\n<depth>3</depth>\n</function>"
        ),
        "'path' ends with another tag",
    ),
    "a key that is misspelt": (
        marked('{"name": "tree", "argument": {"path": "/data"}}'),
        "'argument'",
    ),
    "arguments beside the name": (marked('{"name": "tree", "path": "/data"}'), "'path'"),
    "an argument beside the arguments": (
        marked('{"name": "tree", ' + PATH + ', "depth": 3}'),
        "'depth'",
    ),
    "the definition of the tool": (
        marked('{"name": "tree", "description": "", "parameters": {"type": "object"}}'),
        "'description'",
    ),
    "no arguments": (marked('{"name": "tree"}'), "no arguments"),
    "two sets of arguments": (
        marked('{"name": "tree", "arguments": {}, "parameters": {"path": "/data"}}'),
        "both arguments and parameters",
    ),
    "arguments in a list": (marked('{"name": "tree", "arguments": ["/data"]}'), "no object"),
    "a name with two values": (
        marked('{"name": "tree", "arguments": {"path": "/a", "path": "/b"}}'),
        "two values",
    ),
    "a parameter twice": (
        marked(
            "<function=tree>\n<parameter=path>\n/a\n</parameter>\n<parameter=path>\n/b\n"
            "</parameter>\n</function>"
        ),
        "'path' twice",
    ),
    "quotes inside a text of JSON": (
        marked('{"name": "tree", "arguments": {"note": "He said "no" to me"}}'),
        "no JSON",
    ),
    "something beside a call": (
        marked('{"name": "tree", "arguments": {}} {"path": "/data"}'),
        "no name",
    ),
    "words beside a call": (marked('{"name": "tree", "arguments": {}} in /data'), "is no call"),
    "the name in the tag of a parameter": (
        marked("<parameter=tree>\n<parameter=path>\n/data\n</parameter>\n</function>"),
        "neither a name in JSON nor <function=NAME>",
    ),
    "names as attributes": (
        marked('<function name="tree"><parameter name="path">/data</parameter></function>'),
        "neither a name in JSON nor <function=NAME>",
    ),
    "a tag that is misspelt": (
        marked("<function=tree>\n<parameter=path>\n/data\n</parameter/>\n</function>"),
        "'path' ends with another tag",
    ),
    "a closing tag with the parameter's name": (
        marked(
            "<function=tree>\n<parameter=note>\nlong\n</note>\n<parameter=path>\n/data\n"
            "</parameter>\n</function>"
        ),
        "'note' ends with another tag",
    ),
    "a parameter without its name": (
        marked(
            "<function=tree>\n<parameter=path>\n/data\n</parameter>\n<parameter=\n3\n</parameter>\n"
            "</function>"
        ),
        "'path' ends with another tag",
    ),
    "a value that may end at two places": (
        marked(
            "<function=tree>\n<parameter=note>\na\n<parameter=path>\n/b\n</parameter>\n"
            "</parameter>\n</function>"
        ),
        "'note' may end at two places",
    ),
    "a value that is closed twice": (
        tagged(path="/data\n</parameter>"),
        "'path' may end at two places",
    ),
    "code beside a call": (
        marked('{"name": "tree", "arguments": {"path": ""}}\n<code>\n/data\n</code>'),
        "is no call",
    ),
    "a program in place of arguments": (
        marked('{"name": "tree", "arguments": "import os\\nos.listdir()"}'),
        "no JSON",
    ),
    "a function without a name": (
        marked("<function=>\n</function>"),
        "neither a name in JSON nor <function=NAME>",
    ),
    "a value that nothing ends before the tag": (
        marked("<function=tree>\n<parameter=note>\na"),
        "'note' does not end",
    ),
    "nothing": (marked(""), "neither a name in JSON nor <function=NAME>"),
    "cut off within a value": ("<tool_call>\n<function=tree>\n<parameter=path>\n/da", "cut off"),
    "cut off after a value": (
        "<tool_call>\n<function=tree>\n<parameter=path>\n/data\n</parameter>\n",
        "cut off",
    ),
    "cut off within a name": ("<tool_call>\n<function=tree>\n<parame", "cut off"),
    "cut off within a text of JSON": (
        '<tool_call>\n{"name": "tree", "arguments": {"path": "/da',
        "cut off",
    ),
    "cut off within a word of JSON": (
        '<tool_call>\n{"name": "tree", "arguments": {"flag": tru',
        "cut off",
    ),
    "cut off after the arguments": ('<tool_call>\n{"name": "tree", ' + PATH, "cut off"),
    "cut off without tags": ("<function=tree>\n<parameter=path>\n/da", "cut off"),
}


@pytest.mark.parametrize(("text", "told"), NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_a_call_that_is_not_understood_is_told_and_is_none(text: str, told: str) -> None:
    found = read(f"I look. {text}")
    assert found.calls == ()
    assert found.text == "I look."
    (call,), (warning,) = found.unread, found.warnings
    assert told in call.reason
    assert call.reason in warning
    assert call.is_marked
    assert call.text == text.strip()


LOOKALIKES = {
    "a code block": '```json\n{"name": "tree", ' + PATH + "}\n```",
    "other tags": '<tools>\n{"name": "tree", ' + PATH + "}\n</tools>",
    "an older form of Qwen": '✿FUNCTION✿: tree\n✿ARGS✿: {"path": "/data"}',
    "a thought and an action": 'I look.\nAction: tree\nAction Input: {"path": "/data"}',
    "a call of Python": 'tree(path="/data")',
    "a list of calls of Python": '[tree(path="/data"), tree(path="/b")]',
    "a tag in prose": "The tag </tool_call> closes a call.",
    "a function that is not offered": "Write <function=other> first.",
    "a parameter without a function": "<parameter=path>\n/data\n</parameter>",
    "a function without its bracket": "<function=tree\n<parameter=path>",
}


@pytest.mark.parametrize("text", LOOKALIKES.values(), ids=LOOKALIKES)
def test_what_may_be_a_call_or_an_answer_is_told_and_stays_as_it_is(text: str) -> None:
    found = read(text)
    assert found.calls == ()
    assert found.text == text
    (call,) = found.unread
    assert not call.is_marked
    assert len(found.warnings) == 1


@pytest.mark.parametrize(
    "text",
    [
        "3 < 4 > 2",
        '{"name": "Bob", "arguments": 3}',
        "tree",
        "A function of x.",
        '{"name": "tree"}',
    ],
)
def test_an_answer_that_names_a_tool_is_an_answer(text: str) -> None:
    assert read(text) == WrittenCalls(text, (), ())


def test_a_tool_without_parameters_needs_no_arguments() -> None:
    for text in (marked('{"name": "now"}'), marked("<function=now>\n</function>")):
        (call,) = read(text).calls
        assert (call.name, dict(call.arguments)) == ("now", {})


def test_a_call_that_is_not_understood_leaves_the_others_alone() -> None:
    found = read(marked('{"name": "tree", "args": {}}') + " and " + tagged(path="/data"))
    assert [dict(call.arguments) for call in found.calls] == [{"path": "/data"}]
    assert (found.text, len(found.unread), len(found.warnings)) == ("and", 1, 1)


@pytest.mark.parametrize(
    "piece",
    [
        '<tool_call>{"a":', '<tool_call>{"', "<function=tree>", "<parameter=a>", "</parameter>\n",
        "<tool_call><function=tree><parameter=path>", '["</tool_call>', "</function></tool_call>",
        "<tool_call><function=tree>\n<parameter=path>\n<parameter=note>\n</parameter>x",
        '<tool_call>{"a":1,"a":2},', "\n", '"name": "tree"', "<function ", "<tool_call>```",
    ],
)  # fmt: skip
def test_time_grows_with_an_answer_and_not_with_its_square(piece: str) -> None:
    """Thirty thousand of them took seven seconds where each was searched to the end."""
    for before in ("", "<tool_call>", '<tool_call>{"a":"'):
        read(before + piece * 4_000)


@pytest.mark.parametrize(
    "answer",
    [
        "<tool_call><function=tree><parameter=path>a<parameter=note>b</parameter></function></tool_call>",
        '<tool_call>{"name": "tree", "arguments": {"path": "C:\\Users\\bob\\new"}}</tool_call>',
        r'<tool_call>{"name": "tree", "arguments": {"path": "\d+\b"}}</tool_call>',
    ],
    ids=[
        "a closing tag left out on one line",
        "a path that is not escaped",
        "an expression likewise",
    ],
)
def test_what_would_run_with_another_value_is_told_and_not_read(answer: str) -> None:
    written = parse_calls(answer, SCHEMAS)
    assert (written.calls, len(written.warnings)) == ((), 1)
