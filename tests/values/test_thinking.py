"""The thoughts of an answer are parsed, and kept apart from its text."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwenvl_kit import Message, Request, VisionChat
from qwenvl_kit.backends.base import Completion
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import InputError
from qwenvl_kit.messages.thinking import ThinkingSwitch, Thoughts, split_thoughts
from qwenvl_kit.tasks import extract, stream_extract

RED = PIL.Image.new("RGB", (56, 56), "red")


@pytest.mark.parametrize(
    ("text", "begins_inside", "thoughts"),
    [
        ("A cup.", False, Thoughts(None, "A cup.")),
        ("<think>\nIs it?\n</think>\n\nA cup.", False, Thoughts("Is it?", "A cup.")),
        ("Is it?\n</think>\n\nA cup.", True, Thoughts("Is it?", "A cup.")),
        ("The tag </think> closes.", False, Thoughts(None, "The tag </think> closes.")),
        ("</think>", False, Thoughts(None, "</think>")),
        ("A <think>b</think> c.", False, Thoughts(None, "A <think>b</think> c.")),
        (" <think>a</think>b</think>c", False, Thoughts("a", "b</think>c")),
        ("<think>\n\n</think>\n\nA cup.", False, Thoughts(None, "A cup.")),
        ("<think>Is it", False, Thoughts("Is it", "", is_closed=False)),
        ("Is it", True, Thoughts("Is it", "", is_closed=False)),
        ("", True, Thoughts(None, "", is_closed=False)),
        ("I <think> so.", False, Thoughts(None, "I <think> so.")),
    ],
)
def test_thoughts_and_answer_are_parsed(text: str, begins_inside: bool, thoughts: Thoughts) -> None:
    assert split_thoughts(text, begins_inside=begins_inside) == thoughts


@settings(deadline=None)
@given(st.text(max_size=40), st.booleans())
def test_without_marks_all_is_one_or_the_other(text: str, begins_inside: bool) -> None:
    if "think>" not in text:
        found = split_thoughts(text, begins_inside=begins_inside)
        assert found.answer == ("" if begins_inside else text)


def test_a_closing_tag_in_the_answer_of_a_model_that_does_not_think_stays() -> None:
    written = "The sign says </think> in red."
    chat = VisionChat(ScriptedBackend([written] * 2))
    reply = chat.ask("What does it say?", RED)
    assert (reply.text, reply.thinking, reply.raw_text) == (written, None, None)
    with chat.stream("What does it say?", RED) as stream:
        assert "".join(delta.text for delta in stream) == stream.reply.text == written


def test_a_reply_has_its_thoughts_apart_and_scores_of_its_answer() -> None:
    backend = ScriptedBackend(["<think> Is it? </think>\n\nA cup."], logprob=-0.5)
    reply = VisionChat(backend).ask("What?")
    assert reply.thinking == "Is it?"
    assert reply.text == str(reply) == "A cup."
    assert reply.raw_text == "<think> Is it? </think>\n\nA cup."
    assert reply.probability_between(2, 6) == pytest.approx(math.exp(-0.5))
    assert [token.text for token in reply.tokens_between(2, 6)] == [" cup."]


def test_a_value_is_read_after_the_thoughts_about_it() -> None:
    script = ['<think> {"a": 0} </think> {"a": 1}'] * 2
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    chat = VisionChat(ScriptedBackend(script, logprob=-0.5))
    found = extract(chat, RED, schema)
    assert found.value == {"a": 1}
    assert found.confidences["a"] == pytest.approx(math.exp(-0.5))
    *partial, last = stream_extract(chat, RED, schema)
    assert last == {"a": 1}
    assert partial == [{}, {"a": 1}]


class Opened(ScriptedBackend):
    """A model whose prompt has opened its thoughts."""

    def _complete(self, *asked: Any) -> Completion:
        return replace(super()._complete(*asked), begins_in_thought=True)


def test_a_value_is_read_as_it_grows_after_thoughts_that_the_prompt_opened() -> None:
    chat = VisionChat(Opened(['Is it [1]? </think> {"a": 1, "b": 2}']))
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    assert list(stream_extract(chat, RED, schema)) == [
        {},
        {"a": 1},
        {"a": 1, "b": 2},
        {"a": 1, "b": 2},
    ]


def test_an_answer_that_ends_among_its_thoughts_is_none_and_says_so() -> None:
    reply = VisionChat(ScriptedBackend(["<think> Is it"])).ask("What?")
    assert reply.text == ""
    assert reply.thinking == "Is it"
    assert "among the model's thoughts" in reply.warnings[0]


def test_a_conversation_goes_on_without_thoughts() -> None:
    conversation = VisionChat(ScriptedBackend(["<think>Hm.</think>A cup.", "Red."])).start()
    conversation.ask("What?")
    assert conversation.messages[-1] == Message.assistant("A cup.")


def test_a_request_may_switch_thinking_on_or_off() -> None:
    backend = ScriptedBackend(["Yes."] * 3)
    chat = VisionChat(backend)
    chat.ask("What?", thinking=True)
    chat.ask_many([Request("What?", thinking=False), "What?"])
    first = [request.messages[0].parts[0] for request in backend.requests]
    assert first[:2] == [ThinkingSwitch(True), ThinkingSwitch(False)]
    assert len(backend.requests[2].messages) == 1
    for value in ("yes", 1, 0):
        with pytest.raises(InputError, match="thinking="):
            chat.ask("What?", thinking=value)  # type: ignore[arg-type]
