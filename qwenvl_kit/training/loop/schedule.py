"""The schedule: which sequences each step of a training learns from, known before it begins.

Batches hold tokens rather than rows: as many sequences of about one length as fit. The schedule
follows from the lengths and the seed alone, so that a run that was broken off goes on with the
batches that it would have had.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Batch: TypeAlias = tuple[int, ...]
"""The numbers of the sequences that pass through the network together; empty where a process has
nothing to do in a step."""

_WINDOW_BATCHES = 32
"""The batches among whose sequences lengths are sorted. It is large enough for little padding, and
small enough that an epoch is still in a random order."""


@dataclass(frozen=True)
class Step:
    """A step of the optimizer.

    Attributes:
        batches: the batches whose gradients are added up; as many in every step.
        weight: the sum over all trained tokens of the weights of their examples, by which the loss
            is divided.
        num_tokens: the tokens of its sequences, without padding.
        epoch: the share of the examples that were seen after this step: 1.0 after all of them.
        ends_epoch: True for the last step of an epoch.
    """

    batches: tuple[Batch, ...]
    weight: float
    num_tokens: int
    epoch: float
    ends_epoch: bool = False


def plan_steps(
    lengths: Sequence[int],
    weights: Sequence[float],
    *,
    epochs: float,
    tokens_per_batch: int,
    batches_per_step: int,
    seed: int,
    packing: bool = False,
) -> tuple[Step, ...]:
    """Plan the steps of a training.

    Args:
        lengths: the tokens of each sequence.
        weights: for each sequence its trained tokens times the weight of its example.
        epochs: the passes over all sequences; a part of an epoch sees a part of them.
        tokens_per_batch: the most tokens of a batch, padding included. A longer sequence has a
            batch of its own.
        batches_per_step: the batches of a step, over all processes.
        seed: the seed of the order.
        packing: True if sequences follow each other in one row, without padding.
    """
    steps: list[Step] = []
    for epoch in range(math.ceil(epochs)):
        draw = random.Random(f"{seed} {epoch}")
        batches = list(_batches(lengths, tokens_per_batch, batches_per_step, packing, draw))
        draw.shuffle(batches)
        num_steps = math.ceil(len(batches) / batches_per_step)
        num_taken = max(1, round(num_steps * min(1.0, epochs - epoch)))
        for at in range(num_taken):
            chosen = batches[at * batches_per_step : (at + 1) * batches_per_step]
            numbers = [number for batch in chosen for number in batch]
            missing = batches_per_step - len(chosen)
            steps.append(
                Step(
                    (*chosen, *[()] * missing),
                    sum(weights[number] for number in numbers),
                    sum(lengths[number] for number in numbers),
                    epoch + (at + 1) / num_steps,
                    ends_epoch=at + 1 == num_taken,
                )
            )
    return tuple(steps)


def in_batches(lengths: Sequence[int], tokens_per_batch: int) -> tuple[Batch, ...]:
    """All sequences once, in batches by their lengths; for validation."""
    order = sorted(range(len(lengths)), key=lambda number: lengths[number])
    return tuple(_padded(order, lengths, tokens_per_batch))


def _batches(
    lengths: Sequence[int],
    tokens_per_batch: int,
    batches_per_step: int,
    packing: bool,
    draw: random.Random,
) -> Iterator[Batch]:
    """The batches of an epoch: sequences in a random order, sorted by length within windows."""
    order = list(range(len(lengths)))
    draw.shuffle(order)
    rest = iter(order)
    group = _packed if packing else _padded
    while window := list(
        _window(rest, lengths, _WINDOW_BATCHES * batches_per_step * tokens_per_batch)
    ):
        window.sort(key=lambda number: lengths[number])
        yield from group(window, lengths, tokens_per_batch)


def _window(rest: Iterator[int], lengths: Sequence[int], tokens: int) -> Iterator[int]:
    """The next sequences, up to a number of tokens."""
    for number in rest:
        yield number
        tokens -= lengths[number]
        if tokens <= 0:
            return


def _padded(order: Sequence[int], lengths: Sequence[int], most: int) -> Iterator[Batch]:
    """Batches of neighbours: rows times the longest is at most so many tokens."""
    left = iter(order)
    batch: list[int] = []
    for number in left:
        if batch and (len(batch) + 1) * max(lengths[number], lengths[batch[-1]]) > most:
            yield tuple(batch)
            batch = []
        batch.append(number)
    if batch:
        yield tuple(batch)


def _packed(order: Sequence[int], lengths: Sequence[int], most: int) -> Iterator[Batch]:
    """Rows of sequences one after another: the longest first, each into the first row with room."""
    rows: list[tuple[int, list[int]]] = []
    for number in reversed(order):
        for at, (room, row) in enumerate(rows):
            if lengths[number] <= room:
                row.append(number)
                rows[at] = (room - lengths[number], row)
                break
        else:
            rows.append((most - lengths[number], [number]))
    yield from (tuple(row) for _, row in rows)
