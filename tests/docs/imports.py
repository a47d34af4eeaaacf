"""What a first answer imports, and what it costs: `python -m tests.docs.imports`.

Each figure is of processes of their own: one that gives a first answer by the embedded model, and
one that only imports torch and a model of transformers. They take turns. The table is written to
docs/guide/starting.md.
"""

from __future__ import annotations

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "guide" / "starting.md"
BEGIN, END = "<!-- imports: begin -->\n", "<!-- imports: end -->\n"
ROUNDS, TIMED_ROUNDS = 7, 3

REFERENCE = "import torch\nfrom transformers import Qwen2VLForConditionalGeneration\n"
FIRST_ANSWER = """
from PIL import Image
from qwenvl_kit import VisionChat
chat = VisionChat.from_pretrained()
assert chat.ask("What is in this image?", Image.new("RGB", (64, 64), "red")).text
"""
LIST_MODULES = "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))\n"

GROUPS: Mapping[str, str] = {
    "sympy": "torch.distributed.tensor, for shapes that are symbols",
    "mpmath": "sympy",
    "torch._dynamo": "a decorator in transformers.integrations.deepgemm",
    "torch._inductor": "torch._dynamo, which lists what it may trace",
    "triton": "torch._dynamo, which asks if it is there",
    "torch.onnx": "torch._dynamo, likewise",
    "torch.distributed": "transformers.core_model_loading: sharded models and FSDP",
    "torch": "",
    "scipy": "transformers.loss.loss_for_object_detection, where scipy is installed",
    "torchvision": "transformers.image_utils",
    "accelerate": "transformers.integrations.accelerate, for models on several devices",
    "huggingface_hub": "transformers.utils.hub",
    "httpx2": "huggingface_hub",
    "httpcore2": "httpx2",
    "transformers": "",
    "numpy": "",
    "PIL": "",
    "qwenvl_kit": "",
}
"""Each group of modules, with what imports it where nothing in a first answer needs it."""

_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \| \s*(\S+)")


class Run(NamedTuple):
    """One process: its seconds, its processor's seconds, its modules, and what stood on stderr."""

    wall_seconds: float
    cpu_seconds: float
    modules: frozenset[str]
    stderr: str


def run(program: str, pycache: Path | None = None, options: Iterable[str] = ()) -> Run:
    """Run a program in a process of its own, from its start to its end.

    Args:
        program: the program.
        pycache: the folder of compiled modules; None leaves that as it is.
        options: options of Python.
    """
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    if pycache is not None:
        env["PYTHONPYCACHEPREFIX"] = str(pycache)
        env.pop("PYTHONDONTWRITEBYTECODE", None)
    before, started = _children_seconds(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *options, "-c", program + LIST_MODULES],
        check=True,
        capture_output=True,
        text=True,
        env=env,
        cwd=ROOT,
    )
    wall = time.perf_counter() - started
    modules = json.loads(done.stdout.splitlines()[-1])
    return Run(wall, _children_seconds() - before, frozenset(modules), done.stderr)


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def group_of(module: str) -> str:
    """The group of a module: the longest name in GROUPS that it begins with."""
    fitting = [name for name in GROUPS if f"{module}.".startswith(f"{name}.")]
    return max(fitting, key=len, default="others, and Python's own")


def microseconds(stderr: str) -> Counter[str]:
    """The microseconds that `-X importtime` counts for each group, without what they import."""
    spent: Counter[str] = Counter()
    for spent_on_it, module in _LINE.findall(stderr):
        spent[group_of(module)] += int(spent_on_it)
    return spent


def table(reference: list[Run], answers: list[Run], timed: list[Run]) -> str:
    """The two tables of the page.

    Args:
        reference: runs of REFERENCE.
        answers: runs of FIRST_ANSWER, in turns with those.
        timed: runs of FIRST_ANSWER with `-X importtime`.
    """
    lines = ["| process | seconds | processor seconds | modules |", "|---|---|---|---|"]
    for title, runs in (
        ("`import torch`, and a model class of transformers", reference),
        ("first answer of the embedded model", answers),
    ):
        wall, cpu = ([run[index] for run in runs] for index in (0, 1))
        lines.append(f"| {title} | {_spread(wall)} | {_spread(cpu)} | {len(runs[0].modules):,} |")
    ratios = [
        _spread([mine[index] / its[index] for mine, its in zip(answers, reference)])
        for index in (0, 1)
    ]
    lines.append(f"| ratio of the two, in turns | {' | '.join(ratios)} | |")
    counted = Counter(map(group_of, answers[0].modules))
    before = Counter(map(group_of, reference[0].modules))
    spent = [microseconds(run.stderr) for run in timed]
    lines += ["", "| modules of | number | of them not in the other process | time | imported by |"]
    lines.append("|---|---|---|---|---|")
    cost = {
        name: statistics.median(each[name] / sum(each.values()) for each in spent)
        for name in counted
    }
    for name in sorted(counted, key=lambda name: -cost[name]):
        more = counted[name] - before[name]
        why = GROUPS.get(name, "")
        lines.append(f"| {name} | {counted[name]:,} | {more} | {cost[name]:.1%} | {why} |")
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Measure, and write the tables."""
    with tempfile.TemporaryDirectory() as folder:
        pycache = Path(folder)
        run(FIRST_ANSWER, pycache)  # compiles the modules, and has the files in memory
        pairs = [(run(REFERENCE, pycache), run(FIRST_ANSWER, pycache)) for _ in range(ROUNDS)]
        timed = [run(FIRST_ANSWER, pycache, ["-X", "importtime"]) for _ in range(TIMED_ROUNDS)]
    made = table([one for one, _ in pairs], [other for _, other in pairs], timed)
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}{made}{END}{rest.split(END)[1]}", encoding="utf-8")
    print(made)


if __name__ == "__main__":
    main()
