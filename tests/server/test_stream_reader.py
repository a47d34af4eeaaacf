"""What a server says becomes the reply that any other backend would give."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import Failure, ImagePart, Message, Sampling
from qwenvl_kit.errors import UnsupportedFeatureError

from .conftest import Connect
from .speaking import Speaker

RED = PIL.Image.new("RGB", (84, 56), "red")


def test_text_scores_and_usage_are_the_servers(connect: Connect) -> None:
    reply = connect(Speaker()).ask("What?", RED)
    assert str(reply) == "A red circle."
    assert [token.text for token in reply.tokens or ()] == ["A", " red", " circle", "."]
    assert reply.confidence == pytest.approx(math.exp(-0.25))
    assert reply.usage.prompt_tokens == 33
    assert (reply.usage.completion_tokens, reply.usage.reused_tokens) == (5, 16)
    assert reply.finish_reason == "stop"


def test_the_likeliest_tokens_come_along_where_they_are_asked_for(connect: Connect) -> None:
    reply = connect(Speaker()).ask("What?", sampling=Sampling(num_alternatives=2))
    assert reply.tokens is not None
    assert [other.text for other in reply.tokens[1].alternatives] == [" red", " blue"]


def test_what_a_server_does_not_tell_is_not_invented(connect: Connect) -> None:
    chat = connect(Speaker(logprob=None))
    reply = chat.ask("What?")
    assert reply.tokens is None
    assert reply.confidence is None
    assert chat.report()["logprobs"] == "no"
    with pytest.raises(UnsupportedFeatureError, match="no log-probabilities"):
        chat.ask("What?", sampling=Sampling(num_alternatives=2))


def test_a_token_that_ends_an_answer_is_no_part_of_it(connect: Connect) -> None:
    reply = connect(Speaker(words=["No", "<|im_end|>"])).ask("What?")
    assert reply.tokens is not None
    assert [token.text for token in reply.tokens] == ["No"]
    assert reply.end_token is not None


def test_a_stream_is_read_as_it_comes(connect: Connect) -> None:
    with connect(Speaker()).stream("What?") as stream:
        pieces = [delta.text for delta in stream]
    assert pieces == ["A", " red", " circle", "."]
    assert stream.reply.text == "A red circle."


def test_thoughts_that_a_server_has_parsed_are_the_replys_thinking(connect: Connect) -> None:
    deltas: list[dict[str, Any]] = [
        {"reasoning_content": "It is "},
        {"reasoning_content": "round."},
        {"content": "A circle."},
    ]
    with connect(Speaker(deltas=deltas, logprob=None)).stream("What?") as stream:
        shown = "".join(delta.text for delta in stream)
    assert stream.reply.thinking == "It is round."
    assert stream.reply.text == "A circle."
    assert shown == "<think>\nIt is round.\n</think>\n\nA circle."


def test_thoughts_that_a_server_leaves_in_the_text_are_found_where_a_prompt_may_have_opened_them(
    connect: Connect, tiny_folder: Path
) -> None:
    deltas: list[dict[str, Any]] = [{"content": "It is round."}, {"content": "\n</think>\n\nA"}]
    unknown = connect(Speaker(deltas=deltas, logprob=None, owner="openai")).ask("What?")
    assert (unknown.thinking, unknown.text) == ("It is round.", "A")
    known = Speaker(deltas=deltas, logprob=None)
    reply = connect(known, checkpoint=tiny_folder).ask("What?")
    assert (reply.thinking, reply.text) == (None, "It is round.\n</think>\n\nA")


def test_a_call_that_a_server_has_parsed_and_cut_off_is_not_made(connect: Connect) -> None:
    def weather(city: str = "Ulm") -> str:
        """The weather."""
        return city

    function = {"name": "weather", "arguments": '{"city": "Ro'}
    deltas = [{"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": function}]}]
    speaker = Speaker(deltas=deltas, owner="openai", finish="length")
    reply = connect(speaker).ask("What?", tools=[weather])
    assert reply.tool_calls == ()
    assert "cut off" in reply.unread_calls[0].reason


def test_calls_that_a_server_has_parsed_are_the_replys_calls(connect: Connect) -> None:
    def weather(city: str) -> str:
        """The weather.

        Args:
            city: where.
        """
        return city

    function = {"name": "weather", "arguments": '{"ci'}
    deltas: list[dict[str, Any]] = [
        {"content": "Let me see."},
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": function}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": 'ty": "Ulm"}'}}]},
    ]
    speaker = Speaker(deltas=deltas, owner="openai", finish="tool_calls")
    reply = connect(speaker).ask("What?", tools=[weather])
    (call,) = reply.tool_calls
    assert (call.name, dict(call.arguments)) == ("weather", {"city": "Ulm"})
    assert reply.text == "Let me see."
    assert speaker.requests[0]["tool_choice"] == "auto"


def test_an_answer_that_was_cut_for_its_length_says_so(connect: Connect) -> None:
    assert connect(Speaker(finish="length")).ask("What?").finish_reason == "length"


def test_a_stop_string_ends_an_answer_before_it(connect: Connect) -> None:
    reply = connect(Speaker()).ask("What?", sampling=Sampling(stop=(" circle",)))
    assert (reply.text, reply.finish_reason) == ("A red", "stop")


def test_an_answer_that_goes_round_in_a_circle_is_ended(connect: Connect) -> None:
    reply = connect(Speaker(words=[" a", " b"] * 200)).ask("What?")
    assert reply.finish_reason == "repetition"
    assert len(reply.tokens or ()) < 200


def test_what_there_is_at_the_deadline_is_the_answer(connect: Connect) -> None:
    chat = connect(Speaker(words=[" a"] * 5000, pause_seconds=0.05))
    sampling = Sampling(max_seconds=1.5, max_cycle_tokens=None, max_new_tokens=5000)
    reply = chat.ask("What?", sampling=sampling)
    assert reply.finish_reason == "deadline"
    assert 1 <= len(reply.tokens or ()) < 5000


def test_cancelling_a_stream_ends_the_servers_work(connect: Connect) -> None:
    speaker = Speaker(words=[" a"] * 500, pause_seconds=0.02)
    chat = connect(speaker)
    with chat.stream("What?", sampling=Sampling(max_cycle_tokens=None)) as stream:
        next(stream)
        stream.cancel()
        reply = stream.reply
    assert reply.finish_reason == "cancelled"
    deadline = time.monotonic() + 5
    while not speaker.num_cut and time.monotonic() < deadline:
        time.sleep(0.02)
    assert speaker.num_cut == 1


def test_so_many_requests_are_with_the_server_at_a_time(connect: Connect) -> None:
    speaker = Speaker(pause_seconds=0.02)
    chat = connect(speaker, max_concurrent_requests=3)
    replies = chat.ask_many([f"What is {n}?" for n in range(12)])
    assert not any(isinstance(reply, Failure) for reply in replies)
    assert speaker.most_running == 3


def test_awaited_questions_run_together(connect: Connect) -> None:
    speaker = Speaker(pause_seconds=0.05)
    chat = connect(speaker)

    async def ask_all() -> list[str]:
        return [str(r) for r in await asyncio.gather(*(chat.ask_async("?") for _ in range(6)))]

    assert asyncio.run(ask_all()) == ["A red circle."] * 6
    assert speaker.most_running > 1


def test_a_conversation_goes_on_with_what_was_said(connect: Connect) -> None:
    speaker = Speaker()
    conversation = connect(speaker).start("Be brief.")
    conversation.ask("What?", RED)
    conversation.ask("Sure?")
    said = speaker.requests[1]["messages"]
    assert [message["role"] for message in said] == ["system", "user", "assistant", "user"]
    assert said[2]["content"] == "A red circle."


def test_a_chat_that_is_closed_leaves_no_thread(connect: Connect) -> None:
    others = set(threading.enumerate())
    chat = connect(Speaker())
    chat.ask("What?")
    started = _threads() - others
    assert started
    chat.close()
    deadline = time.monotonic() + 5
    while started & _threads() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not started & _threads()
    assert not chat.health().is_ready


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_asks_by_a_line_of_its_own(connect: Connect) -> None:
    chat = connect(Speaker())
    chat.ask("What?")
    child = os.fork()
    if not child:  # the process of the test must not go on twice
        os._exit(0 if chat.ask("What?").text == "A red circle." else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert chat.ask("What?").text == "A red circle."


def test_numbers_that_are_none_are_not_taken_for_some(connect: Connect) -> None:
    reply = connect(Speaker(usage={"prompt_tokens": "many", "completion_tokens": -3})).ask("What?")
    assert reply.usage.prompt_tokens == reply.plan.prompt_tokens
    assert reply.usage.completion_tokens == 4


def test_a_batch_keeps_its_journal(connect: Connect, tmp_path: Any) -> None:
    speaker = Speaker()
    chat = connect(speaker)
    questions = [Message.user(ImagePart(RED), "What?"), "Why?"]
    chat.ask_many(questions, journal=tmp_path / "run.jsonl")
    replies = chat.ask_many(questions, journal=tmp_path / "run.jsonl")
    assert [str(reply) for reply in replies] == ["A red circle."] * 2
    assert len(speaker.requests) == 2


def _threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("qwenvl_kit server")}
