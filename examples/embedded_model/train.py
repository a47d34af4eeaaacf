"""Trains the embedded model.

    python -m examples.embedded_model.train --folder RUN --warm qwenvl_kit/embedded/model

Start it again with the same folder and it goes on from the last checkpoint. End it whenever you
like: `touch RUN/stop` does it after a checkpoint, a kill loses what came after the last one. It
ends by itself, with a learning rate that has decayed, when it has seen `--pictures`;
`--new-pictures` moves that end. So nothing is lost where a machine is busy or a night long.
"""

from __future__ import annotations

import os

# One OpenMP thread a worker, set before torch loads: two workers of one thread keep their pace on
# a busy machine, while two threads of one worker wait for each other. And memory is kept instead
# of given back after every step: page faults took as long as the arithmetic.
os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import random
import re
import time
from collections import defaultdict
from dataclasses import fields
from pathlib import Path

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from . import checkpoint, schedule
from .batches import Batcher
from .checkpoint import State
from .drawing import fonts
from .feeding import Order, feed
from .network import Size
from .objective import Score, answer_loss, dense_loss
from .progress import Averages, quick_scores
from .samples import KINDS
from .tokenizer import build_tokenizer

MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
DENSE_SHARE = 0.35
MUON_RATE = 1.5
HIDDEN = re.compile("blocks|layers|merger")


def muon(matrices: list[torch.nn.Parameter]) -> torch.optim.Muon:
    """Muon with steps as large as AdamW's, so that one learning rate suits both."""
    return torch.optim.Muon(
        matrices, lr=1e-3, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )


