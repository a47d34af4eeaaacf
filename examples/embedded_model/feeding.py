"""Batches for a run, drawn in the process that learns or in others beside it."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset

from . import schedule
from .batches import Batch, Batcher
from .samples import Options, make_sample
from .tokenizer import build_tokenizer


class Order(NamedTuple):
    """What decides a batch: the number of its step, and how far the run is."""

    step: int
    progress: float


@dataclass
class Fed:
    """A batch, and the plan after which it was drawn."""

    plan: schedule.Plan
    batch: Batch


class Drawing(Dataset[Fed]):
    """Draws the batch of an order; the same one whenever it is asked."""

    def __init__(self, seed: str, rank: int, cost: float, small_fonts: bool) -> None:
        self.seed, self.rank, self.cost, self.small_fonts = seed, rank, cost, small_fonts
        self.batcher: Batcher | None = None

    def __getitem__(self, order: Order) -> Fed:
        """The batch; all workers draw the same kind of step."""
        if self.batcher is None:
            torch.set_num_threads(1)
            self.batcher = Batcher(build_tokenizer())
        rng = random.Random(f"{self.seed}/{self.rank}/{order.step}")
        shared = random.Random(f"{self.seed}/{order.step}")
        dense_only = schedule.dense_only(shared, order.progress)
        plan = schedule.plan(rng, order.progress, self.cost, dense_only)
        options = Options(small_fonts=self.small_fonts, frames=plan.frames)
        samples = [make_sample(rng, plan.kind, plan.grid, options) for _ in range(plan.count)]
        with torch.device("cpu"):
            return Fed(plan, self.batcher.build(rng, samples))


def feed(
    arguments: argparse.Namespace, rank: int, next_order: Callable[[], Order | None]
) -> Iterator[Fed]:
    """Batches in their order, until there is none.

    Args:
        arguments: `drawers` other processes draw; 0 draws here.
        rank: the number of the worker.
        next_order: what is to be drawn next; other processes are some batches ahead.
    """
    drawing = Drawing(arguments.seed, rank, arguments.cost, arguments.small_fonts)
    orders = iter(next_order, None)
    if not arguments.drawers:
        for order in orders:
            assert order is not None
            yield drawing[order]
        return
    yield from DataLoader(
        drawing,
        batch_size=None,
        sampler=orders,
        num_workers=arguments.drawers,
        prefetch_factor=4,
        multiprocessing_context="spawn",
    )
