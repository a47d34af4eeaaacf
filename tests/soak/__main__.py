"""The soak at full length: `python -m tests.soak [--requests 20000] [--reload]`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from qwenvl_kit import VisionChat
from qwenvl_kit.testing import build_tiny_model
from tests.soak.load import Load, soak


def main() -> None:
    """Ask, and say what became of it; exit status 1 if anything must not be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--reload", action="store_true", help="the model, all the time")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = build_tiny_model(Path(name) / "model")
        chat = VisionChat.from_pretrained(folder, max_cache_bytes=4_000_000)
        load = Load(chat)
        reload = folder if arguments.reload else None
        outcome = soak(chat, load, arguments.requests, reload=reload)
    print(f"{outcome.ends.total():,} of {arguments.requests:,} in {outcome.seconds:.0f} s")
    print(", ".join(f"{end} {count:,}" for end, count in outcome.ends.most_common()))
    print(
        f"wrong: {len(outcome.wrong)}, out of memory: {outcome.num_thrown}, "
        f"reloads: {outcome.num_reloads}"
    )
    print(
        "resident: "
        + ", ".join(f"{size / 1e6:.0f} MB after {at:,}" for at, size in outcome.resident_bytes)
    )
    print(*outcome.wrong[:20], sep="\n")
    sys.exit(bool(outcome.wrong) or outcome.ends.total() != arguments.requests)


if __name__ == "__main__":
    main()
