"""Loading takes little more memory than the weights that it leaves."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from qwenvl_kit.backends.local.packed.int4_linear import Int4Linear
from qwenvl_kit.backends.local.packed.int8_linear import Int8Linear
from qwenvl_kit.backends.local.packed.packing import choose_packing, runs_here
from qwenvl_kit.hardware import read_machine
from qwenvl_kit.testing import build_tiny_model

SLACK = 48 * 2**20
"""What beside weights does not grow with their number: the values that are packed at a time, in
some copies of 16 MB, and what the allocator keeps of them until loading ends."""

CHILD = """
import sys
import torch
from qwenvl_kit import VisionChat
torch.set_num_threads(1)
tiny, folder, how = sys.argv[1], sys.argv[2], eval(sys.argv[3])
VisionChat.from_pretrained(tiny, device="cpu", **how)  # imports, and first uses of kernels
print("ready", flush=True)
sys.stdin.readline()
chat = VisionChat.from_pretrained(folder, device="cpu", **how)
print(chat._backend._loaded.rules.weight_bytes, flush=True)
sys.stdin.readline()
"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="not Linux"),
    pytest.mark.skipif(
        not (runs_here(Int8Linear) and runs_here(Int4Linear)),
        reason="this processor has no kernels for packed layers",
    ),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny model, and one of 31 million parameters in layers and 16 in its embedding, in bf16."""
    root = tmp_path_factory.mktemp("memory")
    build_tiny_model(root / "tiny")
    build_tiny_model(root / "large", hidden_size=512, num_layers=14, vocabulary_size=32_000)
    for folder in (root / "tiny", root / "large"):
        weights = load_file(folder / "model.safetensors")
        halved = {name: weight.bfloat16() for name, weight in weights.items()}
        save_file(halved, folder / "model.safetensors", metadata={"format": "pt"})
    return root / "tiny", root / "large"


def memory_of(child: subprocess.Popen[str]) -> dict[str, int]:
    """The resident memory of a process in bytes, by its kind: its own, and pages of files."""
    text = Path(f"/proc/{child.pid}/status").read_text()
    return {kind: int(size) * 1024 for kind, size in re.findall(r"(Rss\w+):\s+(\d+) kB", text)}


def load(folders: tuple[Path, Path], how: dict[str, Any]) -> tuple[int, dict[str, int], int]:
    """Load in a process of its own; return bytes of weights, and memory beyond that before.

    Returns:
        The bytes of the weights; the growth of each kind of memory after loading; and the largest
        growth of the process's own memory while loading.
    """
    command = [sys.executable, "-c", CHILD, *map(str, folders), repr(how)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        before, peak = memory_of(child), 0
        child.stdin.write("\n")
        child.stdin.flush()
        reader = child.stdout
        said = list[str]()
        waiting = threading.Thread(target=lambda: said.append(reader.readline()))
        waiting.start()
        while waiting.is_alive():  # read from outside: the child's own threads would be late
            peak = max(peak, memory_of(child)["RssAnon"])
            time.sleep(0.001)
        after = memory_of(child)
        child.stdin.write("\n")
    grown = {kind: after[kind] - before[kind] for kind in after}
    return int(said[0]), grown, peak - before["RssAnon"]


@pytest.mark.parametrize(
    "how",
    [{"dtype": "bfloat16"}, {"quantization": "8bit"}, {"quantization": "4bit"}],
    ids=lambda how: str(*how.values()),
)
def test_loading_takes_a_tenth_more_than_the_weights_at_most(
    folders: tuple[Path, Path], how: dict[str, Any]
) -> None:
    packing = choose_packing(
        how.get("quantization"), torch.device("cpu"), abilities=read_machine().abilities
    )
    if packing is not None and packing.layers is None:
        pytest.skip("bitsandbytes quantises the layers on this processor, and takes more")
    weight_bytes, grown, peak = load(folders, how)
    assert peak <= 1.1 * weight_bytes + SLACK
    # What stays, with the pages of the file: those of packed matrices are given back.
    assert grown["RssAnon"] + grown["RssFile"] <= 1.1 * weight_bytes + SLACK
