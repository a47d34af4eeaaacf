"""How long loading and importing take: the kit beside what one would write without it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from qwenvl_kit import VisionChat
from tests.benchmarks.measuring import Case, Run, Side, at_once, case_table, timed
from tests.benchmarks.models import checkpoint_of

MODELS = ("embedded", "qwen2_vl:140M")
IMPORTS = ("import qwenvl_kit", "from qwenvl_kit import VisionChat")


def section() -> list[str]:
    """From a folder to a model that answers, and from nothing to the kit's names."""
    return [
        "The kit loads model and processor, judges the files and the devices, and makes the model "
        "ready to answer. Beside it: `AutoModelForImageTextToText.from_pretrained` in the same "
        "type, with `AutoProcessor.from_pretrained` as one needs it to ask anything, and without. "
        "The kit also runs three short steps, to see that a cached step equals one from scratch. "
        "They read all weights once; elsewhere the first question does that.",
        "",
        *case_table(_models(), at_once),
        "",
        "Importing the kit beside `import numpy`, each in a process of its own.",
        "",
        *case_table(_imports(), at_once),
    ]


def _models() -> Iterator[Case]:
    for name in MODELS:
        with checkpoint_of(name) as folder:
            yield Case(
                f"{name} by `from_pretrained`",
                _timing(lambda: VisionChat.from_pretrained(folder, dtype="float32", device="cpu")),
                {
                    "model and processor": _timing(lambda: _load_by_hand(folder)),
                    "model alone": _timing(lambda: _load_model_by_hand(folder)),
                },
            )


def _imports() -> Iterator[Case]:
    for code in IMPORTS:
        yield Case(
            f"`{code}`",
            lambda code=code: _import(code),  # type: ignore[misc]
            {"`import numpy`": lambda: _import("import numpy")},
        )


def _import(code: str) -> Run:
    """The time of the import alone, which the process takes itself."""
    measured = (
        "import time\nwall, cpu = time.perf_counter(), time.process_time()\n"
        f"{code}\nprint(time.perf_counter() - wall, time.process_time() - cpu)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measured], capture_output=True, text=True, check=True
    )
    return Run(*map(float, done.stdout.split()))


def _load_by_hand(folder: Path) -> object:
    return _load_model_by_hand(folder), AutoProcessor.from_pretrained(folder)


def _load_model_by_hand(folder: Path) -> object:
    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)


def _timing(act: Callable[[], object]) -> Side:
    """A side whose result is thrown away."""

    def nothing() -> None:
        act()

    return lambda: timed(nothing)
