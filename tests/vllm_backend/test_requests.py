"""Requests share vLLM's engine, and what becomes of one costs no other."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from qwenvl_kit import Failure, Message, Reply, Request, Sampling, VideoPart, VisionChat
from qwenvl_kit.errors import (
    AdapterError,
    ContextLengthError,
    GenerationError,
    OverloadError,
    UnsupportedFeatureError,
)
from qwenvl_kit.structured_output.constraints import Constraint

from .pretending import Core, Running, opened

RED = PIL.Image.new("RGB", (84, 56), "red")
Open = Callable[..., VisionChat]


@pytest.fixture
def open_chat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Chats with pretended engines; all of them end with the test."""
    with ExitStack() as stack:
        yield lambda core, **options: stack.enter_context(opened(monkeypatch, core, **options))


def refuse_second(running: Running) -> None:
    if running.name.endswith("-1"):
        raise ValueError("The decoder prompt (length 9000) is longer than the maximum model length")


def test_text_scores_and_usage_are_the_engines(open_chat: Open) -> None:
    reply = open_chat(Core()).ask("What is this?")
    assert reply.text == "A red circle."
    assert reply.tokens is not None
    assert {token.logprob for token in reply.tokens} == {-0.25}
    assert reply.usage.prompt_tokens == reply.plan.prompt_tokens
    assert reply.finish_reason == "stop"


def test_the_engine_is_given_one_placeholder_for_each_picture(open_chat: Open) -> None:
    core = Core()
    chat = open_chat(core)
    plan = chat.ask("What?", RED, PIL.Image.new("RGB", (200, 300))).plan
    (prompt,) = core.prompts
    assert len(prompt["prompt_token_ids"]) == plan.prompt_tokens - plan.visual_tokens + 2
    sizes = [image.size for image in prompt["multi_modal_data"]["image"]]
    assert sizes == [(image.resized.width_px, image.resized.height_px) for image in plan.images]


def test_frames_go_with_their_times(open_chat: Open) -> None:
    core = Core()
    open_chat(core).ask([Message.user(VideoPart([RED] * 4, timestamps_seconds=(0, 1, 2, 5)), "?")])
    ((frames, told),) = core.prompts[0]["multi_modal_data"]["video"]
    assert frames.shape[0] == len(told["frames_indices"]) == 4
    times = [index / told["fps"] for index in told["frames_indices"]]
    assert times == pytest.approx([0, 1, 2, 5])
    assert not told["do_sample_frames"]


def test_requests_of_a_batch_run_together(open_chat: Open) -> None:
    core = Core()
    replies = open_chat(core).ask_many([f"{n}?" for n in range(6)])
    assert [str(reply) for reply in replies] == ["A red circle."] * 6
    assert core.most_running == 6


def test_a_request_that_is_refused_costs_itself_alone(open_chat: Open) -> None:
    results = open_chat(Core(refuse=refuse_second)).ask_many(["a", "b", "c"])
    assert [isinstance(result, Reply) for result in results] == [True, False, True]
    assert isinstance(results[1], Failure)
    assert isinstance(results[1].error, ContextLengthError)


def test_a_step_that_fails_ends_what_ran_and_not_what_comes_after(open_chat: Open) -> None:
    chat = open_chat(Core(fail_at={2}))
    failed = chat.ask_many(["a", "b"])
    assert {type(result.error) for result in failed if isinstance(result, Failure)} == {
        GenerationError
    }
    assert len(failed) == 2
    assert chat.ask("c").text == "A red circle."


def test_a_stream_that_is_left_ends_the_engines_work(open_chat: Open) -> None:
    core = Core(pause_seconds=0.02)
    chat = open_chat(core)
    with chat.stream("What?") as stream:
        next(iter(stream))
    assert stream.reply.finish_reason == "cancelled"
    assert len(core.aborted) == 1
    assert "A red circle.".startswith(stream.reply.text)


def test_a_stream_is_what_ask_gives(open_chat: Open) -> None:
    with open_chat(Core()).stream("What?") as stream:
        assert "".join(delta.text for delta in stream) == "A red circle."


def test_what_there_is_at_the_deadline_is_the_answer(open_chat: Open) -> None:
    chat = open_chat(Core(words="a b c d e f g h i j k l m n o p", pause_seconds=0.05))
    reply = chat.ask("What?", sampling=Sampling(max_seconds=0.2))
    assert reply.finish_reason == "deadline"
    assert 0 < len(reply.text) < 20


def test_a_stop_string_ends_the_engines_work(open_chat: Open) -> None:
    core = Core()
    reply = open_chat(core).ask("What?", sampling=Sampling(stop=(" circle",)))
    assert (reply.text, reply.finish_reason) == ("A red", "stop")
    assert len(core.aborted) == 1