class Trainer:
    """One worker of the run."""

    def __init__(self, arguments: argparse.Namespace, rank: int) -> None:
        self.arguments, self.rank = arguments, rank
        self.workers: int = arguments.workers
        self.folder = Path(arguments.folder)
        self.batcher = Batcher(build_tokenizer(), most_questions=9)
        self.size = Size(**json.loads(arguments.size))
        self.network = checkpoint.new_network(self.size)
        self.state = State(begin=arguments.begin_at, pictures=arguments.pictures)
        self.asked_to_stop = False
        self.averages = Averages()
        self._resume()
        self.ordered = self.state.step
        self.feed = feed(arguments, rank, self._next_order)
        self.first_step = self.state.step
        if arguments.compile:
            self.network.compile_blocks()
        self.gradient = self._share_gradient()
        self.saved = self.measured = time.time()

    def _optimizers(self) -> list[torch.optim.Optimizer]:
        """Muon for the matrices of both transformers, AdamW for all else.

        On the same pictures Muon got as far in 200 steps as AdamW in 300.
        """
        named = [(n, p) for n, p in self.network.named_parameters() if p.requires_grad]
        matrices = [(n, p) for n, p in named if p.ndim == 2 and HIDDEN.search(n)]
        inside = {id(p) for _, p in matrices}
        others = [p for _, p in named if id(p) not in inside]
        groups = [
            {"params": [p for p in others if p.ndim > 1], "weight_decay": 0.05},
            {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
        ]
        return [
            torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), fused=True),
            muon([p for n, p in matrices if "visual" in n]),
            muon([p for n, p in matrices if "visual" not in n]),
        ]

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            if self.arguments.warm:
                checkpoint.warm_start(self.network, Path(self.arguments.warm))
            self._settle()
            return
        content = checkpoint.load(path)
        self.network.load_state_dict(content["network"])
        self.network.former = content["former"]
        known = {each.name for each in fields(State)}
        state = {"pictures": self.arguments.pictures, **content["state"]}
        self.state = State(**{name: value for name, value in state.items() if name in known})
        self.state.restarts += 1
        if self.arguments.new_pictures:
            self.state.pictures = self.arguments.new_pictures
        self._settle()
        for optimizer, values in zip(self.optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(values)

    def _settle(self) -> None:
        """Moves to the device; whatever is made from here on is made there."""
        self.network.move(self.arguments.device)
        torch.set_default_device(self.arguments.device)
        self.optimizers = self._optimizers()

    def _share_gradient(self) -> torch.Tensor:
        """One flat tensor that every gradient is a view of, so that one call averages all."""
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        flat = torch.zeros(sum(p.numel() for p in parameters))
        offset = 0
        for parameter in parameters:
            size = parameter.numel()
            parameter.grad = flat[offset : offset + size].view_as(parameter)
            offset += size
        return flat

    def log(self, text: str) -> None:
        """Appends a line to the log; only the first worker writes."""
        if self.rank == 0:
            stamp = time.strftime("%H:%M:%S", time.gmtime())
            with (self.folder / "train.log").open("a") as file:
                file.write(f"{stamp} {text}\n")

    def _next_order(self) -> Order:
        """What is drawn next; the drawing may be ahead of the learning."""
        self.ordered += 1
        return Order(self.ordered - 1, self.state.progress)

    def step(self) -> None:
        """Takes a batch, learns from it, averages with the other workers."""
        progress = self._agreed_progress()
        begin = self.state.begin
        self.network.former_share = schedule.former_share(progress, begin)
        fed = next(self.feed)
        plan, batch = fed.plan, fed.batch.to(self.arguments.device)
        network = self.network
        visual = network.see(batch.patches, plan.grid.rows, plan.grid.columns)
        dense, right = dense_loss(network, visual, batch)
        self.averages.add(f"cells_{'print' if batch.printed else 'shapes'}", right)
        loss = dense * (1.0 if plan.dense_only else DENSE_SHARE)
        if not plan.dense_only:
            answers, scores = answer_loss(network, batch, visual)
            loss = loss + answers
            self.averages.add("loss", answers.item())
            self._count(scores)
        self.gradient.zero_()
        loss.backward()  # type: ignore[no-untyped-call]
        self._update(progress, plan.dense_only)
        self.state.step += 1
        self.state.seen += plan.count * self.workers

    def _agreed_progress(self) -> float:
        """The first worker decides, so that all stop at the same step.

        So does the file `stop` in the folder, which asks for the end after a checkpoint.
        """
        asked = (self.folder / "stop").exists()
        now = torch.tensor([self.state.progress, float(asked)])
        if self.workers > 1:
            dist.broadcast(now, 0)
        self.progress, self.asked_to_stop = float(now[0]), bool(now[1])
        return self.progress

    def _count(self, scores: list[Score]) -> None:
        tasks: dict[str, list[bool]] = defaultdict(list)
        for task, right in scores:
            tasks[task].append(right)
        for task, rights in tasks.items():
            self.averages.add(f"={task}", sum(rights) / len(rights), keep=0.95)
        self.state.answered += len(scores) * self.workers

    def _update(self, progress: float, dense_only: bool) -> None:
        if self.workers > 1:
            dist.all_reduce(self.gradient)
            self.gradient /= self.workers
        norm = self.gradient.norm().item()
        self.averages.add("norm", norm)
        if norm > 1.0:
            self.gradient *= 1.0 / norm
        factor = schedule.rate(progress, self.state.step - self.first_step)
        # While only the vision tower learns, the language model has no gradient.
        active = self.optimizers[:2] if dense_only else self.optimizers
        for optimizer in active:
            base = self.arguments.rate
            if isinstance(optimizer, torch.optim.Muon):
                base *= MUON_RATE
            for group in optimizer.param_groups:
                group["lr"] = base * factor * (2.5 if progress < schedule.DENSE_END else 1.0)
            optimizer.step()

    def save(self) -> None:
        """The first worker writes the checkpoint."""
        self.saved = time.time()
        if self.rank == 0:
            path = self.folder / "checkpoint.pt"
            checkpoint.save(path, self.network, self.optimizers, self.state, self.size)

    @torch.no_grad()
    def measure(self) -> None:
        """A quick look at held-out seeds in full size, shared among the workers."""
        rights: dict[str, int] = defaultdict(int)
        totals: dict[str, int] = defaultdict(int)
        for kind in KINDS:
            rng = random.Random(f"held out/{self.rank}/{kind}")
            small = self.arguments.small_fonts
            scores = quick_scores(self.network, self.batcher, rng, kind, small_fonts=small)
            for task, right in scores:
                totals[task] += 1
                rights[task] += right
        line = " ".join(f"{task} {rights[task] / totals[task]:.2f}" for task in sorted(totals))
        self.log(f"EVAL step {self.state.step} (of worker 0) {line}")

    def run(self) -> None:
        """Trains until the clock says that the time is over."""
        begun, first, parent = time.time(), self.state.seen, os.getppid()
        self.log(f"start at step {self.state.step}, {json.dumps(vars(self.arguments))}")
        while True:
            self.step()
            now = time.time()
            speed = (self.state.seen - first) / (now - begun)
            if self.state.step % 50 == 0:
                self.log(
                    f"step {self.state.step} seen {self.state.seen} done {self.progress:.3f} "
                    f"images/s {speed:.0f} {self.averages.line()}"
                )
            if self.progress >= 1.0:
                break
            if self.asked_to_stop:
                self.save()
                self.log("stopped, as asked")
                return
            if os.getppid() != parent:
                raise SystemExit("the main process is gone")
            if now - self.saved > self.arguments.save_every:
                self.save()
            joint = self.progress > schedule.DENSE_END
            if joint and self.state.step % self.arguments.measure_every == 0:
                self.measure()
        self.save()
        self.measure()
        self.log("DONE")


def work(rank: int, arguments: argparse.Namespace) -> None:
    """One worker process."""
    torch.set_num_threads(1)
    if arguments.workers > 1:
        meeting = (Path(arguments.folder) / "meeting").absolute()
        dist.init_process_group(
            "gloo", f"file://{meeting}", rank=rank, world_size=arguments.workers
        )
    Trainer(arguments, rank).run()


def main() -> None:
    """Parses the command line and starts the workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", required=True, help="checkpoint and log")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--pictures", type=int, default=520_000, help="length of the whole run")
    parser.add_argument("--new-pictures", type=int, help="another length for a resumed run")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--cost", type=float, default=600.0, help="milliseconds a step, about")
    parser.add_argument("--size", default="{}", help="JSON of network.Size")
    parser.add_argument(
        "--warm", help="weights to begin with: a run's checkpoint, or a model's folder"
    )
    parser.add_argument(
        "--begin-at",
        type=float,
        default=0.0,
        help="share of the schedule that --warm has behind it",
    )
    parser.add_argument("--seed", default="1")
    parser.add_argument("--device", default="cpu", help='"cuda": with --workers 1')
    parser.add_argument("--drawers", type=int, default=0, help="processes that draw, a worker")
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--save-every", type=float, default=150.0, help="seconds")
    parser.add_argument("--measure-every", type=int, default=600, help="steps")
    parser.add_argument("--small-fonts", action="store_true", help="a check without more fonts")
    arguments = parser.parse_args()
    fonts.require(arguments.small_fonts)
    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("meeting", "stop"):
        (folder / name).unlink(missing_ok=True)
    os.environ.update(MEMORY)
    spawn(work, (arguments,), nprocs=arguments.workers)


if __name__ == "__main__":
    main()
