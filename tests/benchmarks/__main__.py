"""Measures every case A B A B and writes docs/benchmarks.md: `nox -s bench`."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.local import load_backend
from qwenvl_kit.embedded import MODEL_FOLDER
from tests.benchmarks.cases import Case, make_cases
from tests.benchmarks.loading import ROUNDS as LOADING_ROUNDS
from tests.benchmarks.loading import memory_rows, time_rows

ROUNDS = 7
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def measure(case: Case) -> str:
    """One row of the table; the sides take turns, after one round that is not counted."""
    sides: tuple[Callable[[], list[str]], ...] = (case.kit, case.other)
    answers = [side() for side in sides]
    same = sum(a.strip() == b.strip() for a, b in zip(*answers))
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for side, seconds in zip(sides, times):
            started = time.perf_counter()
            side()
            seconds.append(time.perf_counter() - started)
    ratios = sorted(other / kit for kit, other in zip(*times))
    kit, other = (statistics.median(seconds) for seconds in times)
    return (
        f"| {case.name} | {kit * 1000:.0f} ms | {other * 1000:.0f} ms | "
        f"**{statistics.median(ratios):.2f}x** | {ratios[0]:.2f} - {ratios[-1]:.2f} | "
        f"{same}/{len(answers[0])} |"
    )


def main() -> None:
    backend = load_backend(MODEL_FOLDER)
    rows = [measure(case) for case in make_cases(VisionChat(backend), backend)]
    libraries = ("torch", "transformers", "qwen-vl-utils", "pillow")
    page = [
        "# Benchmarks",
        "",
        "Each row compares the kit with what one would write without it: in one process, taking "
        f"turns, the same weights and pictures, median of {ROUNDS} rounds. The ratio is the other "
        "side's time over the kit's, round by round; the spread is its smallest and largest. "
        "`nox -s bench` measures anew and writes this page.",
        "",
        "| case | kit | other | ratio | spread | same answers |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "## Loading",
        "",
        "The kit loads model and processor, judges the files and the devices, and makes the model "
        "ready to answer. Beside it: `AutoModelForImageTextToText.from_pretrained` in the same "
        "type, with `AutoProcessor.from_pretrained` as one needs it to ask anything, and without. "
        f"Here the ratio is the kit's time over the other's, median of {LOADING_ROUNDS} rounds: "
        "below 1 the kit is faster.",
        "",
        "| checkpoint | kit | other | ratio | spread |",
        "|---|---|---|---|---|",
        *time_rows(),
        "",
        "## Memory",
        "",
        "A random model of 200M parameters, saved in bf16, in a process of its own: what `inspect` "
        "predicted for the weights, what the process keeps after its first answer (anonymous "
        "memory, which the system cannot take back), and its peak while loading (resident memory "
        "of the whole process, torch and the mapped file included).",
        "",
        "| loaded with | predicted weights | kept | peak |",
        "|---|---|---|---|",
        *memory_rows(),
        "",
        f"Embedded model, fp32, {platform.machine()}, {os.cpu_count()} CPU cores, no GPU; Python "
        f"{platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in libraries)
        + ".",
    ]
    PAGE.write_text("\n".join(page) + "\n", encoding="utf-8")
    print("\n".join(page))


if __name__ == "__main__":
    main()