def test_an_answer_that_is_cut_at_its_length_says_so(open_chat: Open) -> None:
    reply = open_chat(Core()).ask("What?", sampling=Sampling(max_new_tokens=2))
    assert reply.finish_reason == "length"


def test_settings_are_handed_on(open_chat: Open) -> None:
    core = Core()
    chat = open_chat(core)
    chat.ask("?", sampling=Sampling(temperature=0.7, top_p=0.9, top_k=5, seed=3))
    chat.ask("?", sampling=Sampling(temperature=0, top_k=5, repetition_penalty=1.1))
    drawn, greedy = (running.params.given for running in core.added)
    assert (drawn["temperature"], drawn["top_p"], drawn["top_k"], drawn["seed"]) == (0.7, 0.9, 5, 3)
    assert greedy["temperature"] == 0.0
    assert greedy["repetition_penalty"] == 1.1
    assert "top_k" not in greedy


def test_a_bound_answer_is_scored_as_the_model_would_have_written_it(open_chat: Open) -> None:
    core = Core(words='{"a": 1}')
    form = Constraint.from_schema({"type": "object", "properties": {"a": {"type": "integer"}}})
    reply = open_chat(core).ask([Message.user("?")], constraint=form)
    assert reply.text == '{"a": 1}'
    assert reply.tokens is not None
    assert {token.logprob for token in reply.tokens} == {core.read_logprob}
    written, read = core.added
    assert json.loads(form.text) == written.params.structured_outputs.json
    assert read.ids[: len(written.ids)] == written.ids


def test_an_answer_that_can_only_be_one_is_read_and_not_written(open_chat: Open) -> None:
    core = Core()
    reply = open_chat(core).ask([Message.user("?")], constraint=Constraint.from_choices(["yes"]))
    assert (reply.text, len(core.added)) == ("yes", 1)
    assert reply.tokens is not None
    assert {token.logprob for token in reply.tokens} == {core.read_logprob}


def test_each_request_goes_to_the_adapter_that_is_active(open_chat: Open, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    core = Core()
    chat = open_chat(core, enable_lora=True)
    chat.ask("a")
    chat.adapters.load(tmp_path, "menus")
    chat.ask("b")
    chat.adapters.remove("menus")
    chat.ask("c")
    assert [running.lora and running.lora.name for running in core.added] == [None, "menus", None]
    assert core.loras == []
    with pytest.raises(AdapterError):
        chat.adapters.use("menus")


def test_adapters_want_an_engine_that_was_started_for_them(open_chat: Open, tmp_path: Path) -> None:
    with pytest.raises((AdapterError, UnsupportedFeatureError), match="enable_lora"):
        open_chat(Core()).adapters.load(tmp_path, "menus")


def test_too_many_that_wait_are_refused(open_chat: Open) -> None:
    chat = open_chat(Core(pause_seconds=0.1), max_queued_requests=1)

    def begin(count: int) -> None:
        with ExitStack() as streams:
            for _ in range(count):
                next(iter(streams.enter_context(chat.stream("b"))), None)
                streams.enter_context(chat.stream("b"))
                streams.enter_context(chat.stream("b"))

    with pytest.raises(OverloadError, match="max_queued_requests"):
        begin(3)


def test_the_engine_is_shut_down_when_its_last_request_has_ended(open_chat: Open) -> None:
    core = Core(pause_seconds=0.05)
    chat = open_chat(core)
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(chat.ask("What?").text))
    asking.start()
    while not core.num_steps:
        time.sleep(0.01)
    chat.close()
    asking.join()
    deadline = time.monotonic() + 5
    while not core.is_shut_down and time.monotonic() < deadline:
        time.sleep(0.01)
    assert answers == ["A red circle."]
    assert core.is_shut_down


def test_an_idle_engines_thread_ends(open_chat: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwenvl_kit.backends.vllm.engine._IDLE_SECONDS", 0.05)
    chat = open_chat(Core())
    for _ in range(2):
        assert chat.ask("What?").text == "A red circle."
        deadline = time.monotonic() + 5
        while _engine_threads() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not _engine_threads()


def test_a_journal_and_ids_work_as_everywhere(open_chat: Open, tmp_path: Path) -> None:
    core = Core()
    chat = open_chat(core)
    requests = [Request.about("?", id="a"), Request.about("?", RED, id="b")]
    for _ in range(2):
        assert len(chat.ask_many(requests, journal=tmp_path / "run.jsonl")) == 2
    assert len(core.added) == 2


def _engine_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "qwenvl_kit vllm"]
