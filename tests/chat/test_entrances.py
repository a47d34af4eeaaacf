"""Every method that asks takes a `Request`, and has those settings of `ask` that it can use."""

from __future__ import annotations

import asyncio
import copy
import inspect
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import Conversation, Message, PixelBudget, Reply, Request, Sampling, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import BudgetError, MessageError, ModelLoadError, SamplingError, ToolError
from qwenvl_kit.requests import SETTINGS
from qwenvl_kit.structured_output.constraints import Constraint

RED = PIL.Image.new("RGB", (84, 56), "red")
BRIEF = Sampling(max_new_tokens=1)

MEANINGLESS: dict[str, set[str]] = {
    "ask": set(),
    "stream": set(),
    "ask_async": set(),
    "ask_many": set(),
    "stream_many": set(),
    "start.ask": set(),
    "plan": {"abstain_below"},  # it says something of an answer, and there is none
    "run_tools": {"constraint"},  # an answer with a constraint calls nothing
}
"""The settings that a method does not take."""


def weather(city: str) -> str:
    """Say what the weather will be."""
    return f"rain in {city}"


def method(name: str) -> Callable[..., Any]:
    return Conversation.ask if name == "start.ask" else getattr(VisionChat, name)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", MEANINGLESS)
def test_a_method_has_the_settings_of_ask_with_the_same_types_and_defaults(name: str) -> None:
    model = inspect.signature(VisionChat.ask).parameters
    own = inspect.signature(method(name)).parameters
    assert {*SETTINGS} - own.keys() == MEANINGLESS[name]
    for setting in {*SETTINGS, "num_samples"} & own.keys():
        assert own[setting].default == model[setting].default, setting
        assert own[setting].annotation == model[setting].annotation, setting
        assert own[setting].kind is inspect.Parameter.KEYWORD_ONLY, setting


def test_a_request_has_the_settings_of_ask() -> None:
    assert {*SETTINGS} == inspect.signature(Request).parameters.keys() - {"messages", "id", "_"}
    assert {*SETTINGS} == inspect.signature(VisionChat.ask).parameters.keys() - {
        *("self", "prompt", "media", "num_samples")
    }


def entrances(chat: VisionChat) -> dict[str, Callable[..., Any]]:
    """Each way to one answer, with the same arguments."""
    return {
        "ask": chat.ask,
        "stream": lambda *asked, **settings: chat.stream(*asked, **settings).reply,
        "ask_async": lambda *asked, **settings: asyncio.run(chat.ask_async(*asked, **settings)),
        "ask_many": lambda asked, *media, **settings: chat.ask_many(
            [Request.about(asked, *media)], on_error="raise", **settings
        )[0],
        "stream_many": lambda asked, *media, **settings: chat.stream_many(
            [Request.about(asked, *media)], **settings
        ).results[0],
        "start.ask": chat.start().ask,
        "run_tools": lambda *asked, **settings: (
            chat.run_tools(*asked, **{"tools": [weather], **settings}).reply
        ),
    }


@pytest.mark.parametrize("name", entrances(VisionChat(ScriptedBackend([]))))
def test_a_request_in_place_of_a_question_brings_its_own_settings(name: str) -> None:
    backend = ScriptedBackend(["a b c"])
    asked = Request.about("what?", RED, id="7", sampling=BRIEF, budget="quick", abstain_below=0.99)
    reply = entrances(VisionChat(backend))[name](asked)
    assert (reply.text, reply.request_id, reply.is_abstained) == ("a", "7", True)
    assert backend.requests[0].sampling == BRIEF
    assert len(backend.requests[0].media) == 1


@pytest.mark.parametrize("name", entrances(VisionChat(ScriptedBackend([]))))
def test_a_setting_of_the_request_comes_before_that_of_the_call(name: str) -> None:
    backend = ScriptedBackend(["a b c"])
    asked = Request("what?", sampling=BRIEF)
    reply = entrances(VisionChat(backend))[name](
        asked, sampling=Sampling(max_new_tokens=3), abstain_below=0.99
    )
    assert (reply.text, reply.is_abstained) == ("a", True)


