"""A model calls functions, hears what came of it, and answers; it cannot call for ever."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json

import PIL.Image
import pytest

from qwenvl_kit import ImagePart, Message, Request, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.dialects import from_dicts, to_openai, to_qwen
from qwenvl_kit.errors import InputError, MessageError, ToolError, ToolLimitError
from qwenvl_kit.thinking import ThinkingSwitch
from qwenvl_kit.tool_parts import ToolCall, ToolOffer

RED = PIL.Image.new("RGB", (56, 56), "red")


@dataclasses.dataclass
class Place:
    city: str
    day: datetime.date


def weather(city: str, days: int = 1) -> str:
    """Say what the weather will be."""
    return f"{city}: rain for {days}"


def crop(side: int) -> PIL.Image.Image:
    """A part of the picture."""
    return PIL.Image.new("RGB", (side, side), "blue")


def broken() -> None:
    """Fails."""
    raise RuntimeError("no wire")


def call(name: str, **arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': name, 'arguments': arguments})}</tool_call>"


def test_calls_in_an_answer_are_values_and_the_rest_is_its_text() -> None:
    answer = f"I look. {call('weather', city='Rome')}"
    reply = VisionChat(ScriptedBackend([answer])).ask("Rain?", RED, tools=[weather])
    assert reply.text == "I look."
    assert reply.raw_text == answer
    assert reply.tool_calls == (ToolCall("weather", {"city": "Rome"}),)
    assert reply.warnings == ()


@pytest.mark.parametrize("entrance", ["ask", "stream", "ask_async"])
def test_every_entrance_offers_tools_and_tells_calls_and_thoughts_from_the_answer(
    entrance: str,
) -> None:
    answer = f"<think>Rain.</think>I look. {call('weather', city='Rome')}"
    backend = ScriptedBackend([answer])
    chat = VisionChat(backend)
    options = {"tools": [weather], "thinking": True, "abstain_below": 0.99}
    if entrance == "stream":
        with chat.stream("Rain?", **options) as stream:
            assert "".join(delta.text for delta in stream) == answer
        reply = stream.reply
    elif entrance == "ask_async":
        reply = asyncio.run(chat.ask_async("Rain?", **options))
    else:
        reply = chat.ask("Rain?", **options)
    assert (reply.thinking, reply.text, reply.is_abstained) == ("Rain.", "I look.", True)
    assert reply.tool_calls == (ToolCall("weather", {"city": "Rome"}),)
    parts = [part for message in backend.requests[0].messages for part in message.parts]
    assert any(isinstance(part, ToolOffer) for part in parts)
    assert ThinkingSwitch(True) in parts


def test_an_answer_without_tools_on_offer_is_left_as_it_is() -> None:
    answer = call("weather", city="Rome")
    reply = VisionChat(ScriptedBackend([answer])).ask("Rain?")
    assert reply.text == answer
    assert reply.tool_calls == ()


def test_the_model_is_told_what_came_of_its_calls_until_it_answers() -> None:
    backend = ScriptedBackend(
        [call("weather", city="Rome") + call("weather", city="Bonn", days=2), "Rain in both."]
    )
    run = VisionChat(backend).run_tools("Rain?", RED, tools=[weather])
    assert str(run) == "Rain in both."
    assert [made.call.arguments["city"] for made in run.calls] == ["Rome", "Bonn"]
    assert [message.role for message in run.messages] == [
        "user", "assistant", "tool", "tool", "assistant",
    ]  # fmt: skip
    assert run.messages[3] == Message.tool("Bonn: rain for 2")
    offered = backend.requests[1].messages[0].parts[0]
    assert isinstance(offered, ToolOffer)
    assert json.loads(offered.tools[0])["function"]["name"] == "weather"


def test_what_goes_wrong_is_told_to_the_model() -> None:
    script = [
        call("broken") + call("weather", town="Rome") + call("nothing"),
        '<tool_call>{"name": "weather", "arg',
        "I give up.",
    ]
    run = VisionChat(ScriptedBackend(script)).run_tools("Rain?", tools=[weather, broken])
    assert str(run) == "I give up."
    texts = [made.result[0].text for made in run.calls]  # type: ignore[union-attr]
    assert texts[0] == "Error: RuntimeError: no wire"
    assert "do not fit" in texts[1]
    assert "no tool 'nothing'" in texts[2]
    assert isinstance(run.calls[0].error, RuntimeError)
    assert len(run.warnings) == 2


@pytest.mark.parametrize("value", ["NaN", '"\\ud800"', "1e999"])
def test_a_call_that_cannot_be_said_again_is_told_and_not_made(value: str) -> None:
    answer = f'<tool_call>{{"name": "weather", "arguments": {{"city": {value}}}}}</tool_call>'
    reply = VisionChat(ScriptedBackend([answer])).ask("Rain?", tools=[weather])
    assert reply.tool_calls == ()
    assert "nothing that JSON can hold" in reply.warnings[0]


def test_results_are_told_as_json_and_what_is_none_is_an_error() -> None:
    def place() -> Place:
        return Place("Rom", datetime.date(2026, 11, 21))

    def thing() -> object:
        return object()

    script = [call("place") + call("thing"), "Done."]
    run = VisionChat(ScriptedBackend(script)).run_tools("Where?", tools=[place, thing])
    first, second = (made.result[0].text for made in run.calls)  # type: ignore[union-attr]
    assert json.loads(first) == {"city": "Rom", "day": "2026-11-21"}
    assert second.startswith("Error:")
    assert " at 0x" not in second


def test_results_may_hold_pictures() -> None:
    backend = ScriptedBackend([call("crop", side=28), "Blue."])
    run = VisionChat(backend).run_tools("What is there?", RED, tools=[crop])
    assert isinstance(run.messages[2].parts[0], ImagePart)
    assert len(backend.requests[1].plan.images) == 2


def test_a_model_that_does_not_stop_is_stopped_and_nothing_is_lost() -> None:
    backend = ScriptedBackend(lambda _: call("weather", city="Rome"))
    with pytest.raises(ToolLimitError, match="after 3 rounds") as caught:
        VisionChat(backend).run_tools("Rain?", tools=[weather], max_rounds=3)
    assert len(caught.value.run.calls) == 3  # type: ignore[attr-defined]
    for rounds in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="max_rounds"):
            VisionChat(backend).run_tools("Rain?", tools=[weather], max_rounds=rounds)  # type: ignore[arg-type]


def test_tools_stand_in_the_system_message_that_there_is() -> None:
    backend = ScriptedBackend(["Yes."] * 2)
    chat = VisionChat(backend)
    chat.ask([Message.system("Be kind."), Message.user("Rain?")], tools=[weather])
    assert backend.requests[0].messages[0].text == "Be kind."
    assert len(backend.requests[0].messages) == 2
    (reply,) = chat.ask_many([Request("Rain?", tools=[weather])], on_error="raise")
    assert reply.text == "Yes."


def test_a_function_that_cannot_be_told_is_refused_before_anything_runs() -> None:
    backend = ScriptedBackend([])
    with pytest.raises(ToolError, match="no annotation"):
        VisionChat(backend).ask("Rain?", tools=[lambda_named])
    assert backend.requests == []


def lambda_named(city):  # type: ignore[no-untyped-def]
    return city


def test_calls_and_results_are_read_from_dicts_and_written_to_them() -> None:
    dicts = [
        {"role": "user", "content": "Rain?"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "a1", "type": "function",
             "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}]},
        {"role": "tool", "tool_call_id": "a1", "content": "Rain."},
    ]  # fmt: skip
    messages = from_dicts(dicts)
    assert messages[1].parts == (ToolCall("weather", {"city": "Rome"}, "a1"),)
    assert to_openai(messages)[1]["tool_calls"] == dicts[1]["tool_calls"]
    assert to_qwen(messages)[1]["tool_calls"][0]["function"]["arguments"] == {"city": "Rome"}
    assert from_dicts(to_qwen(messages)) == messages


@pytest.mark.parametrize(
    "calls",
    [
        "weather",
        [3],
        [{"function": 3}],
        [{"function": {"name": "f", "arguments": "{"}}],
        [{"function": {"name": "", "arguments": {}}}],
        [{"function": {"name": "f", "arguments": 3}}],
    ],
)
def test_calls_of_another_form_are_refused_with_their_place(calls: object) -> None:
    with pytest.raises(MessageError) as caught:
        from_dicts([{"role": "assistant", "content": "", "tool_calls": calls}])
    assert caught.value.where.startswith("messages[0]")
