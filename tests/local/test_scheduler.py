"""Requests from anywhere share one model, and each gets the answer that it would get alone."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from qwenvl_kit import Failure, ImagePart, Message, Reply, Request, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.errors import GenerationError, OutOfMemoryError
from tests.by_hand import backend_request, ids_of, picture

WORDS = ("what", "where", "why", "how", "many", "colour", "shape", "is", "the", "left", "red")


@pytest.fixture
def fresh(tiny_folder: Path) -> VisionChat:
    return VisionChat(load_backend(tiny_folder))


@pytest.fixture(scope="module")
def alone(tiny_folder: Path) -> Callable[[Request], list[int]]:
    """The tokens of a request that is the only one, with nothing kept from others."""
    chat = VisionChat.from_pretrained(tiny_folder, max_cache_bytes=0)
    known: dict[str, list[int]] = {}

    def answer(request: Request) -> list[int]:
        if request.id not in known:
            known[str(request.id)] = ids_of(chat.ask_many([request], on_error="raise")[0])
        return known[str(request.id)]

    return answer


def _request(number: int) -> Request:
    """One of many: some share pictures, some what was said before, some nothing."""
    rng = random.Random(number)
    words = [rng.choice(WORDS) for _ in range(rng.randint(1, 12))]
    parts: list[ImagePart | VideoPart] = [
        ImagePart(picture(56 * rng.randint(1, 4), 56, rng.randint(0, 3)))
        for _ in range(rng.randint(0, 2))
    ]
    if rng.random() < 0.2:
        parts.append(VideoPart([picture(56, 56, seed) for seed in range(4)], fps=1))
    messages = [Message.user(*parts, " ".join(words))]
    if rng.random() < 0.3:
        first = Message.user(*parts, "what is it")
        messages = [first, Message.assistant("a shape"), Message.user("why")]
    sampled = {"temperature": 1.0, "top_p": 0.9, "seed": number} if rng.random() < 0.3 else {}
    sampling = Sampling(max_new_tokens=rng.choice([1, 2, 5, 17]), **sampled)
    return Request(messages, sampling=sampling, id=str(number))


@contextmanager
def failing(chat: VisionChat, is_due: Callable[[int], bool]) -> Iterator[list[int]]:
    """A language model that now and then has no memory; the numbers of the calls that failed."""
    backend: LocalBackend = chat._backend  # type: ignore[assignment]
    calls, failed = iter(range(10**9)), list[int]()

    def fail(*_: object) -> None:
        number = next(calls)
        if is_due(number):
            failed.append(number)
            raise torch.OutOfMemoryError("injected")

    hook = backend.model.model.language_model.layers[1].register_forward_pre_hook(fail)
    try:
        yield failed
    finally:
        hook.remove()


@pytest.mark.parametrize("max_batch_size", [1, 3, 16])
def test_any_requests_in_any_company_have_the_tokens_that_they_have_alone(
    fresh: VisionChat, alone: Callable[[Request], list[int]], max_batch_size: int
) -> None:
    requests = [_request(number) for number in range(48)]
    random.Random(max_batch_size).shuffle(requests)
    replies = fresh.ask_many(requests, on_error="raise", max_batch_size=max_batch_size)
    for request, reply in zip(requests, replies):
        assert ids_of(reply) == alone(request), request.id


def test_callers_in_threads_are_answered_together(
    fresh: VisionChat, alone: Callable[[Request], list[int]]
) -> None:
    def ask(number: int) -> Reply:
        (reply,) = fresh.ask_many([_request(number)], on_error="raise")
        return reply

    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(ask, range(48)))
    for number, reply in enumerate(replies):
        assert ids_of(reply) == alone(_request(number))


def test_rows_that_end_early_give_up_their_places(fresh: VisionChat) -> None:
    backend: LocalBackend = fresh._backend  # type: ignore[assignment]
    rows: list[int] = []
    hook = backend.model.model.language_model.register_forward_pre_hook(
        lambda _, __, kwargs: rows.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    lengths = [2, 2, 2, 2, 2, 2, 2, 40]
    requests = [
        Request.about("what " * number, sampling=Sampling(max_new_tokens=length), id=str(number))
        for number, length in enumerate(lengths, 1)
    ]
    replies = fresh.ask_many(requests, on_error="raise")
    hook.remove()
    useful = sum(reply.usage.completion_tokens for reply in replies)
    assert sum(rows) <= 1.1 * useful


@pytest.mark.parametrize("every", [2, 3, 7, 20])
def test_where_memory_runs_out_now_and_then_all_are_answered_as_ever(
    fresh: VisionChat, alone: Callable[[Request], list[int]], every: int
) -> None:
    requests = [_request(number) for number in range(16)]
    with failing(fresh, lambda number: number % every == every - 1) as failed:
        results = fresh.ask_many(requests, max_batch_size=16)
    assert failed
    for request, result in zip(requests, results):
        if isinstance(result, Failure):  # alone, with nothing to let go of, and no memory
            assert isinstance(result.error, OutOfMemoryError)
            assert every < 4
        else:
            assert ids_of(result) == alone(request)
    if every >= 7:
        losses = [loss for r in results if isinstance(r, Reply) for loss in r.plan.degradations]
        assert any("memory ran out" in loss for loss in losses)


def test_one_that_no_memory_is_enough_for_fails_and_costs_no_other(
    fresh: VisionChat, alone: Callable[[Request], list[int]]
) -> None:
    backend: LocalBackend = fresh._backend  # type: ignore[assignment]

    def fail(_: object, __: object, kwargs: dict[str, Any]) -> None:
        if kwargs["inputs_embeds"].shape[1] > 400:
            raise torch.OutOfMemoryError("injected")

    hook = backend.model.model.language_model.register_forward_pre_hook(fail, with_kwargs=True)
    large = Request.about("what " * 500, sampling=Sampling(max_new_tokens=2), id="large")
    results = fresh.ask_many([_request(1), large, _request(2)])
    hook.remove()
    assert isinstance(results[1], Failure)
    assert isinstance(results[1].error, OutOfMemoryError)
    for number, result in ((1, results[0]), (2, results[2])):
        assert isinstance(result, Reply)
        assert ids_of(result) == alone(_request(number))


def test_requests_about_pictures_that_no_memory_is_enough_for_all_fail(fresh: VisionChat) -> None:
    requests = [Request.about(word, picture(112, 112, 1)) for word in WORDS[:3]]
    with failing(fresh, lambda _: True):
        results = fresh.ask_many([*requests, "text"])
    errors = [result.error for result in results if isinstance(result, Failure)]
    assert [type(error) for error in errors] == [OutOfMemoryError] * 4


@pytest.fixture(scope="module")
def endless(tiny_folder: Path) -> str:
    """A question that the model goes on answering for ever."""
    chat = VisionChat(load_backend(tiny_folder))
    sampling = Sampling(max_new_tokens=400, max_cycle_tokens=None)
    return next(
        word for word in WORDS if chat.ask(word, sampling=sampling).finish_reason == "length"
    )


def test_an_answer_ends_at_its_deadline_with_what_there_is(fresh: VisionChat, endless: str) -> None:
    sampling = Sampling(max_new_tokens=3000, max_seconds=0.3, max_cycle_tokens=None)
    started = time.perf_counter()
    reply = fresh.ask(endless, sampling=sampling)
    assert time.perf_counter() - started < 5
    assert reply.finish_reason == "deadline"
    assert 0 < reply.usage.completion_tokens < 3000


@pytest.mark.long
def test_an_answer_that_goes_round_in_a_circle_ends(fresh: VisionChat) -> None:
    _forget_all_but_the_last_token(fresh)
    sampling = Sampling(max_new_tokens=400)
    questions = [(word, fresh.ask(word, sampling=sampling)) for word in WORDS]
    question, reply = next((q, r) for q, r in questions if r.finish_reason != "stop")
    assert reply.finish_reason == "repetition"
    ids = ids_of(reply)
    on = fresh.ask(question, sampling=Sampling(max_new_tokens=400, max_cycle_tokens=None))
    assert on.finish_reason == "length"
    assert ids_of(on)[: len(ids)] == ids


def _forget_all_but_the_last_token(chat: VisionChat) -> None:
    """Each token follows from the one before alone, so that some soon come again."""
    backend: LocalBackend = chat._backend  # type: ignore[assignment]
    for layer in backend.model.model.language_model.layers:
        for projection in (layer.self_attn.o_proj, layer.mlp.down_proj):
            projection.weight.data = torch.zeros_like(projection.weight)


def test_an_observer_that_fails_costs_its_own_request_alone(fresh: VisionChat) -> None:
    backend: LocalBackend = fresh._backend  # type: ignore[assignment]
    prepared = backend_request(fresh, _request(5))

    class Broken:
        def on_delta(self, delta: object) -> None:
            raise ZeroDivisionError

        def is_cancelled(self) -> bool:
            return False

    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(fresh.ask, "hello", sampling=Sampling(max_new_tokens=20))
        with pytest.raises(ZeroDivisionError):
            backend.submit(prepared, Broken()).result()
        assert other.result(timeout=60).usage.completion_tokens > 0


def test_a_fault_of_the_engine_leaves_nobody_waiting(
    fresh: VisionChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = fresh._backend._engine.scheduler  # type: ignore[attr-defined]
    with monkeypatch.context() as patched:
        patched.setattr(scheduler._batch, "step", None)
        patched.setattr(scheduler, "_fail", None)
        with pytest.raises(GenerationError, match="thread failed") as caught:
            fresh.ask("hello", sampling=Sampling(max_new_tokens=3))
    assert isinstance(caught.value.__cause__, TypeError)
    assert fresh.ask("hello", sampling=Sampling(max_new_tokens=3)).usage.completion_tokens == 3


def test_a_model_that_fails_fails_what_runs_and_goes_on(fresh: VisionChat) -> None:
    backend: LocalBackend = fresh._backend  # type: ignore[assignment]

    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    hook = backend.model.model.language_model.register_forward_pre_hook(fail)
    results = fresh.ask_many([_request(number) for number in range(4)])
    hook.remove()
    assert all(isinstance(result, Failure) for result in results)
    assert all(isinstance(r.error, GenerationError) for r in results if isinstance(r, Failure))
    assert fresh.ask("hello", sampling=Sampling(max_new_tokens=3)).usage.completion_tokens == 3


def test_an_idle_engine_has_no_thread(fresh: VisionChat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwenvl_kit.backends.local.engine.scheduler._IDLE_SECONDS", 0.01)
    fresh.ask("hello", sampling=Sampling(max_new_tokens=2))
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if "qwenvl_kit engine" not in {thread.name for thread in threading.enumerate()}:
            break
        time.sleep(0.01)
    assert fresh._backend._engine.scheduler._thread is None  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_program_that_ends_while_a_question_runs_ends_in_peace(tiny_folder: Path) -> None:
    program = f"""if True:
        import threading, time
        from qwenvl_kit import Sampling, VisionChat
        chat = VisionChat.from_pretrained({str(tiny_folder)!r})
        chat.ask("what", sampling=Sampling(max_new_tokens=2))
        long = Sampling(max_new_tokens=4000, max_cycle_tokens=None)
        ask = lambda: chat.ask("where", sampling=long)
        threading.Thread(target=ask, daemon=True).start()
        time.sleep(0.2)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-500:]


def test_two_who_pause_the_engine_do_so_one_after_the_other(fresh: VisionChat) -> None:
    scheduler = fresh._backend._engine.scheduler  # type: ignore[attr-defined]
    entered = threading.Event()

    def pause() -> None:
        with scheduler.paused():
            entered.set()

    other = threading.Thread(target=pause)
    with scheduler.paused():
        waiting = fresh._backend.submit(backend_request(fresh, _request(5)))  # starts a thread
        other.start()
        assert not entered.wait(0.3)
        with scheduler.idle() as is_idle:
            assert not is_idle
        assert not waiting.done()
    assert entered.wait(60)
    other.join(60)
    assert waiting.result(60).completion_tokens
