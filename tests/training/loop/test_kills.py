"""A training whose process is killed, at any time and without warning."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qwenvl_kit.training import load_run

PROGRAM = """
import sys, torch
torch.set_num_threads(1)
from qwenvl_kit.training import LoRA, fine_tune, read_examples
fine_tune(None, read_examples(sys.argv[1]), sys.argv[2], method=LoRA(rank=4, dropout=0.1),
          learning_rate=2e-3, epochs=3, tokens_per_batch=100, validation=0.3, save_every=1,
          num_shown=0, progress=False)
"""


def begin(colours: Path, output: Path) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", PROGRAM, str(colours), str(output)]
    return subprocess.Popen(arguments, stderr=subprocess.DEVNULL)


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_process_that_is_killed_again_and_again_leaves_what_one_would_have_left(
    colours: Path, tmp_path: Path
) -> None:
    assert begin(colours, tmp_path / "straight").wait() == 0
    output = tmp_path / "killed"
    chance, num_kills, last = random.Random(0), 0, -1
    while (running := begin(colours, output)).poll() is None:
        while running.poll() is None:  # until it has saved one more step than when it was killed
            done = max((int(p.parent.name[11:]) for p in output.glob("*/whole")), default=0)
            if done > last and num_kills < 6:
                time.sleep(chance.random())
                os.kill(running.pid, signal.SIGKILL)
                num_kills, last = num_kills + 1, done
            time.sleep(0.05)
        if running.wait() == 0:
            break
    assert num_kills >= 3
    straight, killed = load_run(tmp_path / "straight"), load_run(output)
    assert [step.loss for step in killed.losses] == [step.loss for step in straight.losses]
    assert killed.losses.validation == straight.losses.validation
    names = ("adapter_model.safetensors", "adapter_config.json")
    for name in names:
        contents = [(run.adapter / name) for run in (straight, killed) if run.adapter]
        first, second = (path.read_bytes() for path in contents)
        if name.endswith(".json"):
            one, other = json.loads(first), json.loads(second)
            for lists in (one, other):
                lists["target_modules"] = sorted(lists["target_modules"])
            assert one == other
        else:
            assert first == second
