"""A model calls functions, hears what came of it, and answers; it cannot call for ever."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
from pathlib import Path

import PIL.Image
import pytest

from qwenvl_kit import ImagePart, Message, Request, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import InputError, MessageError, ToolError, ToolLimitError
from qwenvl_kit.formats.dicts import from_dicts, to_openai, to_qwen
from qwenvl_kit.messages.thinking import ThinkingSwitch
from qwenvl_kit.messages.thinking_parts import ThinkingPart
from qwenvl_kit.messages.tool_parts import ToolCall, ToolOffer

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
    assert len(run.warnings) == 3


CUT_OFF = '<tool_call>{"name": "weather", "arguments": {"city": "Ro'
MISSPELT = '<tool_call>{"name": "weather", "argument": {"city": "Rome"}}</tool_call>'
BARE = '```json\n{"name": "weather", "arguments": {"city": "Rome"}}\n```'


@pytest.mark.parametrize("written", [CUT_OFF, MISSPELT])
def test_a_call_that_is_not_understood_is_not_made_and_the_model_hears_why(written: str) -> None:
    backend = ScriptedBackend([f"I look. {written}", call("weather", city="Rome"), "Rain."])
    run = VisionChat(backend).run_tools("Rain?", tools=[weather])
    assert str(run) == "Rain."
    assert [dict(made.call.arguments) for made in run.calls] == [{"city": "Rome"}]
    _, wrote, told = backend.requests[1].messages[-3:]
    assert wrote == Message.assistant(f"I look.\n{written}")
    assert told.role == "tool"
    assert "not understood and not made" in told.text
    (warning,) = run.warnings
    assert "a call is not understood" in warning
    assert run.reply.warnings == ()


def test_calls_beside_one_that_is_not_understood_are_made() -> None:
    backend = ScriptedBackend([call("weather", city="Rome") + CUT_OFF, "Rain."])
    run = VisionChat(backend).run_tools("Rain?", tools=[weather])
    assert [message.role for message in run.messages] == [
        "user", "assistant", "tool", "tool", "assistant",
    ]  # fmt: skip
    assert run.messages[2] == Message.tool("Rome: rain for 1")
    assert "not made" in run.messages[3].text


def test_what_looks_like_a_call_is_an_answer_if_it_is_said_twice() -> None:
    backend = ScriptedBackend([BARE, BARE])
    run = VisionChat(backend).run_tools("How is it called?", tools=[weather])
    assert str(run) == BARE
    assert run.calls == ()
    assert "If it is your answer" in backend.requests[1].messages[-1].text
    assert len(run.warnings) == 1
    backend = ScriptedBackend([BARE, call("weather", city="Rome"), "Rain."])
    run = VisionChat(backend).run_tools("Rain?", tools=[weather])
    assert (str(run), len(run.calls)) == ("Rain.", 1)


def test_what_looks_like_a_call_in_the_last_round_is_the_answer() -> None:
    run = VisionChat(ScriptedBackend([BARE])).run_tools("How?", tools=[weather], max_rounds=1)
    assert str(run) == BARE
    assert run.messages[-1] == Message.assistant(BARE)


def test_a_model_whose_calls_are_never_understood_is_stopped() -> None:
    backend = ScriptedBackend(lambda _: CUT_OFF)
    with pytest.raises(ToolLimitError, match="not understood, as it is cut off") as caught:
        VisionChat(backend).run_tools("Rain?", tools=[weather], max_rounds=2)
    assert "max_new_tokens" in str(caught.value)
    assert caught.value.run.calls == ()  # type: ignore[attr-defined]


@pytest.mark.parametrize("written", [CUT_OFF, MISSPELT, BARE, call("weather", city="Rome")])
def test_a_stream_ends_with_the_reply_that_ask_gives(written: str) -> None:
    chat = VisionChat(ScriptedBackend([written] * 2))
    asked = chat.ask("Rain?", tools=[weather])
    with chat.stream("Rain?", tools=[weather]) as stream:
        assert "".join(delta.text for delta in stream) == written
    fields = ("text", "raw_text", "tool_calls", "unread_calls", "warnings")
    assert [getattr(stream.reply, name) for name in fields] == [
        getattr(asked, name) for name in fields
    ]


def test_calls_that_are_not_understood_come_back_from_a_journal(tmp_path: Path) -> None:
    requests = [Request("Rain?", tools=[weather])]
    chat = VisionChat(ScriptedBackend([MISSPELT]))
    (asked,) = chat.ask_many(requests, journal=tmp_path / "journal.jsonl", on_error="raise")
    (kept,) = chat.ask_many(requests, journal=tmp_path / "journal.jsonl", on_error="raise")
    assert kept.unread_calls == asked.unread_calls != ()


def test_a_call_among_thoughts_that_were_not_closed_is_told_and_one_among_closed_ones_is_none() -> (
    None
):
    written = call("weather", city="Rome")
    backend = ScriptedBackend([f"<think>I look. {written}", written, "Rain."])
    run = VisionChat(backend).run_tools("Rain?", tools=[weather])
    assert (str(run), len(run.calls)) == ("Rain.", 1)
    assert "thoughts that were not closed" in backend.requests[1].messages[-1].text
    closed = ScriptedBackend([f"<think>I could {written}.</think>No."])
    reply = VisionChat(closed).ask("Rain?", tools=[weather])
    assert (reply.text, reply.tool_calls, reply.unread_calls) == ("No.", (), ())


def test_thoughts_go_back_to_the_model_while_it_calls_tools() -> None:
    script = [f"<think>\nFirst Rome.\n</think>\n\n{call('weather', city='Rome')}", "Rain."]
    backend = ScriptedBackend(script)
    run = VisionChat(backend).run_tools("Rain?", tools=[weather])
    thought, called = backend.requests[1].messages[-2].parts
    assert thought == ThinkingPart("First Rome.")
    assert called == ToolCall("weather", {"city": "Rome"})
    assert run.messages[-1] == Message.assistant("Rain.")


def test_a_name_that_cannot_be_said_again_is_told_and_not_made() -> None:
    answer = '<tool_call>{"name": "\\ud800", "arguments": {}}</tool_call>'
    run = VisionChat(ScriptedBackend([answer, "Rain."])).run_tools("Rain?", tools=[weather])
    assert (str(run), run.calls) == ("Rain.", ())
    assert "cannot be written as JSON" in run.warnings[0]


@pytest.mark.parametrize("value", ["NaN", '"\\ud800"', "1e999"])
def test_a_call_that_cannot_be_said_again_is_told_and_not_made(value: str) -> None:
    answer = f'<tool_call>{{"name": "weather", "arguments": {{"city": {value}}}}}</tool_call>'
    reply = VisionChat(ScriptedBackend([answer])).ask("Rain?", tools=[weather])
    assert reply.tool_calls == ()
    assert "cannot be written as JSON" in reply.warnings[0]


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


def test_thoughts_are_read_from_dicts_and_written_to_them() -> None:
    calls = [{"type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}]
    for key in ("reasoning_content", "reasoning"):
        dicts = [
            {"role": "user", "content": "Rain?"},
            {"role": "assistant", "content": None, key: "First Rome.", "tool_calls": calls},
            {"role": "tool", "content": "Rain."},
            {"role": "assistant", "content": "Rain.", key: "Done."},
        ]
        messages = from_dicts(dicts)
        assert messages[1].parts == (
            ThinkingPart("First Rome."), ToolCall("weather", {"city": "Rome"}),
        )  # fmt: skip
        assert messages[3] == Message.assistant(ThinkingPart("Done."), "Rain.")
        for written in (to_qwen(messages), to_openai(messages)):
            assert written[1]["reasoning_content"] == "First Rome."
            assert from_dicts(written) == messages


@pytest.mark.parametrize("empty", [None, "", []])
def test_keys_for_thoughts_that_hold_nothing_change_nothing(empty: object) -> None:
    (message,) = from_dicts([{"role": "assistant", "content": "Yes.", "reasoning": empty}])
    assert message == Message.assistant("Yes.")


@pytest.mark.parametrize(
    "keys",
    [
        {"reasoning_content": ["a"]},
        {"reasoning": {"effort": "low"}},
        {"reasoning": 3},
        {"reasoning": "a", "reasoning_content": "b"},
        {"reasoning": "half \ud800"},
    ],
)
def test_thoughts_of_another_form_are_refused_with_their_place(keys: dict[str, object]) -> None:
    with pytest.raises(MessageError) as caught:
        from_dicts([{"role": "assistant", "content": "Yes.", **keys}])
    assert caught.value.where.startswith("messages[0]")
    with pytest.raises(MessageError, match="cannot hold"):
        from_dicts([{"role": "user", "content": "Yes.", "reasoning": "Hm."}])


def test_thoughts_are_text() -> None:
    with pytest.raises(MessageError, match="thoughts of type int"):
        ThinkingPart(3)  # type: ignore[arg-type]
    assert Message.assistant(ThinkingPart("Hm."), "Yes.").text == "Yes."


def test_a_call_of_a_tool_that_was_not_offered_is_told() -> None:
    answer = '<tool_call>{"name": "erase", "arguments": {}}</tool_call>'
    reply = VisionChat(ScriptedBackend([answer])).ask("Rain?", tools=[weather])
    assert [call.name for call in reply.tool_calls] == ["erase"]
    assert reply.warnings == ("a call of 'erase', which is no tool that was offered",)


def test_a_reply_with_a_warning_alone_has_no_other_raw_text() -> None:
    answer = '{"name": "weather", "arguments": {"city": "Rome"}}'
    reply = VisionChat(ScriptedBackend([answer])).ask("Rain?", tools=[weather])
    assert reply.warnings
    assert (reply.text, reply.raw_text) == (answer, None)
