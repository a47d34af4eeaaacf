"""A long prompt is read in chunks, between which answers that run go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qwenvl_kit import ImagePart, Message, Request, Sampling, VisionChat
from qwenvl_kit.backends.base import Completion
from qwenvl_kit.backends.local import LocalBackend, load_backend
from qwenvl_kit.backends.local.engine import scheduler as scheduler_module
from qwenvl_kit.backends.local.engine.chunks import chunk_stops
from qwenvl_kit.backends.local.engine.model_runner import ModelRunner
from qwenvl_kit.errors import GenerationError
from tests.by_hand import backend_request, picture

CHUNK = 40
LONG = Request(
    [Message.user("one two three " * 40, ImagePart(picture(300, 220)), "what is it? " * 20)],
    sampling=Sampling(max_new_tokens=4, max_cycle_tokens=None),
)


@given(st.integers(0, 5000), st.integers(1, 30_000), st.integers(1, 2000))
def test_chunks_follow_each_other_to_the_end_and_are_of_about_the_wanted_length(
    start: int, length: int, wanted: int
) -> None:
    stops = chunk_stops(start, start + length, wanted)
    sizes = [stop - before for before, stop in zip([start, *stops], stops)]
    assert stops[-1] == start + length
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 1
    assert max(sizes) <= 1.5 * wanted + 1


class Events:
    """All that happens, in its order, with answers that say when they go on."""

    def __init__(self) -> None:
        self.seen = list[str]()
        self.on_event: Callable[[str], None] = lambda _: None

    def note(self, event: str) -> None:
        self.seen.append(event)
        self.on_event(event)

    def observer(self, name: str) -> Reader:
        return Reader(self, name)


class Reader:
    """Somebody who reads an answer as it comes."""

    def __init__(self, events: Events, name: str) -> None:
        self._events, self._name = events, name
        self.begun, self.cancelled = threading.Event(), threading.Event()

    def on_delta(self, delta: object) -> None:
        self._events.note(self._name)
        self.begun.set()

    def is_read(self) -> bool:
        return True

    def is_cancelled(self) -> bool:
        return self.cancelled.is_set()


@pytest.fixture
def fresh(tiny_folder: Path) -> VisionChat:
    return VisionChat(load_backend(tiny_folder, max_cache_bytes=0))


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[Events]:
    """The chunks that are computed, among all else that is noted; chunks are short."""
    noted, read = Events(), ModelRunner._read

    def chunk(self: ModelRunner, cache: Any, requests: Any, *rest: Any) -> Any:
        output = read(self, cache, requests, *rest)
        noted.note(f"chunk of {len(requests[0].prompt.ids)}")
        return output

    monkeypatch.setattr(ModelRunner, "_read", chunk)
    monkeypatch.setattr(scheduler_module, "CHUNK_TOKENS", CHUNK)
    monkeypatch.setattr(scheduler_module, "ALONE_CHUNK_TOKENS", CHUNK)
    return noted  # type: ignore[return-value]


def _endless(chat: VisionChat) -> Request:
    """A request whose answer does not end by itself within the test."""
    backend: LocalBackend = chat._backend  # type: ignore[assignment]
    bias = torch.zeros(backend.model.config.get_text_config().vocab_size)
    bias[list(backend._loaded.end_ids)] = -1e4
    backend.model.lm_head.register_forward_hook(lambda _, __, logits: logits + bias)
    return Request(
        [Message.user("hello")], sampling=Sampling(max_new_tokens=3000, max_cycle_tokens=None)
    )


def _run_beside_an_answer(
    chat: VisionChat, events: Events, long: Request = LONG
) -> tuple[Any, Completion, list[str]]:
    """Ask for a long prompt while an answer runs.

    Returns:
        The long request's future, the other's completion, and the events from the first chunk of
        the long prompt to its end.
    """
    backend = chat._backend
    running, late = events.observer("running"), events.observer("late")
    future = backend.submit(backend_request(chat, _endless(chat)), running)
    assert running.begun.wait(60)
    asked = backend.submit(backend_request(chat, long), late)
    asked.exception(timeout=60)
    running.cancelled.set()
    completion = future.result(timeout=60)
    name = next(e for e in reversed(events.seen) if e.startswith("chunk"))
    last = len(events.seen) - 1 - events.seen[::-1].index(name)
    return asked, completion, events.seen[events.seen.index(name) : last + 1]


def test_an_answer_gets_a_token_between_each_two_chunks_of_a_long_prompt(
    fresh: VisionChat, events: Events
) -> None:
    asked, _, seen = _run_beside_an_answer(fresh, events)
    chunks = [event for event in seen if event.startswith("chunk")]
    assert len(chunks) == round(len(_prompt_ids(fresh)) / CHUNK) > 5
    assert seen[::2] == chunks
    assert seen[1::2] == ["running"] * (len(chunks) - 1)
    assert asked.result().completion_tokens == 4


def test_both_answers_are_those_that_each_gets_alone(fresh: VisionChat, events: Events) -> None:
    asked, beside, _ = _run_beside_an_answer(fresh, events)
    alone = fresh._backend.submit(backend_request(fresh, LONG)).result()
    on = Sampling(max_new_tokens=beside.completion_tokens, max_cycle_tokens=None)
    again = fresh.ask("hello", sampling=on)
    assert [score.token_id for score in asked.result().tokens] == [
        score.token_id for score in alone.tokens
    ]
    for one, other in zip(asked.result().tokens, alone.tokens):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
    assert beside.text == again.text


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
def test_a_prompt_that_is_no_longer_wanted_is_read_no_further_than_its_chunk(
    fresh: VisionChat, events: Events, how: str
) -> None:
    late = events.observer("late")
    scheduler = fresh._backend._engine.scheduler  # type: ignore[attr-defined]

    def end(event: str) -> None:
        if events.seen.count(event) == 2:
            late.cancelled.set()
            if how == "deadline":
                late.cancelled.clear()
                (request,) = scheduler._running
                request.deadline = 0.0

    events.on_event = end
    completion = fresh._backend.submit(backend_request(fresh, LONG), late).result(timeout=60)
    assert len(events.seen) == 2
    assert completion.finish_reason == how
    assert completion.completion_tokens == 0
    events.on_event = lambda _: None
    assert fresh.ask("hello", sampling=Sampling(max_new_tokens=2)).usage.completion_tokens == 2


def test_a_chunk_that_fails_costs_its_own_prompt_alone(fresh: VisionChat, events: Events) -> None:
    def fail(event: str) -> None:
        if event.startswith("chunk") and events.seen.count(event) == 3:
            raise RuntimeError("broken")

    events.on_event = fail
    asked, beside, seen = _run_beside_an_answer(fresh, events)
    assert isinstance(asked.exception(), GenerationError)
    assert len([event for event in seen if event.startswith("chunk")]) == 3
    assert beside.finish_reason == "cancelled"
    assert beside.completion_tokens > 3


def test_of_streams_that_begin_together_the_first_does_not_wait_for_the_last(
    fresh: VisionChat, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwenvl_kit.backends.local.engine.prefill._TOGETHER_TOKENS", 100)
    backend: LocalBackend = fresh._backend  # type: ignore[assignment]
    asked = [
        backend_request(fresh, Request([Message.user(f"{word} " * 150)], sampling=LONG.sampling))
        for word in ("one", "two", "three")
    ]
    with backend._engine.scheduler.gather():
        futures = [
            backend.submit(request, events.observer(f"stream {at}"))
            for at, request in enumerate(asked)
        ]
    assert all(future.result(timeout=60).completion_tokens == 4 for future in futures)
    last_of_first = len(events.seen) - 1 - events.seen[::-1].index("stream 0")
    assert last_of_first < events.seen.index("stream 2")


def test_a_long_prompt_takes_room_for_its_keys_once(fresh: VisionChat, events: Events) -> None:
    places = list[int]()
    layer = fresh._backend.model.model.language_model.layers[0].self_attn  # type: ignore[attr-defined]

    def note(_: Any, __: Any, given: dict[str, Any], ___: Any) -> None:
        cache = given.get("past_key_values", given.get("cache"))
        places.append(cache.layers[0].keys.data_ptr())

    layer.register_forward_hook(note, with_kwargs=True)
    fresh._backend.submit(backend_request(fresh, LONG)).result()
    assert len(events.seen) > 5
    assert len(set(places)) == 1


def _prompt_ids(chat: VisionChat) -> list[int]:
    backend: LocalBackend = chat._backend  # type: ignore[assignment]
    request = backend_request(chat, LONG)
    media = list(request.plan.media.values())
    return backend._engine.encoder.encode_prompt(request.messages, media).ids
