"""An evaluation that is killed costs nothing: it goes on from its journal to the same score."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[2])
from qwenvl_kit.evaluation import evaluate
from tests.evaluation.benches import benchmark, chat_that, number_of, right_answer

def answer(request):
    time.sleep(0.01)
    return right_answer(request) if number_of(request) % 3 else "mauve"

with chat_that(answer) as chat:
    result = evaluate(chat, benchmark(60), journal=sys.argv[1], progress=False, max_batch_size=2)
print(result.score, result.interval, result.num_failed)
"""


@pytest.mark.long
def test_a_run_that_is_killed_at_any_moment_ends_with_the_same_score(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", SCRIPT]
    whole = subprocess.run(
        [*command, str(tmp_path / "whole.jsonl"), root], capture_output=True, text=True, check=True
    )
    journal = tmp_path / "killed.jsonl"
    moments = random.Random(0)
    for _ in range(4):
        run = subprocess.Popen([*command, str(journal), root], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        target = moments.randrange(2, 50)
        while time.monotonic() < deadline and run.poll() is None:
            if journal.exists() and journal.read_bytes().count(b"\n") > target:
                os.kill(run.pid, signal.SIGKILL)
                break
            time.sleep(0.005)
        run.wait()
    done = subprocess.run(
        [*command, str(journal), root], capture_output=True, text=True, check=True
    )
    assert done.stdout == whole.stdout
