"""Asking without waiting: from event loops, from threads, and with many answers read at once."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import PIL.Image
import pytest

from qwenvl_kit import Failure, Message, Request, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.scripted import ScriptedBackend
from qwenvl_kit.errors import (
    ContextLengthError,
    GenerationError,
    InputError,
    MediaNotFoundError,
    OutOfMemoryError,
    OverloadError,
)

ANSWER = "one two three four five six"
LARGE = PIL.Image.new("RGB", (840, 840), "red")


def _echo(request):
    return request.messages[-1].text


class HeldBackend(ScriptedBackend):
    """Answers nothing before it is let, and takes a few requests at a time."""

    def __init__(self, max_waiting=10**6):
        super().__init__(_echo)
        self.may_answer = threading.Event()
        self._places = threading.Semaphore(max_waiting)
        self.completions = []

    def submit(self, request, observer=None):
        if not self._places.acquire(blocking=False):
            raise OverloadError("full")
        future = super().submit(request, observer)
        future.add_done_callback(lambda _: self._places.release())
        return future

    def _complete(self, request, observer):
        while not self.may_answer.wait(0.001) and not (observer and observer.is_cancelled()):
            pass
        self.completions.append(super()._complete(request, observer))
        return self.completions[-1]


class NarrowBackend(ScriptedBackend):
    """Has no memory for more than some visual tokens."""

    def __init__(self, max_visual_tokens):
        super().__init__(_echo)
        self._max_visual_tokens = max_visual_tokens

    def _complete(self, request, observer):
        if request.plan.visual_tokens > self._max_visual_tokens:
            raise OutOfMemoryError("too little memory")
        return super()._complete(request, observer)


async def _gathered(chat, questions):
    return await asyncio.gather(*(chat.ask_async(question) for question in questions))


def test_tasks_that_ask_at_once_all_get_their_own_answers():
    questions = [f"question {index}" for index in range(40)]
    replies = asyncio.run(_gathered(VisionChat(ScriptedBackend(_echo)), questions))
    assert [reply.text for reply in replies] == questions


def test_an_awaited_answer_is_the_answer_that_asking_gives():
    picture = PIL.Image.new("RGB", (84, 56), "red")
    chat, options = VisionChat(ScriptedBackend(_echo)), {"sampling": Sampling(max_new_tokens=2)}
    awaited = asyncio.run(chat.ask_async("one two three", picture, **options))
    asked = chat.ask("one two three", picture, **options)
    assert (awaited.text, awaited.tokens, awaited.plan) == (asked.text, asked.tokens, asked.plan)


def test_the_event_loop_goes_on_while_a_model_is_asked():
    backend = HeldBackend()

    async def main():
        task = asyncio.create_task(VisionChat(backend).ask_async("x"))
        while not backend.requests:
            await asyncio.sleep(0.001)
        backend.may_answer.set()
        return await task

    assert asyncio.run(main()).text == "x"


def test_a_task_that_is_cancelled_ends_its_answer():
    backend = HeldBackend()

    async def main():
        task = asyncio.create_task(VisionChat(backend).ask_async("x"))
        while not backend.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not backend.completions:
            await asyncio.sleep(0.001)

    asyncio.run(main())
    assert backend.completions[0].finish_reason == "cancelled"


@pytest.mark.parametrize(
    ("question", "media", "error"),
    [("x", ["/no/such.png"], MediaNotFoundError), ("word " * 5000, [], ContextLengthError)],
)
def test_what_cannot_be_asked_is_raised_where_it_is_awaited(question, media, error):
    with pytest.raises(error):
        asyncio.run(VisionChat(ScriptedBackend(_echo)).ask_async(question, *media))


def test_what_the_model_raises_is_raised_where_it_is_awaited():
    with pytest.raises(GenerationError, match="no"):
        asyncio.run(VisionChat(ScriptedBackend([GenerationError("no")])).ask_async("x"))


def test_a_full_queue_refuses_one_who_asks_and_keeps_one_of_many_waiting():
    backend = HeldBackend(max_waiting=2)
    chat = VisionChat(backend)
    with ThreadPoolExecutor(1) as pool:
        many = pool.submit(chat.ask_many, [str(index) for index in range(12)])
        while len(backend.requests) < 2:
            pass
        with pytest.raises(OverloadError):
            chat.ask("x")
        backend.may_answer.set()
        assert [str(result) for result in many.result(10)] == [str(index) for index in range(12)]


def test_a_request_that_may_be_shrunk_is_asked_again_smaller_where_memory_runs_out():
    chat = VisionChat(NarrowBackend(200))
    with pytest.raises(OutOfMemoryError):
        chat.ask("x", LARGE)
    for reply in (
        chat.ask("x", LARGE, fit="shrink"),
        chat.stream("x", LARGE, fit="shrink").reply,
        asyncio.run(chat.ask_async("x", LARGE, fit="shrink")),
        chat.ask_many([Request.about("x", LARGE)], fit="shrink")[0],
    ):
        assert 100 <= reply.plan.visual_tokens <= 200
        assert any("memory ran out" in loss for loss in reply.plan.degradations)


def test_a_video_loses_size_and_then_frames_where_memory_runs_out():
    video = VideoPart([LARGE] * 16, fps=1)
    reply = VisionChat(NarrowBackend(20)).ask([Message.user(video, "x")], fit="shrink")
    assert 0 < reply.plan.visual_tokens <= 20
    assert len(reply.plan.videos[0].frame_indices) < 16


def test_what_cannot_be_shrunk_further_fails_with_the_memory():
    with pytest.raises(OutOfMemoryError):
        VisionChat(NarrowBackend(1)).ask("x", LARGE, fit="shrink")


def test_the_pieces_of_many_answers_join_to_their_texts():
    questions = [f"{index} {ANSWER}" for index in range(30)]
    texts = [""] * 30
    with VisionChat(ScriptedBackend(_echo)).stream_many(questions) as stream:
        for event in stream:
            if event.delta is not None:
                texts[event.index] += event.delta.text
    assert texts == questions == [str(result) for result in stream.results]


def test_one_of_many_streams_that_fails_costs_itself_alone():
    with VisionChat(ScriptedBackend(_echo)).stream_many(["a", None, "c"]) as stream:
        first, failed, third = stream.results
    assert (str(first), str(third)) == ("a", "c")
    assert isinstance(failed, Failure)
    assert failed.error.where.startswith("requests[1]")


def test_cancelling_many_streams_reads_no_more_requests_and_keeps_what_there_is():
    backend, read = HeldBackend(), []

    def requests():
        for index in range(10**6):
            read.append(index)
            yield str(index)

    stream = VisionChat(backend).stream_many(requests(), max_batch_size=3)
    threading.Timer(0.05, stream.cancel).start()
    results = stream.results
    assert 0 < len(results) == len(read) <= 4
    assert {result.finish_reason for result in results} == {"cancelled"}


def test_leaving_the_block_of_many_streams_ends_those_that_run():
    backend = HeldBackend()
    with VisionChat(backend).stream_many(["a", "b"]) as stream:
        backend.may_answer.set()
        next(stream)
    ThreadPoolExecutor(1).submit(int).result()
    assert all(isinstance(c.text, str) for c in backend.completions)


def test_no_thread_is_left_behind_by_many_requests():
    chat = VisionChat(ScriptedBackend(_echo))
    chat.ask_many(["a"])
    for _ in range(3):
        chat.ask_many(["a", None, "b"])
        with chat.stream_many(["a b c"] * 5) as stream:
            next(stream)
    names = [thread.name for thread in threading.enumerate() if "media" in thread.name]
    for thread in threading.enumerate():
        if "qwenvl_kit media" in thread.name:
            thread.join(5)
    assert not [t for t in threading.enumerate() if "qwenvl_kit media" in t.name], names


def test_a_chat_adds_up_what_it_has_answered():
    chat = VisionChat(ScriptedBackend(["one two", GenerationError("no"), "three"]))
    replies = [
        result for result in chat.ask_many(["a b", "c", "d"]) if not isinstance(result, Failure)
    ]
    stats = chat.stats()
    assert (stats.num_replies, stats.num_failures) == (2, 1)
    assert stats.prompt_tokens == sum(reply.usage.prompt_tokens for reply in replies)
    assert stats.completion_tokens == 3
    assert stats.decode_seconds is None  # a script knows no such time


@pytest.mark.parametrize("options", [{"max_batch_size": 0}, {"sampling": 3}, {"fit": "x"}])
def test_bad_settings_of_many_streams_are_refused_at_once(options):
    with pytest.raises(InputError):
        VisionChat(ScriptedBackend([])).stream_many(["a"], **options)


def test_a_backend_may_end_a_request_before_it_returns():
    class Immediate(ScriptedBackend):
        def submit(self, request, observer=None):
            future = Future()
            future.set_result(self._complete(request, observer))
            return future

    chat = VisionChat(Immediate(_echo))
    assert chat.ask("a").text == "a"
    assert "".join(delta.text for delta in chat.stream(ANSWER)) == ANSWER
    assert [str(result) for result in chat.ask_many(["a", "b"])] == ["a", "b"]
    assert asyncio.run(chat.ask_async("a")).text == "a"
