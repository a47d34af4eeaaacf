"""The soak at full length: `python -m tests.soak [load | reload | leak | rows] [--requests N]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import torch

from qwenvl_kit import VisionChat
from qwenvl_kit.testing import build_tiny_model
from tests.soak.leaking import MAX_GROWTH_BYTES, leak, left_behind
from tests.soak.load import Load, soak
from tests.soak.rows import Rows, ask_in_threads, no_numbers, policy

NUM_BEFORE = 500
"""Asks after which the first measure is taken."""

NUM_THREADS = 200


def under_load(folder: Path, num_requests: int, *, reloads: bool = False) -> bool:
    """Ask while things fail, with one model or with models that are replaced."""
    chat = VisionChat.from_pretrained(folder, max_cache_bytes=4_000_000)
    load = Load(chat)
    outcome = soak(chat, load, num_requests, reload=folder if reloads else None)
    print(f"{outcome.ends.total():,} of {num_requests:,} in {outcome.seconds:.0f} s")
    print(", ".join(f"{end} {count:,}" for end, count in outcome.ends.most_common()))
    print(
        f"wrong: {len(outcome.wrong)}, out of memory: {outcome.num_thrown}, "
        f"reloads: {outcome.num_reloads}"
    )
    print("resident: " + _shown(outcome.resident_bytes))
    print(*outcome.wrong[:20], sep="\n")
    return not outcome.wrong and outcome.ends.total() == num_requests


def with_leaks(folder: Path, num_requests: int) -> bool:
    """Ask in all ways with a small cache, and see what the process holds in the end."""
    chat = VisionChat.from_pretrained(folder, max_cache_bytes=1_000_000)
    started = time.perf_counter()
    measured = leak(chat, num_requests, min(NUM_BEFORE, num_requests // 2))
    growth = measured[-1][1] - measured[0][1]
    print(f"{num_requests:,} asks in {time.perf_counter() - started:.0f} s; {left_behind()}")
    print("resident: " + _shown(measured))
    print(f"grown by {growth / 1e6:.1f} MB, of {MAX_GROWTH_BYTES / 1e6:.0f} MB at most")
    return growth < MAX_GROWTH_BYTES


def with_bad_rows(folder: Path, num_requests: int) -> bool:
    """Ask from many threads while rows are no numbers and decoders are killed."""
    chat = VisionChat.from_pretrained(
        folder, dtype="float32", device="cpu", max_cache_bytes=4_000_000, media=policy()
    )
    rows, started = Rows(chat), time.perf_counter()
    num_each = max(1, num_requests // NUM_THREADS)
    with no_numbers(chat):
        ask_in_threads(rows, NUM_THREADS, num_each, kill_every=0.4)
    total = rows.ends.total()
    print(f"{total:,} of {NUM_THREADS * num_each:,} in {time.perf_counter() - started:.0f} s")
    print(", ".join(f"{end} {count:,}" for end, count in rows.ends.most_common()))
    print(f"wrong: {len(rows.wrong)}", *rows.wrong[:20], sep="\n")
    return not rows.wrong and total == NUM_THREADS * num_each


MODES: Mapping[str, tuple[int, Callable[[Path, int], bool]]] = MappingProxyType(
    {
        "load": (20_000, under_load),
        "reload": (20_000, lambda folder, number: under_load(folder, number, reloads=True)),
        "leak": (5_000, with_leaks),
        "rows": (1_000, with_bad_rows),
    }
)
"""How many requests each asks, and how."""


def _shown(measured: list[tuple[int, int]]) -> str:
    return ", ".join(f"{size / 1e6:.0f} MB after {at:,}" for at, size in measured)


def main() -> None:
    """Ask, and say what became of it; exit status 1 if anything must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", nargs="?", choices=MODES, default="load")
    parser.add_argument("--requests", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    number, run = MODES[arguments.mode]
    with tempfile.TemporaryDirectory() as name:
        folder = build_tiny_model(Path(name) / "model")
        is_right = run(folder, arguments.requests or number)
    sys.exit(not is_right)


if __name__ == "__main__":
    main()
