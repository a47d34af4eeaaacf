"""Calls of tools and their results in dicts, as other libraries write them."""

from __future__ import annotations

from typing import Any

import pytest

from qwenvl_kit.errors import MessageError
from qwenvl_kit.formats.dicts import from_dicts, to_qwen
from qwenvl_kit.messages.tool_parts import ToolCall

A = {"id": "a", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
B = {"id": "b", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
C = {"id": "c", "function": {"name": "now", "arguments": "{}"}}

FOREIGN = {
    "LangChain": {"name": "f", "args": {"x": 1}, "id": "1", "type": "tool_call"},
    "parameters": {"id": "1", "function": {"name": "f", "parameters": {"x": 1}}},
    "Anthropic": {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 1}},
    "Responses": {
        "type": "function_call", "id": "fc", "call_id": "1", "name": "f", "status": "completed",
        "arguments": '{"x": 1}',
    },
    "Ollama": {"id": "1", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}},
    "a stream": {"index": 0, "id": "1", "type": "function",
                 "function": {"name": "f", "arguments": ' {"x": 1}\n'}},
    "a field that is not used": {"id": "1", "name": "f", "arguments": None, "args": {"x": 1},
                                 "refusal": None},
    "twice the same": {"id": "1", "name": "f", "arguments": '{"x": 1}', "args": {"x": 1}},
}  # fmt: skip


def calling(*calls: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "tool_calls": list(calls)}


def result(call_id: str | None, text: str, **keys: Any) -> dict[str, Any]:
    keys = keys if call_id is None else {"tool_call_id": call_id, **keys}
    return {"role": "tool", "content": text, **keys}


def told(*dicts: Any) -> list[str]:
    return [message.text for message in from_dicts(dicts) if message.role == "tool"]


@pytest.mark.parametrize("call", FOREIGN.values(), ids=FOREIGN)
def test_arguments_are_read_whatever_a_library_calls_them(call: dict[str, Any]) -> None:
    (message,) = from_dicts([calling(call)])
    assert message.parts == (ToolCall("f", {"x": 1}, "1"),)


@pytest.mark.parametrize("none", [None, "", " ", "null", "{}", {}])
def test_arguments_that_are_none_are_none(none: object) -> None:
    (message,) = from_dicts([calling({"function": {"name": "f", "arguments": none}})])
    assert message.parts == (ToolCall("f", {}),)


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ({"function": {"name": "f", "argument": {"x": 1}}}, "'argument'"),
        ({"name": "f", "kwargs": {"x": 1}}, "'kwargs'"),
        ({"name": "f", "x": 1}, "'x'"),
        ({"function": {"name": "f"}, "arguments": {"x": 1}}, "'arguments'"),
        ({"type": "custom", "custom": {"name": "f", "input": "x"}}, "'name'"),
        ({"arguments": {"x": 1}}, "'name'"),
        ({"name": "f", "arguments": {"x": 1}, "args": {"x": 2}}, "arguments and args"),
        ({"name": "f", "arguments": "[1]"}, "type list"),
    ],
)
def test_a_key_of_a_call_that_would_be_lost_is_refused(call: object, problem: str) -> None:
    with pytest.raises(MessageError, match=problem) as caught:
        from_dicts([calling(call)])
    assert caught.value.where.startswith("messages[0].tool_calls[0]")


def test_results_in_another_order_than_the_calls_are_of_the_calls_that_they_name() -> None:
    both = [result("b", "Snow."), result("a", "Rain.")]
    assert told(calling(A, B), *both) == ["Rain.", "Snow."]
    assert told(calling(A), calling(B), *both) == ["Rain.", "Snow."]
    (call,) = from_dicts([calling(A, B)])
    assert told(call, *both) == ["Rain.", "Snow."]
    again = [*both, calling(C, A), result("a", "Sun."), result("c", "Noon.")]
    assert told(calling(A, B), *again) == ["Rain.", "Snow.", "Noon.", "Sun."]
    one_by_name = [result(None, "Noon.", name="now"), result(None, "Rain.", name="weather")]
    assert told(calling(A, C), *one_by_name) == ["Rain.", "Noon."]


def test_results_in_the_order_of_the_calls_stay_as_they_are() -> None:
    said = ["Rain.", "Snow."]
    assert told(calling(A, B), result("a", "Rain."), result("b", "Snow.")) == said
    assert told(calling(A, B), result(None, "Rain."), result(None, "Snow.")) == said
    assert told(calling(A, B), result(None, "Rain."), result("b", "Snow.")) == said
    assert told(calling(A, B), result(None, "Rain.")) == ["Rain."]
    without_ids = [{"function": call["function"]} for call in (A, B)]
    assert told(calling(*without_ids), result("x", "Rain."), result("y", "Snow.")) == said
    messages = from_dicts([calling(A, B), result("b", "Snow."), result("a", "Rain.")])
    assert from_dicts(to_qwen(messages)) == messages


@pytest.mark.parametrize(
    ("results", "where", "problem"),
    [
        ([result("a", "Rain."), result("x", "Snow.")], "messages[2]", "the call 'x'"),
        ([result("a", "Rain."), result("a", "Snow.")], "messages[2]", "has one already"),
        ([result("b", "Snow.")], "messages[1]", "'a' has no result"),
    ],
)
def test_a_result_of_no_call_is_refused_with_its_place(
    results: list[dict[str, Any]], where: str, problem: str
) -> None:
    with pytest.raises(MessageError, match=problem) as caught:
        from_dicts([calling(A, B), *results])
    assert caught.value.where == where
