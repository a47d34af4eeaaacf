"""Measures every case A B A B and writes docs/benchmarks.md: `nox -s bench [-- SECTION ...]`."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version

from qwenvl_kit import VisionChat
from qwenvl_kit.backends.local import load_backend
from qwenvl_kit.embedded import MODEL_FOLDER
from tests.benchmarks.cases import Case, make_cases
from tests.benchmarks.cluster import is_possible as ray_is_there
from tests.benchmarks.cluster import section as cluster_section
from tests.benchmarks.engines import is_possible as engines_are_there
from tests.benchmarks.engines import section as engines_section
from tests.benchmarks.forms import section as forms_section
from tests.benchmarks.loading import ROUNDS as LOADING_ROUNDS
from tests.benchmarks.loading import import_rows, memory_rows, time_rows
from tests.benchmarks.media import ROUNDS as MEDIA_ROUNDS
from tests.benchmarks.media import media_rows
from tests.benchmarks.reuse import PAGE
from tests.benchmarks.reuse import section as reuse_section
from tests.benchmarks.safety import section as safety_section
from tests.benchmarks.videos import ROUNDS as VIDEO_ROUNDS
from tests.benchmarks.videos import video_rows

ROUNDS = 7
INTRODUCTION = """# Benchmarks

Each row compares the kit with what one would write without it. The ratio is the other side's time
over the kit's, round by round: above 1 the kit is faster; the spread is its smallest and largest.
`nox -s bench` measures anew and writes this page, `nox -s bench -- Videos` a section of it."""


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


def answers_section() -> list[str]:
    """Whole questions, answered by the embedded model."""
    backend = load_backend(MODEL_FOLDER)
    return [
        f"In one process, taking turns, the same weights and pictures, median of {ROUNDS} rounds.",
        "",
        "| case | kit | other | ratio | spread | same answers |",
        "|---|---|---|---|---|---|",
        *(measure(case) for case in make_cases(VisionChat(backend), backend)),
    ]


def media_section() -> list[str]:
    """What pictures cost before they reach a model."""
    return [
        "Planning reads the headers of the files, 20 JPEGs of 0.3 to 6 megapixels under 1,000 "
        "names. The other side opens and processes 25 of them, scaled to 1,000. Patches are what a "
        "model is given; each side gives the same. In one process, taking turns, median of "
        f"{MEDIA_ROUNDS} rounds.",
        "",
        "| case | kit | other | ratio | spread |",
        "|---|---|---|---|---|",
        *media_rows(),
    ]


def video_section() -> list[str]:
    """Frames of a long film."""
    return [
        "Frames evenly spread over 20 minutes of 720p H.264 at 25 fps, resized to 504 x 280: each "
        "run is a process of its own, with all libraries loaded before its time begins, and the "
        "kit's decoding process started, which takes 0.2 s once. The ratio "
        f"is the reader's time over the kit's, median of {VIDEO_ROUNDS} rounds in which all take "
        "turns; qwen-vl-utils is run once. Memory is the most that the process and its children "
        "held, over what was there before. Every frame has its number drawn in; the last column "
        "counts those that are the ones asked for.",
        "",
        "| frames | reader | time | ratio | peak memory | right frames |",
        "|---|---|---|---|---|---|",
        *video_rows(),
    ]


def loading_section() -> list[str]:
    """From a folder to a model that answers."""
    return [
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
        "Importing the kit beside `import numpy`, each in a process of its own.",
        "",
        "| import | kit | numpy | ratio | spread |",
        "|---|---|---|---|---|",
        *import_rows(),
    ]


def memory_section() -> list[str]:
    """What loaded models hold."""
    return [
        "A random model of 200M parameters, saved in bf16, in a process of its own: what `inspect` "
        "predicted for the weights, what the process keeps after its first answer (anonymous "
        "memory, which the system cannot take back), and its peak while loading (resident memory "
        "of the whole process, torch and the mapped file included).",
        "",
        "| loaded with | predicted weights | kept | peak |",
        "|---|---|---|---|",
        *memory_rows(),
    ]


SECTIONS: dict[str, Callable[[], list[str]]] = {
    "Answers": answers_section,
    "Reuse": reuse_section,
    "Forms": forms_section,
    "Pictures": media_section,
    "Videos": video_section,
    "Loading": loading_section,
    "Memory": memory_section,
    "Safety": safety_section,
    "Engines": engines_section,
    "Cluster": cluster_section,
}
WHERE_POSSIBLE = {"Engines": engines_are_there, "Cluster": ray_is_there}


def main() -> None:
    """Measure the sections that are named, or all, and put them in their places on the page."""
    there = [name for name in SECTIONS if WHERE_POSSIBLE.get(name, lambda: True)()]
    named = sys.argv[1:] or there
    old = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    sections = {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in old}
    for name in named:
        sections[name] = "\n".join([*SECTIONS[name](), "", machine()])
        page = [
            INTRODUCTION,
            *(f"## {key}\n\n{sections[key]}" for key in SECTIONS if key in sections),
        ]
        PAGE.write_text("\n\n".join(page) + "\n", encoding="utf-8")


def machine() -> str:
    """Where a section was measured."""
    libraries = ("torch", "transformers", "qwen-vl-utils", "pillow", "av")
    return (
        f"Embedded model unless said otherwise, fp32, {platform.machine()}, {os.cpu_count()} CPU "
        f"cores, no GPU; Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in libraries)
        + "."
    )


if __name__ == "__main__":
    main()
