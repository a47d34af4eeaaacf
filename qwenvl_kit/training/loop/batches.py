"""Batches: sequences as the tensors of one pass through a network, padded or packed.

Padding is at the right, where a causal model never looks, so that it needs no mask. Logits are
computed where a token is in the loss and nowhere else: of a vocabulary of 151,936 and thousands of
visual tokens they would be most of the work and of the memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import modeling_utils

from qwenvl_kit.training.loop.data import TrainingData
from qwenvl_kit.training.loop.features import MediaReader, Medium
from qwenvl_kit.training.loop.schedule import Step
from qwenvl_kit.training.sequences.encoder import IGNORED, SequenceEncoder

_TAKES_MASK = hasattr(modeling_utils, "slice_logits_to_keep")
"""True if models take a mask in `logits_to_keep`; older ones take positions alone."""

_PAD_ID = 0
"""The token of padding; any would do, since nothing looks at it."""


@dataclass
class Passed:
    """The tensors that pass through a network at a time.

    Attributes:
        inputs: tensors by the names that `forward` of the model has for them.
        targets: the tokens that are predicted, int64 (trained tokens).
        weights: the weight of each, fp32 (trained tokens); the loss is their weighted sum.
        media: pictures and films whose features are computed apart; none if pixels are in `inputs`.
        where: the places of the sequences.
    """

    inputs: dict[str, torch.Tensor]
    targets: torch.Tensor
    weights: torch.Tensor
    media: list[Medium] = field(default_factory=list)
    where: tuple[str, ...] = ()


class BatchMaker:
    """Makes the tensors of batches.

    Args:
        data: the sequences.
        encoder: encodes them.
        media: reads pictures whose features are kept; None if the model takes pixels.
        packing: True if the sequences of a batch follow each other in one row.
    """

    def __init__(
        self,
        data: TrainingData,
        encoder: SequenceEncoder,
        media: MediaReader | None,
        *,
        packing: bool = False,
    ) -> None:
        self._data = data
        self._encoder = encoder
        self._media = media
        self._packing = packing

    def make(self, numbers: Sequence[int], total_weight: float) -> Passed:
        """The tensors of some sequences.

        Args:
            numbers: the numbers of the sequences.
            total_weight: the weight of all trained tokens of the step, by which theirs is divided;
                0 for a batch that only fills up a step, whose loss is 0.

        Raises:
            TrainingDataError: a file was changed.
            MediaError: a picture cannot be read any more.
        """
        sequences = [self._data.sequence(number) for number in numbers]
        scale = 1 / total_weight if total_weight else 0.0
        encode = self._encoder.inputs if self._media is None else self._encoder.text_inputs
        rows = [encode(sequence) for sequence in sequences]
        made = _packed(rows) if self._packing else _padded(rows)
        shares = [sequence.weight * scale for sequence in sequences]
        made.weights = torch.cat(
            [torch.full((s.trained_tokens,), share) for s, share in zip(sequences, shares)]
        )
        made.where = tuple(sequence.where for sequence in sequences)
        if self._media is None:
            made.inputs |= _pixels(rows)
        else:
            made.media = [medium for s in sequences for medium in self._media.read(s)]
        return made


def _pixels(rows: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The patches of all pictures, and of all films."""
    names = ("pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw")
    gathered = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: torch.cat(tensors) for name, tensors in gathered.items() if tensors}


def _padded(rows: Sequence[Mapping[str, torch.Tensor]]) -> Passed:
    """One row for each sequence, as long as the longest."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.full((len(rows), longest), _PAD_ID)
    labels = torch.full((len(rows), longest), IGNORED)
    positions = torch.empty((4, len(rows), longest), dtype=torch.int64)
    for at, row in enumerate(rows):
        length = len(row["input_ids"])
        ids[at, :length], labels[at, :length] = row["input_ids"], row["labels"]
        positions[:, at, :length] = row["position_ids"]
        # Positions go on, so that nothing takes padding for the beginning of another sequence.
        more = torch.arange(1, longest - length + 1)
        positions[:, at, length:] = row["position_ids"][:, -1:] + more
    return _with_logits(ids, labels, positions)


def _packed(rows: Sequence[Mapping[str, torch.Tensor]]) -> Passed:
    """One row of all sequences; positions that begin again keep them apart."""
    ids, labels = (torch.cat([row[name] for row in rows]) for name in ("input_ids", "labels"))
    positions = torch.cat([row["position_ids"] for row in rows], dim=1)
    return _with_logits(ids[None], labels[None], positions[:, None])


def _with_logits(ids: torch.Tensor, labels: torch.Tensor, positions: torch.Tensor) -> Passed:
    """The inputs, with the places whose next token is in the loss."""
    is_trained = labels != IGNORED  # never the first token of a sequence, which is of a prompt
    before = torch.zeros_like(is_trained)
    before[:, :-1] = is_trained[:, 1:]
    inputs = {"input_ids": ids, "position_ids": positions, "logits_to_keep": before}
    return Passed(inputs, labels[is_trained], torch.empty(0))


def logits_of(model: Any, inputs: Mapping[str, Any]) -> torch.Tensor:
    """Run a model; return its logits where they are wanted, (trained tokens, vocabulary)."""
    wanted: torch.Tensor = inputs["logits_to_keep"]
    if _TAKES_MASK:
        logits: torch.Tensor = model(**inputs, use_cache=False).logits
        return logits
    columns = wanted.any(dim=0)
    kept = model(**{**inputs, "logits_to_keep": columns.nonzero()[:, 0]}, use_cache=False).logits
    rows: torch.Tensor = kept[wanted[:, columns]]
    return rows


class StepBatches(torch.utils.data.Dataset[Passed]):
    """The batches of one process, in the order of the steps.

    Args:
        steps: the steps.
        maker: makes their tensors.
        process: the number of this process.
        num_processes: the number of all processes.
    """

    def __init__(
        self, steps: Sequence[Step], maker: BatchMaker, process: int, num_processes: int
    ) -> None:
        self._steps = steps
        self._maker = maker
        self._process = process
        self._num_processes = num_processes
        self._per_step = len(steps[0].batches) // num_processes

    def __len__(self) -> int:
        return len(self._steps) * self._per_step

    def __getitem__(self, at: int) -> Passed:
        step = self._steps[at // self._per_step]
        batch = step.batches[at % self._per_step * self._num_processes + self._process]
        if batch:
            return self._maker.make(batch, step.weight)
        return self._maker.make(step.batches[0][:1], 0.0)
