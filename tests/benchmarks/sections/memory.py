"""What loaded models hold, and the most that loading takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from tests.benchmarks.measuring import row, table
from tests.benchmarks.models import checkpoint_of

MODEL = "qwen2_vl:340M"
WAYS = ({"dtype": "bfloat16"}, {"quantization": "8bit"}, {"quantization": "4bit"})


def section() -> list[str]:
    """A row for each way to load a checkpoint that was saved in bf16."""
    return [
        f"A random model, {MODEL}, saved in bf16, in a process of its own: the weights that "
        "`inspect` predicted; anonymous memory after the first answer, which the system cannot "
        "take back; pages of the weights' file that the process has mapped then, which the system "
        "can; and the peak of resident memory while loading, torch and the mapped file included, "
        "with the part of it that importing took before.",
        "",
        *table(("loaded with", "predicted", "anonymous", "mapped", "peak", "imports"), _rows()),
    ]


def _rows() -> Iterator[str]:
    with checkpoint_of(MODEL, torch.bfloat16) as checkpoint:
        for how in WAYS:
            yield _row(checkpoint, how)


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
anonymous, imports = status("RssAnon"), status("VmHWM")
chat = VisionChat.from_pretrained(folder, **how)
peak = status("VmHWM")
chat.ask("What?", PIL.Image.new("RGB", (112, 112)), sampling=Sampling(max_new_tokens=2))
predicted = inspect(folder).weight_bytes[next(iter(how.values()))]
mapped = sum(
    int(line.split()[1]) * 1024
    for block in Path("/proc/self/smaps").read_text().split("VmFlags")
    if ".safetensors" in block
    for line in block.splitlines()
    if line.startswith("Rss:")
)
print(json.dumps([predicted, status("RssAnon") - anonymous, mapped, peak, imports]))
"""


def _row(folder: Path, how: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(folder), json.dumps(how)],
        capture_output=True,
        text=True,
        check=True,
    )
    sizes = json.loads(done.stdout.splitlines()[-1])
    setting = ", ".join(f"{name}={value!r}" for name, value in how.items())
    return row(f"`{setting}`", *(f"{size / 1e6:.0f} MB" for size in sizes))
