"""Several processes learn what one learns, however they are started and whatever they share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from qwenvl_kit.training.launch import launch_config
from tests.training.launch import sharing

ROOT = Path(__file__).parents[3]
CLOSE = 1e-4
CONFIG = """
model = "embedded"
epochs = 2
learning_rate = 1e-3
tokens_per_batch = 60
warmup = 0.0
progress = false
num_shown = 0
[examples]
data = "train.jsonl"
[method]
rank = 4
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight examples, of which two have no picture."""
    folder = tmp_path_factory.mktemp("processes")
    with open(folder / "train.jsonl", "w") as file:
        for at in range(8):
            row: dict[str, Any] = {"query": f"What is {at}?", "response": f"thing {at}"}
            if at % 4:
                size = (28 * (1 + at % 3), 56)
                Image.new("RGB", size, (30 * at, 9, 200)).save(folder / f"{at}.png")
                row |= {"query": f"<image>{row['query']}", "images": [f"{at}.png"]}
            file.write(json.dumps(row) + "\n")
    (folder / "config.toml").write_text(CONFIG)
    return folder


def run(*arguments: Any, **variables: str) -> str:
    environment = {**os.environ, **variables, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def train(folder: Path, name: str, accumulation: int, *launcher: str) -> tuple[list[float], Any]:
    """Trains by the command line; returns the losses of the steps, and the adapter's weights."""
    run(
        *(*launcher, "-m", "qwenvl_kit", "train", folder / "config.toml"),
        *("--output", folder / name, "--set", f"accumulation={accumulation}"),
    )
    from qwenvl_kit.training.outcome.run import load_run

    losses = [step.loss for step in load_run(folder / name).losses.steps]
    return losses, load_file(folder / name / "adapter" / "adapter_model.safetensors")


@pytest.mark.long
def test_two_processes_learn_what_one_learns_with_twice_the_accumulation(folder: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone")
    losses, weights = train(folder, "one", 2)
    losses_of_two, weights_of_two = train(folder, "two", 1, *launcher)
    assert len(losses) > 2
    assert losses_of_two == pytest.approx(losses, abs=CLOSE)
    assert weights.keys() == weights_of_two.keys()
    for name, values in weights.items():
        torch.testing.assert_close(weights_of_two[name], values, atol=CLOSE, rtol=0)


@pytest.mark.long
def test_accelerate_starts_the_same_training(folder: Path) -> None:
    launcher = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2")
    launcher += ("--mixed_precision", "no", "--num_machines", "1")
    losses, _ = train(folder, "accelerated", 1, *launcher)
    assert losses[0] > losses[-1]


@pytest.mark.long
def test_under_the_shipped_fsdp_a_process_without_a_picture_keeps_nobody_waiting() -> None:
    """Each of two processes has a picture in one step and none in the other."""
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone")
    told = run(*launcher, sharing.__file__, launch_config("fsdp"))
    assert told.count("as one process") == 2
