"""Keys and values that OpenVINO keeps belong to one batch, whatever comes, goes or fails."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qwenvl_kit import Failure, ImagePart, Message, Reply, Request, Sampling, VisionChat
from qwenvl_kit.backends.local.cache.kv_cache import CacheState, select_rows
from qwenvl_kit.backends.openvino.backend import OpenVinoBackend
from qwenvl_kit.backends.openvino.runner import OpenVinoRunner
from qwenvl_kit.backends.openvino.state import OpenState
from qwenvl_kit.errors import GenerationError
from qwenvl_kit.structured_output.constraints import Constraint
from tests.by_hand import CONVERSATIONS, ids_of, picture

LONG = Sampling(max_new_tokens=60, max_cycle_tokens=None)
SHORT = Sampling(max_new_tokens=6, max_cycle_tokens=None)


def backend_of(chat: VisionChat) -> OpenVinoBackend:
    backend = chat._backend
    assert isinstance(backend, OpenVinoBackend)
    return backend


def runner_of(chat: VisionChat) -> OpenVinoRunner:
    return OpenVinoRunner(backend_of(chat)._loaded.model, pad_id=0)


def open_state(chat: VisionChat, state: CacheState | None = None) -> OpenState:
    return runner_of(chat).open_state(state)


def step(chat: VisionChat, state: OpenState, rows: list[list[int]]) -> torch.Tensor:
    """Logits after new tokens, with positions that go on."""
    start, width = state.get_seq_length(), len(rows[0])
    positions = torch.arange(start, start + width).expand(4, len(rows), -1)
    with torch.inference_mode():
        return runner_of(chat).step(state, None, rows, positions)


def test_a_state_that_is_read_and_written_goes_on_as_before(chat: VisionChat) -> None:
    whole = step(chat, open_state(chat), [[5, 6, 7, 8, 9]])[0, -1]
    state = open_state(chat)
    step(chat, state, [[5, 6, 7, 8]])
    again = open_state(chat, state.read())
    after = [step(chat, each, [[9]])[0, -1] for each in (state, again)]
    for logits in after:
        torch.testing.assert_close(logits, whole, atol=1e-5, rtol=1e-4)


def test_a_state_that_was_read_is_not_changed_by_later_steps(chat: VisionChat) -> None:
    state = open_state(chat)
    step(chat, state, [[5, 6, 7, 8]])
    read = state.read()
    keys = [layer.keys for layer in read.layers if layer.keys is not None]
    before = [tensor.clone() for tensor in keys]
    step(chat, state, [[9, 10]])
    assert len(keys) == 4
    assert all(map(torch.equal, keys, before))
    assert (read.length, state.read().length) == (4, 6)


def test_rows_that_leave_take_nothing_from_those_that_stay(chat: VisionChat) -> None:
    rows = [[5, 6, 7], [15, 16, 17], [25, 26, 27]]
    state = open_state(chat)
    step(chat, state, rows)
    left = open_state(chat, select_rows(state.read(), [2, 0]))
    after = step(chat, left, [[30], [31]])[:, -1]
    for row, (ids, last) in enumerate(((rows[2], 30), (rows[0], 31))):
        alone = step(chat, open_state(chat), [[*ids, last]])[0, -1]
        torch.testing.assert_close(after[row], alone, atol=1e-5, rtol=1e-4)


def test_a_state_is_cut_back(chat: VisionChat) -> None:
    state = open_state(chat)
    step(chat, state, [[5, 6, 7, 99, 98]])
    state.cut(3)
    state.cut(3)
    after = step(chat, state, [[8]])[0, -1]
    whole = step(chat, open_state(chat), [[5, 6, 7, 8]])[0, -1]
    torch.testing.assert_close(after, whole, atol=1e-5, rtol=1e-4)


def test_the_next_state_begins_empty_whatever_the_last_one_held(chat: VisionChat) -> None:
    fresh = step(chat, open_state(chat), [[5, 6]])[0, -1]
    used = open_state(chat)
    step(chat, used, [[50] * 9, [60] * 9])
    del used
    gc.collect()
    assert torch.equal(step(chat, open_state(chat), [[5, 6]])[0, -1], fresh)


def test_infer_requests_are_used_again(chat: VisionChat) -> None:
    pool = backend_of(chat)._loaded.model.states
    chat.ask_many(["one", "two", "three"], sampling=SHORT)
    chat.ask("four", sampling=SHORT)
    gc.collect()
    most = len(pool._free)
    for number in range(6):
        chat.ask_many([f"{number} {each}" for each in "abcd"], sampling=SHORT)
    gc.collect()
    assert len(pool._free) <= max(most, 4)


@pytest.mark.parametrize("num_rows", [8, 32])
def test_many_rows_run_together_and_equal_single_calls(
    chat: VisionChat, truth: VisionChat, num_rows: int
) -> None:
    asked = [
        Request.about("What is it? " * (1 + at % 5), picture(40 + 8 * at, 60, at))
        for at in range(num_rows)
    ]
    chat.clear_cache()
    before = backend_of(chat).work().num_steps
    replies = chat.ask_many(asked, sampling=SHORT)
    steps = backend_of(chat).work().num_steps - before
    assert steps < num_rows * 6 / 2
    for request, reply in zip(asked, replies, strict=True):
        assert isinstance(reply, Reply)
        (alone,) = truth.ask_many([request], sampling=SHORT)
        assert isinstance(alone, Reply)
        assert ids_of(reply) == ids_of(alone)


def test_requests_join_while_others_run(chat: VisionChat, truth: VisionChat) -> None:
    with chat.stream("Count for a long while.", sampling=LONG) as stream:
        deltas = iter(stream)
        for _ in range(5):
            next(deltas)
        others = [chat.ask(f"And {at}?", picture(60, 60, at), sampling=SHORT) for at in range(3)]
        for _ in deltas:
            pass
    expected = truth.ask("Count for a long while.", sampling=LONG)
    assert ids_of(stream.reply) == ids_of(expected)
    for at, reply in enumerate(others):
        its = truth.ask(f"And {at}?", picture(60, 60, at), sampling=SHORT)
        assert ids_of(reply) == ids_of(its)


def test_streams_are_read_side_by_side(chat: VisionChat) -> None:
    order: list[int] = []

    def read(number: int) -> None:
        with chat.stream(f"Tell me {number}.", sampling=LONG) as stream:
            for _ in stream:
                order.append(number)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    firsts = [order.index(number) for number in range(3)]
    lasts = [len(order) - 1 - order[::-1].index(number) for number in range(3)]
    assert max(firsts) < min(lasts)


def test_a_cancelled_answer_leaves_nothing_to_the_next(chat: VisionChat, truth: VisionChat) -> None:
    with chat.stream("Count for a long while.", picture(90, 60), sampling=LONG) as stream:
        next(iter(stream))
        stream.cancel()
    assert stream.reply.finish_reason == "cancelled"
    mine, its = (each.ask("What is it?", picture(80, 80), sampling=SHORT) for each in (chat, truth))
    assert ids_of(mine) == ids_of(its)


def test_a_failing_item_costs_no_other(chat: VisionChat, truth: VisionChat, tmp_path: Path) -> None:
    asked = [Request.about("A?"), Request.about("B?", tmp_path / "none.png"), Request.about("C?")]
    first, broken, last = chat.ask_many(asked, sampling=SHORT, on_error="return")
    assert isinstance(broken, Failure)
    for reply, question in ((first, "A?"), (last, "C?")):
        assert isinstance(reply, Reply)
        assert ids_of(reply) == ids_of(truth.ask(question, sampling=SHORT))


def test_known_beginnings_are_used_again_and_change_nothing(
    chat: VisionChat, truth: VisionChat
) -> None:
    chat.clear_cache()
    told, shown = "You know all about pictures. " * 12, ImagePart(picture(300, 200))
    for question in ("What is it?", "And its colour?", "Where was it taken?"):
        asked = [Message.system(told), Message.user(shown, question)]
        mine, its = (each.ask(asked, sampling=SHORT) for each in (chat, truth))
        assert ids_of(mine) == ids_of(its)
    assert mine.usage.reused_tokens > 100
    info = chat.cache_info()
    assert info.num_prompts >= 3
    assert info.num_media == 1
    assert chat.clear_cache() > 0


def test_turns_of_a_conversation_pay_only_for_what_is_new(chat: VisionChat) -> None:
    chat.clear_cache()
    conversation = chat.start(system="You are an art critic.")
    conversation.ask("What is it?", picture(200, 200), sampling=SHORT)
    second = conversation.ask("And its colour?", sampling=SHORT)
    assert second.usage.reused_tokens > 40


def test_given_answers_are_scored_as_by_transformers(chat: VisionChat, truth: VisionChat) -> None:
    answers = Constraint.from_choices(["yes", "no", "perhaps a little", "not at all, I am sure"])
    mine, its = (
        each.ask("Is it?", picture(90, 60), constraint=answers, sampling=SHORT)
        for each in (chat, truth)
    )
    assert mine.text == its.text
    assert mine.scores[0].logprob == pytest.approx(its.scores[0].logprob, abs=1e-4)


def test_drafts_save_steps_and_change_no_answer(chat: VisionChat, truth: VisionChat) -> None:
    drafting = replace(LONG, prompt_lookup_tokens=8)
    question = "one two three four five six one two three four five six one two three"
    mine, its = chat.ask(question, sampling=drafting), truth.ask(question, sampling=LONG)
    assert ids_of(mine) == ids_of(its)


def test_a_seed_repeats_an_answer_alone_and_in_a_batch(chat: VisionChat) -> None:
    drawn = Sampling(max_new_tokens=12, temperature=1.0, top_p=0.9, seed=3)
    alone = chat.ask("Tell me.", sampling=drawn)
    batch = chat.ask_many(["Tell me.", "And you?", "Why is that so?"], sampling=drawn)
    assert isinstance(batch[0], Reply)
    assert ids_of(batch[0]) == ids_of(alone) == ids_of(chat.ask("Tell me.", sampling=drawn))


def test_a_long_prompt_is_computed_in_chunks_and_gives_the_same(
    chat: VisionChat, truth: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qwenvl_kit.backends.local.engine import prefill, scheduler

    monkeypatch.setattr(scheduler, "ALONE_CHUNK_TOKENS", 100)
    monkeypatch.setattr(prefill, "ALONE_CHUNK_TOKENS", 100)
    chat.clear_cache()
    asked = ["Look well. " * 60, picture(500, 400)]
    mine, its = (each.ask(*asked, sampling=SHORT) for each in (chat, truth))
    assert ids_of(mine) == ids_of(its)


@pytest.fixture(scope="module", params=["bfloat16", "u8 keys and values"])
def rounded(request: pytest.FixtureRequest, export: Path) -> Iterator[VisionChat]:
    """A chat that rounds: in bf16, or in what it keeps."""
    import openvino

    if request.param == "bfloat16":
        if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("OpenVINO does not compute in bf16 on this processor")
        chat = VisionChat.from_openvino(export, dtype="bfloat16")
    else:
        kept = {"KV_CACHE_PRECISION": "u8"}
        chat = VisionChat.from_openvino(export, dtype="float32", properties=kept)
    with chat:
        yield chat


def test_a_rounded_model_is_near_the_exact_one(rounded: VisionChat, truth: VisionChat) -> None:
    assert rounded.self_test().is_healthy
    for conversation in CONVERSATIONS.values():
        mine, its = (each.ask(list(conversation), sampling=SHORT) for each in (rounded, truth))
        assert mine.scores[0].logprob == pytest.approx(its.scores[0].logprob, abs=0.15)
    replies = rounded.ask_many([list(each) for each in CONVERSATIONS.values()], sampling=LONG)
    assert all(np.isfinite([s.logprob for s in reply.scores]).all() for reply in replies)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_is_told_to_load_the_model_itself(chat: VisionChat) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  # in the child
        try:
            chat.ask("Still there?", sampling=SHORT)
            said = "answered"
        except GenerationError as error:
            said = str(error)
        except BaseException as error:
            said = repr(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as told:
        assert "forked" in told.read()


def test_a_closed_chat_that_is_still_held_gives_its_model_up(export: Path) -> None:
    chat = VisionChat.from_openvino(export, dtype="float32")
    chat.ask("Who?", picture(60, 60), sampling=SHORT)
    model = weakref.ref(backend_of(chat)._loaded.model)
    chat.close()
    for _ in range(100):
        gc.collect()  # the engine's thread ends on its own
        if model() is None:
            break
        time.sleep(0.05)
    assert model() is None


def test_a_closed_chat_says_so(export: Path) -> None:
    chat = VisionChat.from_openvino(export, dtype="float32")
    chat.close()
    with pytest.raises(Exception, match="closed"):
        chat.ask("Still there?")
