"""A chat that runs for hours takes no more memory than one that has just begun.

`QWENVL_KIT_SOAK=10000 pytest tests/local/test_soak.py` asks as many questions.
"""

from __future__ import annotations

import gc
import os
import random
import threading
from pathlib import Path

import psutil
import pytest

from qwenvl_kit import Request, Sampling, VisionChat
from qwenvl_kit.hardware import release_free_memory
from tests.by_hand import picture

pytestmark = pytest.mark.long
NUM_ASKS = int(os.environ.get("QWENVL_KIT_SOAK", "300"))
CACHE_BYTES = 4_000_000
MAX_GROWTH_BYTES = 24_000_000
"""What the allocators of C and of Python may keep for themselves, once."""


def _ask_some(chat: VisionChat, rng: random.Random, num_asks: int) -> None:
    """New pictures and old ones, alone and together, to their end and cancelled."""
    sampling = Sampling(max_new_tokens=6)
    for at in range(0, num_asks, 10):
        seeds = [rng.randrange(10**9) for _ in range(6)] + [1, 2]
        requests = [Request.about("what", picture(112, 84, seed)) for seed in seeds]
        chat.ask_many(requests, sampling=sampling, on_error="raise")
        chat.ask("what is it", picture(168, 112, at), sampling=sampling)
        with chat.stream("why", picture(56, 56, at % 7), sampling=sampling) as stream:
            next(stream)


def _resident_bytes() -> int:
    gc.collect()
    release_free_memory()
    return int(psutil.Process().memory_info().rss)


def test_memory_does_not_grow_beyond_what_the_cache_may_take(tiny_folder: Path) -> None:
    chat, rng = (
        VisionChat.from_pretrained(tiny_folder, max_cache_bytes=CACHE_BYTES),
        random.Random(3),
    )
    _ask_some(chat, rng, 100)
    num_bytes = _resident_bytes()
    _ask_some(chat, rng, NUM_ASKS)
    assert chat.cache_info().used_bytes <= CACHE_BYTES
    assert _resident_bytes() - num_bytes < CACHE_BYTES + MAX_GROWTH_BYTES
    assert not [t for t in threading.enumerate() if t.name.startswith("qwenvl_kit media")]
