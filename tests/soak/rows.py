"""Many threads, rows that are no numbers, deadlines, and decoders that are killed."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import torch

from qwenvl_kit import MediaPolicy, Reply, Sampling, VisionChat
from qwenvl_kit.errors import GenerationError, MediaError, OverloadError, QwenVLKitError
from tests.by_hand import picture
from tests.soak.load import _png

MARK = "~"
"""In a question: its row is no number."""

SAMPLING = Sampling(max_new_tokens=6)
HURRIED = Sampling(max_new_tokens=6, max_seconds=0.02)
PICTURES = tuple(_png(picture(56 + 28 * seed, 56, seed)) for seed in range(3))
NUM_KINDS = 12


def policy() -> MediaPolicy:
    """Pictures are decoded in a process, which can be killed."""
    return MediaPolicy(isolate_images=True)


@contextmanager
def no_numbers(chat: VisionChat) -> Iterator[None]:
    """Within it, a question with the mark gives what is no number."""
    backend: Any = chat._backend
    (token_id,) = backend.processor.tokenizer.encode(MARK, add_special_tokens=False)

    def spoil(_: object, given: Any, made: torch.Tensor) -> torch.Tensor:
        return made.masked_fill((given[0] == token_id)[..., None], math.nan)

    hook = backend.model.get_input_embeddings().register_forward_hook(spoil)
    try:
        yield
    finally:
        hook.remove()


class Rows:
    """Requests by number, each of a kind, and what may become of them.

    Args:
        chat: which is asked alone for the right answers.
    """

    def __init__(self, chat: VisionChat) -> None:
        self._chat = chat
        self._right = [
            chat.ask(*self._given(kind), sampling=SAMPLING).text for kind in range(NUM_KINDS)
        ]
        self._lock = threading.Lock()
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []

    def _given(self, kind: int) -> list[Any]:
        shown = [PICTURES[kind % 3]] if kind % 4 == 3 else []
        return [f"question {kind}", *shown]

    def ask(self, number: int) -> None:
        """Ask, and note how it ended."""
        kind, is_bad = number % NUM_KINDS, number % 5 == 4
        question, *shown = self._given(kind)
        if is_bad:
            question += MARK
        sampling = HURRIED if number % 7 == 6 else SAMPLING
        while True:
            try:
                reply = self._chat.ask(question, *shown, sampling=sampling)
            except OverloadError:
                time.sleep(0.05)
                continue
            except QwenVLKitError as error:
                self._note(number, type(error).__name__, self._may_fail(error, is_bad, shown))
            except BaseException as error:
                self._note(number, repr(error), False)
            else:
                self._note(number, reply.finish_reason, self._is_right(reply, kind, is_bad))
            return

    def _may_fail(self, error: QwenVLKitError, is_bad: bool, shown: list[Any]) -> bool:
        is_own = is_bad and isinstance(error, GenerationError) and "not numbers" in str(error)
        return is_own or bool(shown and isinstance(error, MediaError))

    def _is_right(self, reply: Reply, kind: int, is_bad: bool) -> bool:
        if reply.finish_reason == "deadline":
            return self._right[kind].startswith(reply.text) or (is_bad and not reply.text)
        return not is_bad and reply.text == self._right[kind]

    def _note(self, number: int, end: str, is_right: bool) -> None:
        with self._lock:
            self.ends[end] += 1
            if not is_right:
                self.wrong.append(f"{number}: {end}")


def ask_in_threads(rows: Rows, num_threads: int, num_each: int, kill_every: float) -> None:
    """Ask from many threads at once, while the processes that decode are killed."""

    def ask(thread: int) -> None:
        for at in range(num_each):
            rows.ask(thread * num_each + at)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(num_threads)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(kill_every)
        for child in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):
                if "qwenvl_kit" in " ".join(child.cmdline()):
                    child.kill()