def test_pictures_may_follow_a_request() -> None:
    backend = ScriptedBackend(["yes"])
    VisionChat(backend).ask(Request("Red?", id="7"), RED)
    assert [len(request.media) for request in backend.requests] == [1]


@pytest.mark.parametrize(
    "settings",
    [
        {"tools": [weather]},
        {"thinking": True},
        {"constraint": Constraint.from_choices(["a", "b"])},
        {"sampling": BRIEF},
        {"budget": PixelBudget(max_tokens=8)},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_plan_costs_what_ask_with_the_same_arguments_runs(settings: dict[str, Any]) -> None:
    chat = VisionChat(ScriptedBackend(["a"] * 3))
    plan = chat.plan("Rain?", RED, **settings)
    assert plan == chat.ask("Rain?", RED, **settings).plan
    assert plan == chat.plan(Request.about("Rain?", RED, **settings))


def test_what_would_fail_every_request_of_a_batch_is_an_error_of_the_call() -> None:
    chat = VisionChat(ScriptedBackend([]))
    for ask_all in (chat.ask_many, chat.stream_many):
        with pytest.raises(SamplingError):
            ask_all(["a"], sampling={"temperature": 1})
        with pytest.raises(BudgetError):
            ask_all(["a"], budget="lavish")
        with pytest.raises(BudgetError):
            ask_all(["a"], fit="squeeze")


def test_calls_of_tools_become_part_of_a_conversation() -> None:
    called = '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}</tool_call>'
    backend = ScriptedBackend([called, "It rains."])
    conversation = VisionChat(backend).start()
    reply = conversation.ask("Rain?", tools=[weather])
    assert [call.name for call in reply.tool_calls] == ["weather"]
    assert conversation.ask(Message.tool("rain in Rome"), tools=[weather]).text == "It rains."
    roles = [message.role for message in conversation.messages]
    assert roles == ["user", "assistant", "tool", "assistant"]
    assert conversation.messages[1].parts == reply.tool_calls


def test_an_answer_that_was_begun_is_no_question_for_tools() -> None:
    begun = Request([Message.user("Rain?"), Message.assistant("It")], tools=[weather])
    with pytest.raises(MessageError, match="begun"):
        VisionChat(ScriptedBackend([])).run_tools(begun)


def test_samples_end_when_the_task_that_waits_for_them_is_cancelled() -> None:
    may_answer = threading.Event()

    def answer(_: object) -> str:
        may_answer.wait(60)
        return "a b c"

    chat = VisionChat(ScriptedBackend(answer))

    async def ask_and_cancel() -> None:
        task = asyncio.create_task(chat.ask_async("what?", num_samples=2))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.sleep(0)
        may_answer.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask_and_cancel())
    assert chat.close(grace_seconds=60), "nothing is in flight any more"


def test_a_reply_is_counted_and_told_before_the_chat_is_closed() -> None:
    chat = VisionChat(ScriptedBackend(lambda _: "yes"))
    told = list[str]()

    class Slow:
        def on_reply(self, reply: Reply) -> None:
            time.sleep(0.05)
            told.append(reply.text)

        def on_failure(self, error: Exception) -> None: ...

    chat.listeners.add(Slow())
    thread = threading.Thread(target=chat.ask, args=("a",))
    thread.start()
    while not chat._pipeline._num_uses:
        time.sleep(0.001)
    assert chat.close(grace_seconds=60)
    assert (told, chat.stats().num_replies) == (["yes"], 1)
    thread.join()


def test_an_error_of_a_replaced_backend_costs_no_reply() -> None:
    may_answer = threading.Event()

    class Broken(ScriptedBackend):
        def close(self) -> None:
            raise RuntimeError("close failed")

    chat = VisionChat(Broken(lambda _: "fine" if may_answer.wait(60) else "late"))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(chat.ask, "a")
        while not chat._pipeline._num_uses:
            time.sleep(0.001)
        chat.reload(VisionChat(ScriptedBackend([])))
        may_answer.set()
        assert asked.result().text == "fine"


def cancelled_tasks(chat: VisionChat) -> object:
    async def cancel() -> list[BaseException]:
        tasks = [asyncio.create_task(chat.ask_async(f"{number}")) for number in range(3)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        return list(await asyncio.gather(*tasks, return_exceptions=True))  # type: ignore[arg-type]

    return asyncio.run(cancel())


def left_batch(chat: VisionChat) -> object:
    with chat.stream_many(["a", "b"]) as stream:
        pass
    return stream


def cancelled_batch(chat: VisionChat) -> object:
    stream = chat.stream_many(["a", "b"])
    stream.cancel()
    return stream


def cancelled_stream(chat: VisionChat) -> object:
    stream = chat.stream("a")
    stream.cancel()
    return stream


def refused_batches(chat: VisionChat) -> object:
    class Bad(list[str]):
        def __iter__(self) -> Iterator[str]:
            raise OSError("no rows")

    errors = list[Exception]()
    for ask_all in (chat.ask_many, chat.stream_many):
        try:
            ask_all(Bad(["a"]))
        except OSError as error:
            errors.append(error)
    return errors


@pytest.mark.parametrize(
    "leave", [cancelled_tasks, left_batch, cancelled_batch, cancelled_stream, refused_batches]
)
def test_what_was_left_is_not_waited_for_though_somebody_holds_it(
    leave: Callable[[VisionChat], object],
) -> None:
    chat = VisionChat(ScriptedBackend(lambda _: "yes"))
    held = leave(chat)
    assert chat.close(grace_seconds=30)
    assert held is not None


def test_a_copy_of_a_chat_goes_on_when_the_other_reloads() -> None:
    chat = VisionChat(ScriptedBackend(["old"]))
    copied = copy.copy(chat)
    chat.reload(VisionChat(ScriptedBackend(["new"])))
    assert copied.ask("a").text == "new"


def test_an_empty_list_of_tools_takes_those_of_the_call() -> None:
    backend = ScriptedBackend(["yes"])
    VisionChat(backend).ask(Request("q", tools=[]), tools=[weather])
    assert [message.role for message in backend.requests[0].messages] == ["system", "user"]


def test_tools_that_come_one_by_one_are_offered_to_every_request() -> None:
    backend = ScriptedBackend(["a", "b"])
    VisionChat(backend).ask_many(["1", "2"], tools=(tool for tool in [weather]))  # type: ignore[arg-type]
    assert [len(request.messages) for request in backend.requests] == [2, 2]
    assert backend.requests[0].messages[0] == backend.requests[1].messages[0]


def test_tools_that_cannot_be_used_are_an_error_of_the_call() -> None:
    with pytest.raises(ToolError):
        VisionChat(ScriptedBackend([])).ask_many(["x"], tools=3)  # type: ignore[call-overload]
    with pytest.raises(ToolError, match="no tools"):
        VisionChat(ScriptedBackend([])).run_tools("x")


def test_a_call_that_cannot_be_read_stays_in_the_conversation() -> None:
    broken = '<tool_call>{"name": "weather", "arguments": </tool_call>'
    conversation = VisionChat(ScriptedBackend([broken])).start()
    reply = conversation.ask("Rain?", tools=[weather])
    assert reply.unread_calls
    assert broken in conversation.messages[1].text


def test_requests_that_are_prepared_and_streams_that_nobody_reads_are_in_flight() -> None:
    is_opening, may_open = threading.Event(), threading.Event()

    class Slow(ScriptedBackend):
        def count_prompt_tokens(self, messages: Any, media: Any) -> int:
            is_opening.set()
            may_open.wait(60)
            return super().count_prompt_tokens(messages, media)

    chat = VisionChat(Slow(lambda _: "yes"))
    found = list[str]()
    thread = threading.Thread(target=lambda: found.append(chat.ask("a").text))
    thread.start()
    is_opening.wait(60)
    assert not chat.close(grace_seconds=0.05), "it is being prepared"
    with pytest.raises(ModelLoadError, match="closed"):
        chat.ask("b")
    may_open.set()
    thread.join()
    assert found == ["yes"]
    stream_of = VisionChat(ScriptedBackend(["a b"]))
    stream = stream_of.stream("a")
    assert not stream_of.close(grace_seconds=0.05), "nobody has read it"
    assert stream.reply.text == "a b"
    assert stream_of.close(grace_seconds=60)
