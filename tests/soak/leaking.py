"""Asks of all kinds, again and again, and what the process holds meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from qwenvl_kit import Request, Sampling, VisionChat
from qwenvl_kit.errors import QwenVLKitError
from tests.by_hand import picture
from tests.soak.load import _png, _resident_bytes

SHORT = Sampling(max_new_tokens=3)
LONG = Sampling(max_new_tokens=20)
HURRIED = Sampling(max_new_tokens=2, temperature=1.0, max_seconds=0.001)
PNG = _png(picture(56, 56))
MAX_GROWTH_BYTES = 20_000_000
"""From the first asks to the last, with a cache that is bounded to less."""


def _left(chat: VisionChat, number: int) -> None:
    stream = chat.stream(f"s{number}", sampling=LONG)
    next(stream)
    if number % 2:
        stream.cancel()


MIXED: tuple[Callable[[VisionChat, int], object], ...] = (
    lambda chat, number: chat.ask(f"q{number}", PNG, sampling=SHORT),
    lambda chat, number: chat.ask(f"q{number}", picture(84, 56, number), sampling=SHORT),
    _left,
    lambda chat, _: chat.ask("q", PNG[:40], sampling=SHORT),
    lambda chat, _: chat.ask("q", "/nowhere.png", sampling=SHORT),
    lambda chat, number: chat.ask(f"q{number}", sampling=HURRIED),
    lambda chat, number: chat.ask_many(
        [f"m{number}", Request.about("q", PNG[:40]), Request.about("q", picture(56, 56, number))],
        sampling=SHORT,
    ),
)


def leak(chat: VisionChat, num_asks: int, num_before: int) -> list[tuple[int, int]]:
    """Ask so often, and measure what is resident: after so many asks, and then ten times.

    Returns:
        The number of asks and the bytes, each time.
    """
    measured = list[tuple[int, int]]()
    every = max(1, (num_asks - num_before) // 10)
    for number in range(num_asks):
        with suppress(QwenVLKitError):
            MIXED[number % len(MIXED)](chat, number)
        done = number + 1
        if done >= num_before and (done - num_before) % every == 0:
            measured.append((done, _resident_bytes()))
    return measured


def left_behind() -> str:
    """What else a process may hold without end: threads, open files, children.

    Threads that end by themselves are waited for: of pools that were left, and of an idle model.
    """
    deadline = time.monotonic() + 20
    while any(t.name.startswith("qwenvl_kit") for t in threading.enumerate()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    own = psutil.Process()
    num_files = own.num_fds() if hasattr(own, "num_fds") else own.num_handles()
    return f"{threading.active_count()} threads, {num_files} files, {len(own.children())} children"
