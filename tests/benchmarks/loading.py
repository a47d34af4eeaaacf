"""How long loading takes, and how much memory: the kit beside what one would write without it."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from qwenvl_kit.embedded import MODEL_FOLDER
from qwenvl_kit.testing import build_tiny_model

ROUNDS = 9


IMPORTS = ("import qwenvl_kit", "from qwenvl_kit import VisionChat")


def import_rows() -> Iterator[str]:
    """A row for each way to import the kit: fresh processes, taking turns with `import numpy`."""
    codes = (*IMPORTS, "import numpy")
    seconds: dict[str, list[float]] = {code: [] for code in codes}
    for round_index in range(ROUNDS + 1):
        for code in codes:
            measured = _import_seconds(code)
            if round_index:  # the first one may compile to bytecode
                seconds[code].append(measured)
    *kit, numpy = (statistics.median(seconds[code]) for code in codes)
    for code, median in zip(IMPORTS, kit):
        ratios = [ours / theirs for ours, theirs in zip(seconds[code], seconds["import numpy"])]
        yield (
            f"| `{code}` | {median * 1000:.1f} ms | {numpy * 1000:.1f} ms | "
            f"**{median / numpy:.2f}** | {min(ratios):.2f} - {max(ratios):.2f} |"
        )


def _import_seconds(code: str) -> float:
    timed = (
        f"import time\nstarted = time.perf_counter()\n{code}\nprint(time.perf_counter() - started)"
    )
    done = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)
    return float(done.stdout)


def time_rows() -> Iterator[str]:
    """A row for each checkpoint and each thing to compare with."""
    with tempfile.TemporaryDirectory() as folder:
        middle = build_tiny_model(folder, hidden_size=512, num_layers=12, vocabulary_size=40_000)
        for name, checkpoint in (("embedded", MODEL_FOLDER), ("50M, random", middle)):
            yield _time_row(f"{name}: model and processor", checkpoint, _load_by_hand)
            yield _time_row(f"{name}: model alone", checkpoint, _load_model_by_hand)


def memory_rows() -> Iterator[str]:
    """A row for each way to load a checkpoint of 200M parameters that was saved in bf16."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = _build_large(Path(folder))
        for how in ({"dtype": "bfloat16"}, {"quantization": "8bit"}, {"quantization": "4bit"}):
            yield _memory_row(checkpoint, how)


def _load_by_hand(folder: Path) -> Any:
    from transformers import AutoProcessor

    return _load_model_by_hand(folder), AutoProcessor.from_pretrained(folder)


def _load_model_by_hand(folder: Path) -> Any:
    from transformers import AutoModelForImageTextToText

    return AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)


def _load_by_kit(folder: Path) -> Any:
    from qwenvl_kit import VisionChat

    return VisionChat.from_pretrained(folder, dtype="float32", device="cpu")


def _time_row(name: str, folder: Path, by_hand: Callable[[Path], Any]) -> str:
    times: dict[Callable[[Path], Any], list[float]] = {_load_by_kit: [], by_hand: []}
    for round_index in range(ROUNDS + 1):
        for side, seconds in times.items():
            started = time.perf_counter()
            side(folder)
            if round_index:  # the first is not counted
                seconds.append(time.perf_counter() - started)
    kit, other = times.values()
    ratios = sorted(ours / theirs for ours, theirs in zip(kit, other))
    return (
        f"| {name} | {statistics.median(kit) * 1000:.0f} ms | "
        f"{statistics.median(other) * 1000:.0f} ms | **{statistics.median(ratios):.2f}** | "
        f"{ratios[0]:.2f} - {ratios[-1]:.2f} |"
    )


def _build_large(folder: Path) -> Path:
    """About 200M parameters, in bf16 as checkpoints are published."""
    import transformers

    build_tiny_model(folder, hidden_size=1024, num_layers=16, vocabulary_size=50_000)
    model = transformers.Qwen2VLForConditionalGeneration.from_pretrained(
        folder, dtype=torch.bfloat16
    )
    model.save_pretrained(folder)
    return folder


_MEASURE = """
import json, sys
from pathlib import Path
import PIL.Image
from qwenvl_kit import Sampling, VisionChat, inspect

def status(name):
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(name))
    return int(line.split()[1]) * 1024

folder, how = sys.argv[1], json.loads(sys.argv[2])
import torch, transformers, bitsandbytes
import transformers.models.qwen2_vl.modeling_qwen2_vl
before = status("RssAnon")
chat = VisionChat.from_pretrained(folder, **how)
loaded = status("VmHWM")
chat.ask("What?", PIL.Image.new("RGB", (112, 112)), sampling=Sampling(max_new_tokens=2))
predicted = inspect(folder).weight_bytes[next(iter(how.values()))]
print(json.dumps([predicted, status("RssAnon") - before, loaded]))
"""


def _memory_row(folder: Path, how: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(folder), json.dumps(how)],
        capture_output=True,
        text=True,
        check=True,
    )
    predicted, kept, peak = json.loads(done.stdout.splitlines()[-1])
    setting = ", ".join(f"{name}={value!r}" for name, value in how.items())
    return f"| `{setting}` | {predicted / 1e6:.0f} MB | {kept / 1e6:.0f} MB | {peak / 1e6:.0f} MB |"
