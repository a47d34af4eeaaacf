"""Whatever happens on one model at a time, each answer is that of an isolated run.

`QWENVL_KIT_INTERLEAVINGS=10000 pytest tests/families/test_interleavings.py` takes an hour or so.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from qwenvl_kit import ImagePart, Message, Reply, Sampling, VideoPart, VisionChat
from qwenvl_kit.backends.local.cache.kv_cache import is_croppable
from qwenvl_kit.backends.local.engine import model_runner
from tests.by_hand import ids_of, picture

NUM_INTERLEAVINGS = int(os.environ.get("QWENVL_KIT_INTERLEAVINGS", "200"))
"""Over all families."""

WORDS = ("what", "where", "why", "how", "many", "red", "left", "shape")
PARTS: tuple[ImagePart | VideoPart, ...] = (
    *(ImagePart(picture(64 * (1 + i % 4), 64 * (1 + i // 4), i)) for i in range(8)),
    *(VideoPart([picture(64, 64, seed + at) for at in range(4)], fps=1) for seed in (20, 30)),
)


class Play:
    """Does something at random on a chat, and compares what comes out.

    Args:
        chat: keeps what it computes, in little room.
        alone: keeps nothing.
        seed: of what is done.
        monkeypatch: for how much must be alike to be held once, which prompts of any length try.
    """

    def __init__(
        self, chat: VisionChat, alone: VisionChat, seed: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._monkeypatch = monkeypatch
        self.chat = chat
        self._alone = alone
        self._rng = random.Random(seed)
        self._known: dict[str, list[int]] = {}
        self._talks: list[list[Message]] = []
        self._takes_drafts = is_croppable(chat._backend.model)  # type: ignore[attr-defined]
        self.num_compared = 0

    def act(self) -> None:
        """One thing of all that users do."""
        self._monkeypatch.setattr(model_runner, "_MIN_SAVED", self._rng.choice((2, 60, 10_000)))
        acts = [self._talk, self._talk, self._talk, self._many, self._many, self._cancel]
        acts += [self._threads, self._tasks, self._streams, self._fail]
        if self._rng.random() < 0.03:
            self.chat.clear_cache()
        self._rng.choice(acts)()

    def _talk(self) -> None:
        if not self._talks or self._rng.random() < 0.3:
            self._talks.append([])
        talk, sampling = self._rng.choice(self._talks[-6:]), self._sampling()
        talk += self._question(self._rng.choice([0, 0, 1, 2]))
        reply = self.chat.ask(talk, sampling=sampling)
        self._check(talk, sampling, reply)
        talk.append(Message.assistant(reply.text or "x"))
        if len(talk) > 8:
            self._talks.remove(talk)

    def _many(self) -> None:
        questions, sampling = self._questions(6), self._sampling()
        size = self._rng.choice([None, 1, 2, 16])
        replies = self.chat.ask_many(
            questions, sampling=sampling, on_error="raise", max_batch_size=size
        )
        self._check_all(questions, sampling, replies)

    def _threads(self) -> None:
        questions, sampling = self._questions(4), self._sampling()
        with ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda q: self.chat.ask(q, sampling=sampling), questions))
        self._check_all(questions, sampling, replies)

    def _tasks(self) -> None:
        questions, sampling = self._questions(4), self._sampling()

        async def ask_all() -> list[Reply]:
            asked = [self.chat.ask_async(question, sampling=sampling) for question in questions]
            return await asyncio.gather(*asked)

        self._check_all(questions, sampling, asyncio.run(ask_all()))

    def _streams(self) -> None:
        questions, sampling = self._questions(4), self._sampling()
        with self.chat.stream_many(questions, sampling=sampling) as stream:
            replies = [result for result in stream.results if isinstance(result, Reply)]
        self._check_all(questions, sampling, replies)

    def _cancel(self) -> None:
        question = self._question(1)
        sampling, num_read = Sampling(max_new_tokens=12), self._rng.randint(0, 4)
        with self.chat.stream(question, sampling=sampling) as stream:
            for _ in zip(range(num_read), stream):
                pass
        ids = ids_of(stream.reply)
        assert ids == self._expected(question, sampling)[: len(ids)]
        assert len(ids) >= num_read or stream.reply.finish_reason != "cancelled"
        self.num_compared += 1

    def _fail(self) -> None:
        """Memory runs out somewhere, and nobody notices but by what is on record."""
        questions, sampling = self._questions(4), self._sampling()
        with failing_once(self.chat, self._rng.randint(1, 12)):
            results = self.chat.ask_many(questions, sampling=sampling)
        for question, result in zip(questions, results):
            if isinstance(result, Reply):  # else it was alone, and nothing was kept
                self._check(question, sampling, result)

    def _sampling(self) -> Sampling:
        seeded = {"temperature": 1.0, "seed": self._rng.randint(0, 9)}
        options: dict[str, Any] = seeded if self._rng.random() < 0.3 else {}
        if self._takes_drafts and self._rng.random() < 0.3:
            options["prompt_lookup_tokens"] = 5
        return Sampling(max_new_tokens=self._rng.choice([1, 3, 6, 12]), **options)

    def _question(self, num_parts: int) -> list[Message]:
        words = " ".join(self._rng.choice(WORDS) for _ in range(self._rng.randint(1, 6)))
        return [Message.user(*(self._rng.choice(PARTS) for _ in range(num_parts)), words)]

    def _questions(self, most: int) -> list[list[Message]]:
        return [self._question(1) for _ in range(self._rng.randint(1, most))]

    def _check_all(
        self, questions: Sequence[list[Message]], sampling: Sampling, replies: Sequence[Reply]
    ) -> None:
        assert len(replies) == len(questions)
        for question, reply in zip(questions, replies):
            self._check(question, sampling, reply)

    def _check(self, messages: Sequence[Message], sampling: Sampling, reply: Reply) -> None:
        assert ids_of(reply) == self._expected(messages, sampling)
        self.num_compared += 1

    def _expected(self, messages: Sequence[Message], sampling: Sampling) -> list[int]:
        shown = [(m.role, [getattr(part, "text", id(part)) for part in m.parts]) for m in messages]
        plain = replace(sampling, prompt_lookup_tokens=None)
        key = repr((shown, plain))
        if key not in self._known:
            self._known[key] = ids_of(self._alone.ask(list(messages), sampling=plain))
        return self._known[key]


@contextmanager
def failing_once(chat: VisionChat, at_pass: int) -> Iterator[None]:
    """Let one pass of the language model run out of memory."""
    num_passes = 0

    def fail(*_: object) -> None:
        nonlocal num_passes
        num_passes += 1
        if num_passes == at_pass:
            raise torch.OutOfMemoryError("injected")

    model = chat._backend.model.model.language_model  # type: ignore[attr-defined]
    hook = model.register_forward_pre_hook(fail)
    try:
        yield
    finally:
        hook.remove()


@pytest.fixture
def play(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Play]:
    def begin(seed: int) -> Play:
        chat = VisionChat.from_pretrained(folder, max_cache_bytes=3_000_000)
        alone = VisionChat.from_pretrained(folder, max_cache_bytes=0)
        return Play(chat, alone, seed, monkeypatch)

    return begin


@pytest.mark.slow
def test_whatever_else_happens_each_answer_is_that_of_an_isolated_run(
    play: Callable[[int], Play],
) -> None:
    playing = play(7)
    for _ in range(math.ceil(NUM_INTERLEAVINGS / 7)):
        playing.act()
    assert playing.num_compared
    info = playing.chat.cache_info()
    assert info.used_bytes <= info.max_bytes
