"""A load of requests whose answers are known, and the faults that are thrown at them."""

from __future__ import annotations

import gc
import io
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import torch

from qwenvl_kit import Failure, ImagePart, Message, Reply, Request, Sampling, VisionChat
from qwenvl_kit.errors import MediaError, OutOfMemoryError, QwenVLKitError
from qwenvl_kit.hardware import release_free_memory
from tests.by_hand import picture

SAMPLING = Sampling(max_new_tokens=6)
QUESTIONS = ("What is this?", "Describe it in a word.", "Why?")
BAD_EVERY, CANCEL_EVERY, MEMORY_EVERY = 50, 100, 500


@dataclass
class Outcome:
    """What became of the requests, and what the process held while they ran."""

    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    resident_bytes: list[tuple[int, int]] = field(default_factory=list)
    num_reloads: int = 0
    num_thrown: int = 0
    seconds: float = 0.0

    def growth_bytes(self) -> int:
        """By how much the process grew from the first quarter to the end."""
        return self.resident_bytes[-1][1] - self.resident_bytes[0][1]


class Load:
    """Requests by number: the same number is the same request, and has one right answer.

    Args:
        chat: which is asked alone, once for each kind of request, for the right answers.
    """

    def __init__(self, chat: VisionChat) -> None:
        self._pictures = [_png(picture(56 + 28 * (seed % 3), 56, seed)) for seed in range(8)]
        self._kinds = list(itertools.product(range(len(self._pictures)), QUESTIONS))
        self._right = []
        for kind in range(len(self._kinds)):
            chat.clear_cache()
            self._right.append(str(chat.ask(self.request(kind).messages, sampling=SAMPLING)))

    def request(self, number: int) -> Request:
        """A request; some of them show what cannot be read."""
        index, question = self._kinds[number % len(self._kinds)]
        content = self._pictures[index]
        if self.is_bad(number):
            content = (content[:40], b"", b"GIF89a", content[: len(content) // 2])[
                number // BAD_EVERY % 4
            ]
        message = Message.user(ImagePart(content), question)
        return Request([message], id=str(number), sampling=SAMPLING)

    def right(self, number: int) -> str:
        """The answer to it."""
        return self._right[number % len(self._kinds)]

    @staticmethod
    def is_bad(number: int) -> bool:
        """Whether what it shows cannot be read."""
        return number % BAD_EVERY == BAD_EVERY - 1

    def judge(self, number: int, result: Reply | Failure | Exception, outcome: Outcome) -> None:
        """Count how it ended; note what must not be."""
        error = result.error if isinstance(result, Failure) else result
        if isinstance(error, Exception):
            outcome.ends[type(error).__name__] += 1
            allowed = MediaError if self.is_bad(number) else OutOfMemoryError
            if not isinstance(error, allowed):
                outcome.wrong.append(f"{number}: {error!r}")
            return
        assert isinstance(result, Reply)
        outcome.ends[result.finish_reason] += 1
        is_cut = result.finish_reason == "cancelled"
        right, text = self.right(number), result.text
        if self.is_bad(number) or not (right.startswith(text) if is_cut else right == text):
            outcome.wrong.append(f"{number}: {text!r} instead of {right!r}")
        if result.request_id not in (str(number), None):
            outcome.wrong.append(f"{number} was answered with the reply to {result.request_id}")


def soak(
    chat: VisionChat,
    load: Load,
    num_requests: int,
    num_threads: int = 3,
    reload: Path | None = None,
) -> Outcome:
    """Ask them all, from several threads, alone, streamed and in batches.

    Args:
        chat: which is asked.
        load: the requests.
        num_requests: how many.
        num_threads: who ask at the same time.
        reload: a checkpoint that takes the place of the model again and again; None for none.
    """
    outcome, lock, numbers = Outcome(), threading.Lock(), iter(range(num_requests))
    started, faults = time.perf_counter(), _Faults()

    def take(count: int) -> list[int]:
        with lock:
            return list(itertools.islice(numbers, count))

    def judge(number: int, result: Reply | Failure | Exception) -> None:
        with lock:
            load.judge(number, result, outcome)
            done = outcome.ends.total()
            if done % MEMORY_EVERY == 0:
                faults.is_due = True
            if done % max(1, num_requests // 4) == 0:
                outcome.resident_bytes.append((done, _resident_bytes()))

    def ask(style: int) -> None:
        while taken := take(12 if style % 3 == 0 else 1):
            alone = [number for number in taken if number % CANCEL_EVERY == 0 or len(taken) == 1]
            together = [number for number in taken if number not in alone]
            results = chat.ask_many([load.request(number) for number in together])
            for number, result in zip(together, results):
                judge(number, result)
            for number in alone:
                try:
                    judge(number, _one(chat, load, number, streamed=style % 3 == 1))
                except QwenVLKitError as error:
                    judge(number, error)
                except Exception as error:
                    outcome.wrong.append(f"{number}: {error!r}")

    threads = [threading.Thread(target=ask, args=(style,)) for style in range(num_threads)]
    with faults.injected():
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if reload is not None:
                chat.reload(reload)
                outcome.num_reloads += 1
            time.sleep(1.0)
    outcome.num_thrown = faults.num_thrown
    outcome.seconds = time.perf_counter() - started
    return outcome


def _one(chat: VisionChat, load: Load, number: int, *, streamed: bool) -> Reply:
    request = load.request(number)
    if streamed or number % CANCEL_EVERY == 0:
        with chat.stream(request.messages, sampling=SAMPLING) as stream:
            for _ in stream:
                if number % CANCEL_EVERY == 0:
                    break
        return stream.reply
    return chat.ask(request.messages, sampling=SAMPLING)


class _Faults:
    """A language model that has no memory at its next step when `is_due` is set."""

    def __init__(self) -> None:
        self.is_due = False
        self.num_thrown = 0

    @contextmanager
    def injected(self) -> Iterator[None]:
        """Within it, of any model that is run."""

        def fail(module: torch.nn.Module, *_: Any) -> None:
            if self.is_due and type(module).__name__.endswith("DecoderLayer"):
                self.is_due = False
                self.num_thrown += 1
                raise torch.OutOfMemoryError("injected")

        hook = torch.nn.modules.module.register_module_forward_pre_hook(fail)
        try:
            yield
        finally:
            hook.remove()


def _png(image: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _resident_bytes() -> int:
    gc.collect()
    release_free_memory()
    return int(psutil.Process().memory_info().rss)
